cimport cython

from ..wire.kernels cimport monotonic
from .seats cimport Group, Seat, Subscription

cdef double BUDGET
cdef Py_ssize_t CLOCK_EVERY


cdef class Job:
    cdef object message
    cdef list groups
    cdef Py_ssize_t next_group
    cdef Py_ssize_t next_slot
    cdef long long stamp


cdef class Delivery:
    cdef object loop
    cdef object logger
    cdef readonly object jobs
    cdef public Py_ssize_t waiting
    cdef bint running
    cdef bint scheduled
    cdef long long serial
    cdef readonly object caught_up

    @cython.locals(group=Group)
    cpdef object add(self, message, list groups)
    @cython.locals(until=double, left=Py_ssize_t, job=Job)
    cpdef object run(self)
    @cython.locals(
        slots=list, place=Py_ssize_t, offset=cython.longlong, stamp=cython.longlong,
        subscription=Subscription, seat=Seat,
    )
    cdef Py_ssize_t go_on(self, Job job, Py_ssize_t left, double until) except -2
