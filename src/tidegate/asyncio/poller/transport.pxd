cimport cython

from ..channel cimport Channel
from ..hub cimport BUFFER_SIZE, HEADROOM, Hub
from ..sink cimport Layer, Sink
from .syscalls cimport receive, transmit

cdef int READABLE
cdef int WRITABLE
cdef int ERROR
cdef int LEFT


cdef class PollTransport(Sink):
    cdef object __weakref__
    cdef object loop
    cdef Hub hub
    cdef object poller
    cdef object sock
    cdef int fd
    cdef object protocol
    cdef Channel channel
    cdef Layer layer
    cdef object peername
    cdef object context
    cdef bint left
    cdef object sockname
    cdef object backlog
    cdef Py_ssize_t pending
    cdef Py_ssize_t high
    cdef Py_ssize_t low
    cdef bint writing_paused
    cdef bint reading
    cdef bint at_end
    cdef bint closing
    cdef bint ending
    cdef object broken
    cdef bint lost
    cdef int registered

    cdef bint wants_to_know(self)
    cdef object handle_events(self, int mask)
    cdef object write_now(self, bytes data)
    @cython.locals(channel=Channel, shared=bint, n=Py_ssize_t)
    cdef object read_ready(self)
    @cython.locals(n=Py_ssize_t)
    cdef object read_for_layer(self)
    cdef object receive_eof(self)
    cdef object write_ready(self)
    cpdef object fail(self, exc)
