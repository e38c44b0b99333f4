from ..wire.kernels cimport frame_bytes
from ..wire.writer cimport FrameWriter
from .link cimport Link



cdef class Outgoing:
    cdef readonly int opcode
    cdef readonly bytes data
    cdef readonly Py_ssize_t size
    cdef dict made
    cdef bytes plain


cpdef int give(Link link, Outgoing outgoing) except -1
