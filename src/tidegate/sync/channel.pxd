cimport cython

from ..core.life cimport FAILING
from ..core.link cimport NOBODY, WAITING
from ..wire.reader cimport FrameReader
from .reception cimport DIRECT, Reception

cdef int MOST_LOOKS


cdef class Channel(Reception):
    cdef bint out_of_time

    @cython.locals(reader=FrameReader, rest=Py_ssize_t, n=Py_ssize_t)
    cdef object read_message(self, deadline)
    cdef object wait_for_message(self, timeout)
    cdef bint leave_rest(self) except -1
    cdef object failed(self, exc)
