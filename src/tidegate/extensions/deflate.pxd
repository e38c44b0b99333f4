cdef object _choose_zlib(int window_bits, int place)
cdef object _extend_window(bytearray window, Py_ssize_t size, data)
cdef bytes _cut_window(bytearray window, Py_ssize_t size)
cdef bint _stands(inflater, bytes blocks) except -1


cdef class MessageDeflater:
    cdef object __weakref__
    cdef public int window_bits
    cdef public Py_ssize_t window_size
    cdef public bint no_context_takeover
    cdef public dict settings
    cdef public object _compressor
    cdef public int _place
    cdef public object _zlib
    cdef public bint used
    cdef public bytearray _window
    cdef public object _current
    cdef public tuple _key

    cpdef bytes compress(self, data)
    cpdef bytes compress_fragment(self, data, bint fin)
    cdef object _choose_alone(self, Py_ssize_t size)
    cdef bint _is_short(self, Py_ssize_t size)
    cdef object _make(self, module, bytearray window)
    cdef object _begin(self, Py_ssize_t size)
    cdef object _remember(self, data)
    cdef object _end(self, compressor)


cdef class MessageInflater:
    cdef object __weakref__
    cdef public int window_bits
    cdef public Py_ssize_t window_size
    cdef public bint no_context_takeover
    cdef public object _inflater
    cdef public int _place
    cdef public object _zlib
    cdef public bint used
    cdef public bytearray _window
    cdef public bint _is_inside
    cdef public Py_ssize_t _received
    cdef public Py_ssize_t _final_blocks

    cpdef bytes decompress(self, data, bint fin, max_length=*)
    cdef bytes _inflate(self, data, bint fin, max_length)
    cdef bytes _inflate_more(self, bytes data, bint fin, max_length)
    cdef object _check_end(self, inflater, bint empty)
    cdef object _choose(self)
    cdef object _make(self)
    cdef object _remember(self, bytes inflated)
