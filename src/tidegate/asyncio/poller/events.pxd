cimport cython

from ...wire.kernels cimport monotonic
from .syscalls cimport event_fd, event_mask, new_events, poll_events
from .transport cimport PollTransport

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
