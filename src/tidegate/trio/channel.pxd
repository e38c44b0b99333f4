cimport cython

from ..asyncio.poller.syscalls cimport receive, transmit
from ..core.life cimport ENDING, GONE, NEVER, OPEN, Life
from ..core.link cimport BUDGET, CLOCK_EVERY, MOST_PENDING, NOBODY, TURN, WAITING, Link
from ..wire.kernels cimport monotonic

cdef Py_ssize_t BUFFER_SIZE
cdef Py_ssize_t DIRECT
cdef Py_ssize_t AT_ONCE
cdef bint HAS_CALLS


@cython.final
cdef class Hub:
    cdef public bytearray buffer
    cdef public object view
    cdef public object plain


cdef class Channel(Link):
    cdef readonly Hub hub
    # the connection below
    cdef public object sock
    cdef public int fd
    cdef public object handle
    cdef public object stream
    cdef public object layers
    cdef public bytearray backlog
    cdef public bint eof_written
    cdef public bint read_ended
    cdef public object broken
    cdef public Py_ssize_t high_water
    cdef public Py_ssize_t low_water
    # who waits
    cdef public object message_event
    cdef public object room_event
    cdef public object closed_event
    cdef public object send_in_progress
    cdef public object resumed
    # the attendant
    cdef public object scope
    cdef public double wake_at
    cdef public bint parked
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
    cpdef bint send_now(self, message)
    @cython.locals(writes=list)
    cpdef object flush(self)
    @cython.locals(n=Py_ssize_t)
    cpdef object put(self, bytes data)
