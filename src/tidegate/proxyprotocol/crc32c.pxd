cimport cython as cy
from libc.stdint cimport uint32_t

cdef uint32_t[256] TABLE

@cy.locals(byte=uint32_t, entry=uint32_t)
cdef void fill_table()

@cy.locals(octets="const unsigned char *", i=Py_ssize_t)
cdef uint32_t crc32c_of(bytes data, Py_ssize_t start, Py_ssize_t end, uint32_t crc) noexcept
