# cython: inline only
# The few functions that need raw memory. kernels.py holds the same ones in Python; a property test
# keeps the two equal. This file is included by the modules that cimport it and makes no module.

from cpython.bytearray cimport PyByteArray_AS_STRING
from cpython.bytes cimport (
    PyBytes_AS_STRING,
    PyBytes_FromStringAndSize,
    PyBytes_GET_SIZE,
    _PyBytes_Resize,
)
from cpython.buffer cimport Py_buffer
from cpython.memoryview cimport PyMemoryView_FromObject, PyMemoryView_GET_BUFFER
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>
    #ifdef _WIN32
    #include <windows.h>
    #else
    #include <time.h>
    #endif

    /* The key with its bytes rotated, so that its first byte masks the byte at `phase`. */
    static inline uint32_t tidegate_rotate(uint32_t key, Py_ssize_t phase)
    {
        unsigned char in[4], out[4];
        uint32_t rotated;
        memcpy(in, &key, 4);
        for (int i = 0; i < 4; i++)
            out[i] = in[(phase + i) & 3];
        memcpy(&rotated, out, 4);
        return rotated;
    }

    static inline void tidegate_mask(char *out, const char *in, Py_ssize_t n, uint32_t key)
    {
        uint64_t wide = ((uint64_t)key << 32) | key, word;
        unsigned char bytes[4];
        Py_ssize_t i = 0;
        for (; i + 8 <= n; i += 8) {
            memcpy(&word, in + i, 8);
            word ^= wide;
            memcpy(out + i, &word, 8);
        }
        memcpy(bytes, &key, 4);
        for (; i < n; i++)
            out[i] = in[i] ^ bytes[i & 3];
    }

    /* The same, and whether all that came out is ASCII. */
    static inline int tidegate_mask_ascii(char *out, const char *in, Py_ssize_t n, uint32_t key)
    {
        uint64_t wide = ((uint64_t)key << 32) | key, word, seen = 0;
        unsigned char bytes[4];
        Py_ssize_t i = 0;
        for (; i + 8 <= n; i += 8) {
            memcpy(&word, in + i, 8);
            word ^= wide;
            seen |= word;
            memcpy(out + i, &word, 8);
        }
        memcpy(bytes, &key, 4);
        for (; i < n; i++) {
            out[i] = in[i] ^ bytes[i & 3];
            seen |= (unsigned char)out[i];
        }
        return !(seen & 0x8080808080808080ull);
    }

    /* The state of a UTF-8 scan: 0 between characters, else what the next bytes must be:
       the number of continuation bytes to come, and the range of the first of them. */
    #define TIDEGATE_UTF8(need, low, high) \
        ((uint32_t)(need) | (uint32_t)(low) << 8 | (uint32_t)(high) << 16)
    #define TIDEGATE_UTF8_INVALID 0xff000000u

    static inline uint32_t tidegate_utf8(const char *data, Py_ssize_t n, uint32_t state)
    {
        const unsigned char *s = (const unsigned char *)data;
        Py_ssize_t i = 0;
        uint64_t word;
        while (i < n) {
            unsigned char c;
            if (state == 0) {
                while (i + 8 <= n) {
                    memcpy(&word, s + i, 8);
                    if (word & 0x8080808080808080ull)
                        break;
                    i += 8;
                }
                while (i < n && s[i] < 0x80)
                    i++;
                if (i == n)
                    return 0;
                c = s[i++];
                /* RFC 3629, section 4: no overlong forms, no surrogates, nothing past U+10FFFF. */
                if (c < 0xc2) return TIDEGATE_UTF8_INVALID;
                else if (c < 0xe0) state = TIDEGATE_UTF8(1, 0x80, 0xbf);
                else if (c == 0xe0) state = TIDEGATE_UTF8(2, 0xa0, 0xbf);
                else if (c == 0xed) state = TIDEGATE_UTF8(2, 0x80, 0x9f);
                else if (c < 0xf0) state = TIDEGATE_UTF8(2, 0x80, 0xbf);
                else if (c == 0xf0) state = TIDEGATE_UTF8(3, 0x90, 0xbf);
                else if (c < 0xf4) state = TIDEGATE_UTF8(3, 0x80, 0xbf);
                else if (c == 0xf4) state = TIDEGATE_UTF8(3, 0x80, 0x8f);
                else return TIDEGATE_UTF8_INVALID;
            } else {
                c = s[i++];
                if (c < ((state >> 8) & 0xff) || c > ((state >> 16) & 0xff))
                    return TIDEGATE_UTF8_INVALID;
                state = (state & 0xff) == 1 ? 0 : TIDEGATE_UTF8((state & 0xff) - 1, 0x80, 0xbf);
            }
        }
        return state;
    }

    static inline Py_ssize_t tidegate_put_header(
        char *out, unsigned char first, Py_ssize_t n, int masked, uint32_t key)
    {
        unsigned char *p = (unsigned char *)out;
        unsigned char bit = masked ? 0x80 : 0;
        Py_ssize_t size = 2;
        p[0] = first;
        if (n < 126) {
            p[1] = bit | (unsigned char)n;
        } else if (n < 65536) {
            p[1] = bit | 126;
            p[2] = (unsigned char)(n >> 8);
            p[3] = (unsigned char)n;
            size = 4;
        } else {
            p[1] = bit | 127;
            for (int i = 0; i < 8; i++)
                p[2 + i] = (unsigned char)((uint64_t)n >> (8 * (7 - i)));
            size = 10;
        }
        if (masked) {
            memcpy(p + size, &key, 4);
            size += 4;
        }
        return size;
    }

    static inline double tidegate_monotonic(void)
    {
    #ifdef _WIN32
        LARGE_INTEGER frequency, counter;
        QueryPerformanceFrequency(&frequency);
        QueryPerformanceCounter(&counter);
        return (double)counter.QuadPart / (double)frequency.QuadPart;
    #else
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
    #endif
    }

    static inline Py_ssize_t tidegate_header_size(Py_ssize_t n, int masked)
    {
        return (n < 126 ? 2 : n < 65536 ? 4 : 10) + (masked ? 4 : 0);
    }
    """
    uint32_t tidegate_rotate(uint32_t key, Py_ssize_t phase) nogil
    void tidegate_mask(char *out, const char *in_, Py_ssize_t n, uint32_t key) nogil
    bint tidegate_mask_ascii(char *out, const char *in_, Py_ssize_t n, uint32_t key) nogil
    uint32_t tidegate_utf8(const char *data, Py_ssize_t n, uint32_t state) nogil
    Py_ssize_t tidegate_put_header(
        char *out, unsigned char first, Py_ssize_t n, int masked, uint32_t key) nogil
    Py_ssize_t tidegate_header_size(Py_ssize_t n, int masked) nogil
    double tidegate_monotonic() nogil
    uint32_t UTF8_INVALID "TIDEGATE_UTF8_INVALID"

cdef extern from "Python.h":
    object PyUnicode_DecodeUTF8(const char *data, Py_ssize_t size, const char *errors)
    object PyUnicode_New(Py_ssize_t size, uint32_t maxchar)
    void *PyUnicode_DATA(object text)
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size) except NULL

cdef inline double monotonic() noexcept:
    return tidegate_monotonic()

cdef inline uint32_t mask_key_at(bytearray buffer, Py_ssize_t start) noexcept:
    cdef uint32_t key
    memcpy(&key, PyByteArray_AS_STRING(buffer) + start, 4)
    return key

cdef inline uint32_t mask_key_from(bytes pool, Py_ssize_t start) noexcept:
    cdef uint32_t key
    memcpy(&key, PyBytes_AS_STRING(pool) + start, 4)
    return key

cdef inline bytes take_bytes(bytearray buffer, Py_ssize_t start, Py_ssize_t n, uint32_t key):
    cdef bytes data = PyBytes_FromStringAndSize(NULL, n)
    if key:
        tidegate_mask(PyBytes_AS_STRING(data), PyByteArray_AS_STRING(buffer) + start, n, key)
    else:
        memcpy(PyBytes_AS_STRING(data), PyByteArray_AS_STRING(buffer) + start, n)
    return data

cdef inline str take_text(bytearray buffer, Py_ssize_t start, Py_ssize_t n, uint32_t key):
    cdef char *data = PyByteArray_AS_STRING(buffer) + start
    cdef str text
    # Texts of one character are made once for all, by the decoder.
    if n > 1:
        # Most are ASCII: one pass unmasks them where they stay, and finds out whether they are.
        text = PyUnicode_New(n, 127)
        if tidegate_mask_ascii(<char *>PyUnicode_DATA(text), data, n, key):
            return text
    if key:
        tidegate_mask(data, data, n, key)
    return PyUnicode_DecodeUTF8(data, n, NULL)

cdef inline bytes payload_new(Py_ssize_t n):
    return PyBytes_FromStringAndSize(NULL, n)

cdef inline object payload_grown(object payload, Py_ssize_t filled, Py_ssize_t n):
    cdef bytes grown = PyBytes_FromStringAndSize(NULL, n)
    memcpy(PyBytes_AS_STRING(grown), PyBytes_AS_STRING(<bytes>payload), filled)
    return grown

cdef inline void payload_put(
    object payload, Py_ssize_t at, bytearray buffer, Py_ssize_t start, Py_ssize_t n, uint32_t key
) noexcept:
    cdef char *out = PyBytes_AS_STRING(<bytes>payload) + at
    if key:
        tidegate_mask(out, PyByteArray_AS_STRING(buffer) + start, n, tidegate_rotate(key, at))
    else:
        memcpy(out, PyByteArray_AS_STRING(buffer) + start, n)

cdef inline void payload_unmask(
    object payload, Py_ssize_t at, Py_ssize_t n, uint32_t key
) noexcept:
    cdef char *data = PyBytes_AS_STRING(<bytes>payload) + at
    if key:
        tidegate_mask(data, data, n, tidegate_rotate(key, at))

cdef inline object payload_view(object payload, Py_ssize_t start, Py_ssize_t stop):
    # The view holds the payload: a transport may keep it longer than from get_buffer() to
    # buffer_updated(). It is made writable afterwards, because objects of this type are not.
    cdef object view = PyMemoryView_FromObject(payload)[start:stop]
    PyMemoryView_GET_BUFFER(view).readonly = 0
    return view

cdef inline bytes payload_bytes(object payload, Py_ssize_t n):
    return <bytes>payload

cdef inline str payload_text(object payload, Py_ssize_t n):
    return PyUnicode_DecodeUTF8(PyBytes_AS_STRING(<bytes>payload), n, NULL)

cdef inline uint32_t payload_utf8(
    object payload, Py_ssize_t start, Py_ssize_t n, uint32_t state
) noexcept:
    return tidegate_utf8(PyBytes_AS_STRING(<bytes>payload) + start, n, state)

cdef inline bytes frame_bytes(unsigned char first, bytes data, bint masked, uint32_t key):
    cdef Py_ssize_t n = PyBytes_GET_SIZE(data)
    cdef bytes frame = PyBytes_FromStringAndSize(NULL, tidegate_header_size(n, masked) + n)
    cdef char *out = PyBytes_AS_STRING(frame)
    out += tidegate_put_header(out, first, n, masked, key)
    if masked:
        tidegate_mask(out, PyBytes_AS_STRING(data), n, key)
    else:
        memcpy(out, PyBytes_AS_STRING(data), n)
    return frame

cdef inline bytes frame_text(unsigned char first, str text, bint masked, uint32_t key):
    cdef Py_ssize_t n = 0
    cdef const char *data = PyUnicode_AsUTF8AndSize(text, &n)
    cdef bytes frame = PyBytes_FromStringAndSize(NULL, tidegate_header_size(n, masked) + n)
    cdef char *out = PyBytes_AS_STRING(frame)
    out += tidegate_put_header(out, first, n, masked, key)
    if masked:
        tidegate_mask(out, data, n, key)
    else:
        memcpy(out, data, n)
    return frame

cdef inline bytes header_bytes(unsigned char first, Py_ssize_t n):
    cdef char header[16]
    cdef Py_ssize_t size = tidegate_put_header(header, first, n, 0, 0)
    return PyBytes_FromStringAndSize(header, size)
