from ..core.broadcast cimport Outgoing, give
from ..core.link cimport Link
from ..wire.writer cimport FrameWriter

cdef int OPEN


cdef class Group:
    cdef public str name
    cdef public list slots
    cdef public bint lent
    cdef public object position
    cdef public object ready
    cdef public object held
    cdef public bint fresh
    cdef public bint suspect

    cpdef object add(self, Subscription subscription)
    cpdef object remove(self, Subscription subscription)
    cdef object own_slots(self)


cdef class Subscription:
    cdef public Seat seat
    cdef public Group group
    cdef public Py_ssize_t place
    cdef public long long after
    cdef public object replay


cdef class Seat:
    cdef public object hub
    cdef public object stats
    cdef public object slow
    cdef public dict subscriptions
    cdef public long long stamp
    cdef public object queue
    cdef public Py_ssize_t queued

    cpdef object deliver(self, message, bint forced=*)


cdef class ConnectionSeat(Seat):
    cdef public Link connection
    cdef FrameWriter writer
    cdef public object user
    cdef public bint flushing

    cpdef object deliver(self, message, bint forced=*)
    cdef object write(self, Outgoing outgoing)
