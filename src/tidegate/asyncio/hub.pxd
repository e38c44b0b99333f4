cdef Py_ssize_t BUFFER_SIZE
cdef Py_ssize_t HEADROOM
cdef Py_ssize_t MANY_TIMERS


cdef class Hub:
    cdef public object loop
    cdef public object clock
    cdef bytearray buffer
    cdef public object view
    cdef bint shared
    cdef bint in_use
    cdef public double exhausted_at
    cdef public bytearray cipher
    cdef public object poller
    cdef public list timers
    cdef object timer
    cdef double timer_due
    cdef Py_ssize_t serial
    cdef Py_ssize_t sweep_at

    cpdef bytearray get_cipher(self)
