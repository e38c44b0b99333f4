cimport cython as cy

cdef int ALPN, AUTHORITY, CRC32C, UNIQUE_ID, SSL, SSL_VERSION, SSL_CN, SSL_SIG_SCHEME, NETNS
cdef int MAX_UNIQUE_ID

cdef class Header:
    cdef readonly int version
    cdef readonly str command
    cdef readonly str family
    cdef readonly str protocol
    cdef readonly object source
    cdef readonly object destination
    cdef readonly tuple tlvs

cdef check_length(int kind, Py_ssize_t size)

@cy.locals(octets="const unsigned char *", at=Py_ssize_t, end=Py_ssize_t, size=Py_ssize_t)
cdef check_value(int kind, bytes value)

cdef check_utf8(str what, bytes value)
