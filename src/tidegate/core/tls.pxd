cimport cython

cdef Py_ssize_t RECORD_SIZE


cdef class TLS:
    cdef object __weakref__
    cdef public object incoming
    cdef public object outgoing
    cdef public object object
    cdef public object peer
    cdef public bint established
    cdef public bint ended
    cdef public bint truncated
    cdef public object error
    cdef public bint closed
    cdef object read
    cdef object write
    cdef object decrypted

    cpdef object received(self, data)
    cpdef object received_end(self)
    cpdef bytes output(self)
    cpdef bint has_input(self) except -1
    @cython.locals(size=Py_ssize_t, room=Py_ssize_t, n=Py_ssize_t, asked=Py_ssize_t)
    cpdef Py_ssize_t decrypt_into(self, buffer) except -1
    @cython.locals(start=Py_ssize_t, size=Py_ssize_t)
    cpdef object encrypt(self, data)
