cdef class Sink:
    cdef object write_now(self, bytes data)


cdef class Layer(Sink):
    cdef object take_in(self, Py_ssize_t n)
