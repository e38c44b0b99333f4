cimport cython

from .channel cimport Channel
from .hub cimport BUFFER_SIZE, HEADROOM
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

    @cython.locals(i=int, n=int, fd=int, mask=int)
    cdef object serve_ready(self)


@cython.final
cdef class PollTransport:
    cdef object __weakref__
    cdef object loop
    cdef Poller poller
    cdef object sock
    cdef int fd
    cdef object protocol
    cdef Channel channel
    cdef object peername
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


cdef PollTransport as_transport(target)
