cimport cython

from ..core.life cimport CLOSING, ENDING, GONE, NEVER, OPEN, REFUSED, Life
from ..core.link cimport MOST_PENDING, STREAMING, WAITING, Link
from .hub cimport HEADROOM, Hub
from .operations cimport (
    AS_BYTES,
    AS_SENT,
    AS_TEXT,
    RECV,
    SEND,
    MessageIterator,
    new_operation,
)
from .sink cimport Sink
from .waiter cimport Waiter

cdef Py_ssize_t DIRECT
cdef int TO_HUB
cdef int TO_PAYLOAD
cdef int TO_SPARE


cdef class Channel(Link):
    cdef public object loop
    cdef public object transport
    cdef public Sink sink
    cdef readonly Hub hub
    cdef Waiter waiter
    cdef public double timer_at
    cdef bint debug
    cdef bint reading
    cdef bint scheduled
    cdef int target
    cdef bytearray spare
    cdef public bint eof_written
    cdef public object piece_waiter
    cdef public object closed_waiter
    cdef public list drain_waiters
    cdef public object send_in_progress

    cdef object receivable(self)
    @cython.locals(life=Life)
    cdef object changed(self)
    cdef bint can_share(self)
    cdef object receive_direct(self, Py_ssize_t nbytes)
    cdef object receive_shared(self, Py_ssize_t nbytes)
    @cython.locals(writes=list)
    cpdef object flush(self)
    cdef object send_made(self, bytes frame)
