cimport cython

from ..core.tls cimport TLS


cdef class Layers:
    cdef readonly tuple tls
    cdef public bint ended
    cdef public object failure

    @cython.locals(tls=TLS, n=Py_ssize_t, size=Py_ssize_t)
    cpdef bytes decrypt(self, data)
    @cython.locals(tls=TLS)
    cpdef bytes encrypt(self, bytes data)
    @cython.locals(tls=TLS)
    cpdef bytes output(self)
