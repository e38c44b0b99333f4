cimport cython

from ..asyncio.poller.syscalls cimport transmit
from ..core.life cimport ENDING, Life
from ..core.link cimport MOST_PENDING, Link

cdef Py_ssize_t AT_ONCE
cdef bint HAS_CALLS


cdef class Output(Link):
    # the connection below
    cdef public object sock
    cdef public int fd
    cdef public object handle
    cdef public object stream
    cdef public object layers
    # what waits to be sent
    cdef public bytearray backlog
    cdef public bint eof_written
    cdef public object broken
    cdef public Py_ssize_t high_water
    cdef public Py_ssize_t low_water
    cdef public object room_event

    cpdef bint send_now(self, message)
    @cython.locals(writes=list)
    cpdef object flush(self)
    @cython.locals(n=Py_ssize_t)
    cpdef object put(self, bytes data)
