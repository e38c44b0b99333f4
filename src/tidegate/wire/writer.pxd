from libc.stdint cimport uint32_t

from .kernels cimport frame_bytes, frame_text, header_bytes, mask_key_from

cdef int CONT
cdef int TEXT
cdef Py_ssize_t LARGE
cdef Py_ssize_t POOL_SIZE
cdef bytes _pool
cdef Py_ssize_t _pool_pos

cdef uint32_t mask_key()
cpdef bytes as_bytes(data)


cdef class FrameWriter:
    cdef public bint mask
    cdef public bint split
    cdef public int state
    cdef public bint continuing
    cdef public list writes
    cdef public Py_ssize_t pending
    cdef public Py_ssize_t messages_written
    cdef public object deflate
    cdef public tuple extensions
    cdef public bint compressing
    cdef public object log

    cpdef object configure(self, extensions)
    cdef object write_frame(self, int opcode, bytes data, bint fin, bint rsv1)
    cdef object write_extended(self, int opcode, bytes data, bint fin)
    cdef object write_text(self, str text)
    cdef object write_bytes(self, int opcode, bytes data)
    cpdef object write_data(self, int opcode, data, bint fin, compress)
    cpdef object write_shared(self, int opcode, bytes data, dict made)
    cpdef object append(self, bytes data)
    cpdef list take(self)
