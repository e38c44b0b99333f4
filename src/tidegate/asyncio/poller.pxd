cimport cython

from ..wire.kernels cimport monotonic
from .channel cimport Channel
from .hub cimport BUFFER_SIZE, HEADROOM
from .sink cimport Sink
from .syscalls cimport (
    event_fd,
    event_mask,
    new_events,
    poll_events,
    receive,
    transmit,
)

cdef int READABLE
cdef int WRITABLE
cdef int ERROR
cdef int LEFT
cdef double MOST_TIME
cdef int MOST_EVENTS
cdef int MOST_ROUNDS
cdef int MANY_EVENTS


@cython.final
cdef class Poller:
    cdef object __weakref__
    cdef public object loop
    cdef object epoll
    cdef int fd
    cdef dict targets
    cdef object events
    cdef int users

    @cython.locals(i=int, n=int, fd=int, mask=int, begun=double)
    cdef object serve_ready(self)


cdef class PollTransport(Sink):
    cdef object __weakref__
    cdef object loop
    cdef Poller poller
    cdef object sock
    cdef int fd
    cdef object protocol
    cdef Channel channel
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
    cdef bint lost
    cdef int registered

    cdef object handle_events(self, int mask)
    cdef object write_now(self, bytes data)
    @cython.locals(channel=Channel, shared=bint, n=Py_ssize_t)
    cdef object read_ready(self)
    cdef object receive_eof(self)
    cdef object write_ready(self)
    cdef object failed(self, exc)


cdef extern from "Python.h":
    int PyContext_Enter(object context) except -1
    int PyContext_Exit(object context) except -1


cdef inline object serve_within(PollTransport transport, int mask):
    # It may let go of its context meanwhile.
    cdef object context = transport.context
    PyContext_Enter(context)
    try:
        transport.handle_events(mask)
    finally:
        PyContext_Exit(context)


cdef PollTransport as_transport(target)
