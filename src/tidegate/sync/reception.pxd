cimport cython

from ..core.life cimport CLOSING, GONE, NEVER, OPEN, REFUSED, Life
from .carrier cimport Carrier
from .layers cimport Layers
from .syscalls cimport is_fast, receive_into, wait_and_receive

cdef Py_ssize_t DIRECT
cdef int MOST_READS


cdef class Reception(Carrier):
    @cython.locals(n=Py_ssize_t)
    cpdef bint read_once(self, deadline) except -1
    @cython.locals(n=Py_ssize_t)
    cdef Py_ssize_t read_socket(
        self, buffer, Py_ssize_t start, Py_ssize_t size, deadline
    ) except -2
    @cython.locals(n=Py_ssize_t)
    cpdef object read_available(self)
    cdef object take_in(self, data)
    cpdef object take_in_plain(self, data)
    @cython.locals(layers=Layers)
    cpdef object take_in_encrypted(self, data)
