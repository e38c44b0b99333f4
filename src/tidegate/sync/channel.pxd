cimport cython

from ..core.link cimport NOBODY, WAITING
from ..wire.reader cimport FrameReader
from .reception cimport DIRECT, Reception

cdef int MOST_LOOKS


cdef class Channel(Reception):
    cdef bint out_of_time

    @cython.locals(reader=FrameReader, rest=Py_ssize_t, n=Py_ssize_t)
    cdef object read_message(self, deadline)
    cdef object wait_for_message(self, timeout)
    cdef object leave_rest(self)
