cdef class MessageDeflater:
    cdef public int window_bits
    cdef public Py_ssize_t window_size
    cdef public bint no_context_takeover
    cdef public dict settings
    cdef public object _zlib
    cdef public object _compressor
    cdef public bytes _unseen
    cdef public object _current
    cdef public tuple _key

    cpdef bytes compress(self, data)
    cpdef bytes compress_fragment(self, data, bint fin)
    cdef object _begin(self, Py_ssize_t size)
    cdef object _end(self, compressor, data)


cdef class MessageInflater:
    cdef public int window_bits
    cdef public Py_ssize_t window_size
    cdef public bint no_context_takeover
    cdef public object _zlib
    cdef public object _inflater
    cdef public bytearray _window
    cdef public bint _is_inside
    cdef public Py_ssize_t _received
    cdef public Py_ssize_t _final_blocks

    cpdef bytes decompress(self, data, bint fin, max_length=*)
    cdef bytes _inflate(self, data, bint fin, max_length)
    cdef bytes _inflate_more(self, bytes data, bint fin, max_length)
    cdef object _remember(self, bytes inflated)
