cdef int OPENING
cdef int ASKED
cdef int REFUSED
cdef int OPEN
cdef int LEFT
cdef int FAILING
cdef int CLOSING
cdef int ENDING
cdef int GONE
cdef int NOTHING
cdef int SEND_PING
cdef int PEER_IS_DEAD
cdef double NEVER


cdef class Life:
    cdef public object clock
    cdef public object open_timeout
    cdef public object ping_interval
    cdef public object ping_timeout
    cdef public object close_timeout
    cdef public int state
    cdef public double deadline
    cdef public bint asking
    cdef public bint late
    cdef public Py_ssize_t seen
    cdef public long long taken
