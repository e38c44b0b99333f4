cimport cython

from ..asyncio.poller.syscalls cimport receive
from ..core.life cimport GONE, NEVER, OPEN, Life
from ..core.link cimport BUDGET, CLOCK_EVERY, NOBODY, TURN, WAITING
from ..wire.kernels cimport monotonic
from .output cimport Output

cdef Py_ssize_t BUFFER_SIZE
cdef Py_ssize_t DIRECT


@cython.final
cdef class Hub:
    cdef public bytearray buffer
    cdef public object view
    cdef public object plain


cdef class Channel(Output):
    cdef readonly Hub hub
    cdef public bint read_ended
    # who waits
    cdef public object message_event
    cdef public object closed_event
    cdef public object send_in_progress
    cdef public object resumed
    # the attendant
    cdef public object scope
    cdef public double wake_at
    cdef public bint parked
    cdef public bint held_back
    cdef public Py_ssize_t takes
    # turns
    cdef int steps
    cdef double steps_start

    cdef object receivable(self)
    @cython.locals(life=Life)
    cdef object changed(self)
    cpdef bint spent(self)
    cpdef object rested(self)
    @cython.locals(n=Py_ssize_t)
    cpdef bint read_socket(self)
    cpdef object take_now(self)
    cpdef object take_more(self)
