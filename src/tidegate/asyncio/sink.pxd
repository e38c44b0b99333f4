cdef class Sink:
    cdef object write_now(self, bytes data)
