cimport cython as cy
from libc.stdint cimport uint32_t
from tidegate.proxyprotocol.addresses cimport end_of_ipv4, ipv4_text, ipv6_text, read_ipv6
from tidegate.proxyprotocol.crc32c cimport crc32c_of
from tidegate.proxyprotocol.header cimport (
    AUTHORITY,
    CRC32C,
    NETNS,
    SSL,
    Header,
    check_length,
    check_value,
)

cdef int ZERO, NINE, SPACE, CR, LF, P, MAX_LINE
cdef int[4] BLOCK_SIZES
cdef tuple FAMILIES, PROTOCOLS
cdef bytes SIGNATURE

@cy.locals(octets="const unsigned char *", size=Py_ssize_t)
cdef parse_bytes(bytes data, versions, Py_ssize_t max_size)

@cy.locals(header=Header)
cdef Header new_header(
    int version, str command, str family, str protocol, source, destination, tuple tlvs)

@cy.locals(
    octets="const unsigned char *", at=Py_ssize_t, end=Py_ssize_t, source_end=Py_ssize_t,
    first=Py_ssize_t, second=Py_ssize_t, source_port=int, destination_port=int, line=bytes,
    ip="unsigned char[16]")
cdef parse_v1(bytes data, Py_ssize_t size, Py_ssize_t max_size)

cdef bint is_at(
    const unsigned char *octets, Py_ssize_t at, Py_ssize_t end, int octet) noexcept

cdef Py_ssize_t end_of_field(const unsigned char *octets, Py_ssize_t at, Py_ssize_t end) noexcept

@cy.locals(start=Py_ssize_t)
cdef Py_ssize_t end_of_port(const unsigned char *octets, Py_ssize_t at, Py_ssize_t end) noexcept

@cy.locals(value=int, i=Py_ssize_t)
cdef int number(const unsigned char *octets, Py_ssize_t start, Py_ssize_t end) noexcept

@cy.locals(
    octets="const unsigned char *", command=int, family=int, protocol=int, block=Py_ssize_t,
    length=Py_ssize_t, total=Py_ssize_t, tlvs=tuple, i=Py_ssize_t)
cdef parse_v2(bytes data, Py_ssize_t size, Py_ssize_t max_size)

cdef str path(bytes field)

@cy.locals(octets="const unsigned char *", tlvs=list, start=Py_ssize_t, end=Py_ssize_t)
cdef tuple read_tlvs(bytes data, Py_ssize_t at, Py_ssize_t total, Py_ssize_t size)

@cy.locals(
    octets="const unsigned char *", value=Py_ssize_t, kind=int, length=Py_ssize_t, end=Py_ssize_t)
cdef Py_ssize_t end_of_tlv(
    bytes data, Py_ssize_t start, Py_ssize_t at, Py_ssize_t total, Py_ssize_t size) except -1

@cy.locals(
    octets="const unsigned char *", size=Py_ssize_t, start=Py_ssize_t, total=Py_ssize_t,
    end=Py_ssize_t)
cpdef Py_ssize_t check_tlvs(bytes data, Py_ssize_t at) except -1

@cy.locals(
    octets="const unsigned char *", value=Py_ssize_t, crc=uint32_t, expected=uint32_t,
    i=Py_ssize_t)
cdef bint is_intact(bytes data, Py_ssize_t at, Py_ssize_t total) noexcept

@cy.locals(
    octets="const unsigned char *", family=int, block=Py_ssize_t, damaged=tuple, start=Py_ssize_t,
    tlvs=tuple)
cdef tuple local_tlvs(bytes data, Py_ssize_t total)
