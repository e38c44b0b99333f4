# What heads.py does in Python, in C; a property test keeps the two equal.

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memcmp

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>

    #define TIDEGATE_TOKEN 1
    #define TIDEGATE_TARGET 2
    #define TIDEGATE_TEXT 4
    #define TIDEGATE_NAME 8

    /* What each byte may be part of: RFC 9110, sections 5.5 and 5.6.2; RFC 9112, section 3. */
    static unsigned char tidegate_kinds[256];

    static void tidegate_make_kinds(void)
    {
        for (int c = 0; c < 256; c++) {
            int alphanumeric = (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z');
            unsigned char kind = 0;
            if (c && (alphanumeric || (c < 127 && strchr("!#$%&'*+-.^_`|~", c))))
                kind |= TIDEGATE_TOKEN;
            if (c >= 0x21 && c <= 0x7e)
                kind |= TIDEGATE_TARGET;
            if (c == 9 || (c >= 0x20 && c != 0x7f))
                kind |= TIDEGATE_TEXT;
            if (alphanumeric || c == '.' || c == '-')
                kind |= TIDEGATE_NAME;
            tidegate_kinds[c] = kind;
        }
    }

    /* Bytes end with a NUL, which is of no kind. */
    static inline Py_ssize_t tidegate_skip(const unsigned char *data, Py_ssize_t i, int kind)
    {
        while (tidegate_kinds[data[i]] & kind)
            i++;
        return i;
    }

    static inline PyObject *tidegate_latin(const unsigned char *data, Py_ssize_t n)
    {
        return PyUnicode_DecodeLatin1((const char *)data, n, NULL);
    }

    /* A name is ASCII. Without upper case, it is the same object. */
    static inline PyObject *tidegate_lowered(PyObject *name)
    {
        Py_ssize_t n = PyUnicode_GET_LENGTH(name), i = 0;
        const unsigned char *from = PyUnicode_1BYTE_DATA(name);
        while (i < n && !(from[i] >= 'A' && from[i] <= 'Z'))
            i++;
        if (i == n)
            return Py_NewRef(name);
        PyObject *lowered = PyUnicode_New(n, 127);
        if (!lowered)
            return NULL;
        unsigned char *to = PyUnicode_1BYTE_DATA(lowered);
        for (i = 0; i < n; i++)
            to[i] = from[i] + (from[i] >= 'A' && from[i] <= 'Z' ? 32 : 0);
        return lowered;
    }

    static inline int tidegate_equal(PyObject *name, const unsigned char *data, Py_ssize_t n)
    {
        return PyUnicode_GET_LENGTH(name) == n && memcmp(PyUnicode_1BYTE_DATA(name), data, n) == 0;
    }

    /* Whether a text is ASCII and, but for upper case, this. */
    static inline int tidegate_is(PyObject *text, const char *lower, Py_ssize_t n)
    {
        if (!PyUnicode_CheckExact(text) || !PyUnicode_IS_COMPACT_ASCII(text) ||
            PyUnicode_GET_LENGTH(text) != n)
            return 0;
        const unsigned char *data = PyUnicode_1BYTE_DATA(text);
        for (Py_ssize_t i = 0; i < n; i++) {
            unsigned char c = data[i];
            if (c >= 'A' && c <= 'Z')
                c += 32;
            if (c != (unsigned char)lower[i])
                return 0;
        }
        return 1;
    }

    static inline int tidegate_is_host(PyObject *text)
    {
        if (!PyUnicode_CheckExact(text) || !PyUnicode_IS_COMPACT_ASCII(text))
            return 0;
        const unsigned char *data = PyUnicode_1BYTE_DATA(text);
        Py_ssize_t i = tidegate_skip(data, 0, TIDEGATE_NAME);
        if (data[i] == ':') {
            Py_ssize_t port = ++i;
            while (data[i] >= '0' && data[i] <= '9')
                i++;
            if (i - port > 5)
                return 0;
        }
        return i == PyUnicode_GET_LENGTH(text);
    }

    static inline int tidegate_is_key(PyObject *text)
    {
        if (!PyUnicode_CheckExact(text) || !PyUnicode_IS_COMPACT_ASCII(text) ||
            PyUnicode_GET_LENGTH(text) != 24)
            return 0;
        const unsigned char *data = PyUnicode_1BYTE_DATA(text);
        for (int i = 0; i < 22; i++) {
            unsigned char c = data[i];
            if (!((c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') || c == '+' ||
                  c == '/'))
                return 0;
        }
        /* The last digit before the padding has four bits that mean nothing. */
        return memchr("AQgw", data[21], 4) && data[22] == '=' && data[23] == '=';
    }

    /* A list that isn't there, or can't have so many elements that they take long. */
    static inline int tidegate_is_short(PyObject *text)
    {
        return text == Py_None || (PyUnicode_CheckExact(text) && PyUnicode_GET_LENGTH(text) <= 200);
    }

    /* How many bytes a text takes in ISO-8859-1; -1 if it isn't such a text. */
    static inline Py_ssize_t tidegate_width(PyObject *text)
    {
        if (!PyUnicode_Check(text) || PyUnicode_KIND(text) != PyUnicode_1BYTE_KIND)
            return -1;
        return PyUnicode_GET_LENGTH(text);
    }

    static inline char *tidegate_put_ascii(char *to, const char *from, Py_ssize_t n)
    {
        memcpy(to, from, n);
        return to + n;
    }

    static inline char *tidegate_put(char *to, PyObject *text)
    {
        return tidegate_put_ascii(to, PyUnicode_DATA(text), PyUnicode_GET_LENGTH(text));
    }

    static inline uint32_t tidegate_rotl(uint32_t x, int n) { return x << n | x >> (32 - n); }

    static void tidegate_sha1_block(uint32_t *h, const unsigned char *block)
    {
        uint32_t w[80], a = h[0], b = h[1], c = h[2], d = h[3], e = h[4], next;
        for (int i = 0; i < 16; i++)
            w[i] = (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16 |
                   (uint32_t)block[4 * i + 2] << 8 | block[4 * i + 3];
        for (int i = 16; i < 80; i++)
            w[i] = tidegate_rotl(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    #define TIDEGATE_ROUNDS(from, f, k)                              \\
        for (int i = from; i < from + 20; i++) {                     \\
            next = tidegate_rotl(a, 5) + (f) + e + (uint32_t)k + w[i]; \\
            e = d, d = c, c = tidegate_rotl(b, 30), b = a, a = next; \\
        }
        TIDEGATE_ROUNDS(0, (b & c) | (~b & d), 0x5a827999)
        TIDEGATE_ROUNDS(20, b ^ c ^ d, 0x6ed9eba1)
        TIDEGATE_ROUNDS(40, (b & c) | (b & d) | (c & d), 0x8f1bbcdc)
        TIDEGATE_ROUNDS(60, b ^ c ^ d, 0xca62c1d6)
    #undef TIDEGATE_ROUNDS
        h[0] += a, h[1] += b, h[2] += c, h[3] += d, h[4] += e;
    }

    /* The answer to a key of 24 characters; `accept` has room for 28 (RFC 6455, section 4.2.2).
       Key and GUID are 60 bytes, which fill one block of SHA-1 (RFC 3174) with the mark behind them,
       and leave the length to a second one. */
    static void tidegate_accept(const unsigned char *key, char *accept)
    {
        static const char digits[] =
            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        uint32_t h[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
        unsigned char block[64], digest[21];
        memcpy(block, key, 24);
        memcpy(block + 24, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11\\x80\\0\\0\\0", 40);
        tidegate_sha1_block(h, block);
        memset(block, 0, 64);
        block[62] = 60 * 8 >> 8;
        block[63] = (60 * 8) & 255;
        tidegate_sha1_block(h, block);
        for (int i = 0; i < 20; i++)
            digest[i] = h[i / 4] >> (24 - i % 4 * 8);
        digest[20] = 0;
        for (int i = 0, j = 0; i < 21; i += 3, j += 4) {
            uint32_t three = (uint32_t)digest[i] << 16 | digest[i + 1] << 8 | digest[i + 2];
            accept[j] = digits[three >> 18];
            accept[j + 1] = digits[three >> 12 & 63];
            accept[j + 2] = digits[three >> 6 & 63];
            accept[j + 3] = digits[three & 63];
        }
        accept[27] = '=';
    }
    """
    const int TOKEN "TIDEGATE_TOKEN"
    const int TARGET "TIDEGATE_TARGET"
    const int TEXT "TIDEGATE_TEXT"
    void tidegate_make_kinds()
    Py_ssize_t tidegate_skip(const unsigned char *data, Py_ssize_t i, int kind)
    str tidegate_latin(const unsigned char *data, Py_ssize_t n)
    str tidegate_lowered(str name)
    bint tidegate_equal(str name, const unsigned char *data, Py_ssize_t n)
    bint tidegate_is(object text, const char *lower, Py_ssize_t n)
    bint tidegate_is_host(object text)
    bint tidegate_is_key(object text)
    bint tidegate_is_short(object text)
    Py_ssize_t tidegate_width(object text)
    char *tidegate_put(char *to, object text)
    char *tidegate_put_ascii(char *to, const char *from_, Py_ssize_t n)
    void tidegate_accept(const unsigned char *key, char *accept)

cdef extern from "Python.h":
    unsigned char *PyUnicode_1BYTE_DATA(object text)
    str PyUnicode_New(Py_ssize_t size, unsigned int most)


# Names of headers that were seen last, and the same in lower case, so that many requests share them.
cdef int MOST_NAMES
cdef int LONGEST_NAME
cdef list names
cdef list lower_names


cdef inline object scan_head(bytes data, Py_ssize_t most):
    cdef const unsigned char *p = <const unsigned char *>PyBytes_AS_STRING(data)
    cdef Py_ssize_t n = PyBytes_GET_SIZE(data), i, start, stop, count = 0, place
    cdef str method, target, version, name, value, key
    cdef list items, kept = names, lowered = lower_names
    cdef dict values
    cdef object known

    i = tidegate_skip(p, 0, TOKEN)
    if i == 0 or p[i] != c' ':
        return None
    start = i + 1
    stop = tidegate_skip(p, start, TARGET)
    # From here, "HTTP/1.1" and CRLF, at least.
    if stop == start or p[stop] != c' ' or n - stop < 11:
        return None
    if memcmp(p + stop + 1, b"HTTP/1.", 7) or (p[stop + 8] != c'1' and p[stop + 8] != c'0'):
        return None
    if p[stop + 9] != c'\r' or p[stop + 10] != c'\n':
        return None
    method = "GET" if i == 3 and p[0] == c'G' and p[1] == c'E' and p[2] == c'T' else (
        tidegate_latin(p, i)
    )
    target = tidegate_latin(p + start, stop - start)
    version = "HTTP/1.1" if p[stop + 8] == c'1' else "HTTP/1.0"

    items = []
    values = {}
    i = stop + 11
    while p[i] != c'\r':
        start = i
        i = tidegate_skip(p, i, TOKEN)
        if i == start or p[i] != c':' or count == most:
            return None
        count += 1
        # Nearly all have been seen before.
        place = ((i - start) * 7 + p[start] + 3 * p[i - 1]) % MOST_NAMES
        name = <str>kept[place]
        if tidegate_equal(name, p + start, i - start):
            key = <str>lowered[place]
        else:
            name = tidegate_latin(p + start, i - start)
            key = tidegate_lowered(name)
            if i - start <= LONGEST_NAME:
                kept[place] = name
                lowered[place] = key
        i += 1
        while p[i] == c' ' or p[i] == c'\t':
            i += 1
        start = i
        i = stop = tidegate_skip(p, i, TEXT)
        if p[i] != c'\r' or p[i + 1] != c'\n':
            return None
        i += 2
        while stop > start and (p[stop - 1] == c' ' or p[stop - 1] == c'\t'):
            stop -= 1
        value = tidegate_latin(p + start, stop - start)
        items.append((name, value))
        known = values.get(key)
        if known is None:
            values[key] = value
        elif type(known) is list:
            (<list>known).append(value)
        else:
            values[key] = [known, value]
    # The empty line, and nothing behind it.
    if p[i + 1] != c'\n' or i + 2 != n:
        return None
    return method, target, version, items, values


cdef inline object usual_key(dict values):
    cdef object key = values.get("sec-websocket-key")
    if (
        tidegate_is_key(key)
        and tidegate_is(values.get("upgrade"), b"websocket", 9)
        and tidegate_is(values.get("sec-websocket-version"), b"13", 2)
        and tidegate_is_host(values.get("host"))
        and "transfer-encoding" not in values
        and "content-length" not in values
        and tidegate_is_short(values.get("sec-websocket-extensions"))
        and tidegate_is_short(values.get("sec-websocket-protocol"))
    ):
        connection = values.get("connection")
        if tidegate_is(connection, b"upgrade", 7) or (
            tidegate_is(connection, b"keep-alive, upgrade", 19)
        ):
            return key
    return None


cdef inline bytes join_lines(str first, list items, object body):
    cdef Py_ssize_t n = tidegate_width(first)
    cdef Py_ssize_t width
    cdef bytes data
    cdef char *p
    cdef object name, value
    if n < 0:
        return None
    for name, value in items:
        width = tidegate_width(name)
        if width < 0:
            return None
        n += width + 4
        width = tidegate_width(value)
        if width < 0:
            return None
        n += width
    data = PyBytes_FromStringAndSize(NULL, n + 4)
    p = tidegate_put(PyBytes_AS_STRING(data), first)
    p = tidegate_put_ascii(p, b"\r\n", 2)
    for name, value in items:
        p = tidegate_put(p, name)
        p = tidegate_put_ascii(p, b": ", 2)
        p = tidegate_put(p, value)
        p = tidegate_put_ascii(p, b"\r\n", 2)
    tidegate_put_ascii(p, b"\r\n", 2)
    return data if not body else data + body


cdef inline str answer_to(str key):
    cdef str accept
    assert len(key) == 24
    accept = PyUnicode_New(28, 127)
    tidegate_accept(PyUnicode_1BYTE_DATA(key), <char *>PyUnicode_1BYTE_DATA(accept))
    return accept
