cimport cython as cy

cdef int ZERO, NINE, DOT, COLON
cdef const unsigned char *DIGITS
cdef signed char[256] HEX

@cy.locals(part=int, start=Py_ssize_t, value=int)
cdef Py_ssize_t end_of_ipv4(const unsigned char *octets, Py_ssize_t at, Py_ssize_t end) noexcept

@cy.locals(size=Py_ssize_t, gap=Py_ssize_t, start=Py_ssize_t, value=int, i=Py_ssize_t,
           tail=Py_ssize_t)
cdef bint read_ipv6(
    const unsigned char *octets, Py_ssize_t at, Py_ssize_t end, unsigned char *ip) noexcept

@cy.locals(text="unsigned char[16]", size=Py_ssize_t)
cdef str ipv4_text(const unsigned char *octets, Py_ssize_t at)

@cy.locals(i=Py_ssize_t, value=int)
cdef Py_ssize_t put_ipv4(
    unsigned char *text, Py_ssize_t size, const unsigned char *octets, Py_ssize_t at) noexcept

@cy.locals(text="unsigned char[48]", longest=int, gap=int, run=int, group=int, groups=int,
           size=Py_ssize_t, value=int, shift=int)
cdef str ipv6_text(const unsigned char *octets, Py_ssize_t at)

@cy.locals(ip="unsigned char[16]", end=Py_ssize_t)
cpdef canonical_ip(bytes text)
