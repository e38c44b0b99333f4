# cython: inline only
# System calls without a Python call around them, during which other threads run. syscalls.py holds
# the same functions in Python. This file is included by the modules that cimport it and makes no
# module.

from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_CheckSignals

from ..wire.kernels cimport monotonic

cdef extern from *:
    """
    #include <errno.h>
    #ifndef _WIN32
    #include <poll.h>
    #include <sys/socket.h>
    #define TIDEGATE_FAST 1
    #ifndef MSG_NOSIGNAL
    #define MSG_NOSIGNAL 0
    #endif

    static Py_ssize_t tidegate_recv_now(int fd, char *data, Py_ssize_t n)
    {
        return recv(fd, data, (size_t)n, MSG_DONTWAIT);
    }

    /* Wait for ever with a negative time, in milliseconds; -2 is what there isn't in time. */
    static Py_ssize_t tidegate_recv_wait(int fd, char *data, Py_ssize_t n, int milliseconds)
    {
        struct pollfd watched;
        int ready;
        if (milliseconds < 0)
            return recv(fd, data, (size_t)n, 0);
        watched.fd = fd;
        watched.events = POLLIN;
        ready = poll(&watched, 1, milliseconds);
        if (ready <= 0)
            return ready - (ready == 0 ? 2 : 0);
        return recv(fd, data, (size_t)n, MSG_DONTWAIT);
    }

    static Py_ssize_t tidegate_send_now(int fd, const char *data, Py_ssize_t n)
    {
        return send(fd, data, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    #else
    /* Nobody gets here. */
    #define TIDEGATE_FAST 0
    static Py_ssize_t tidegate_recv_now(int fd, char *data, Py_ssize_t n) { return -1; }
    static Py_ssize_t tidegate_recv_wait(int fd, char *data, Py_ssize_t n, int milliseconds)
    {
        return -1;
    }
    static Py_ssize_t tidegate_send_now(int fd, const char *data, Py_ssize_t n) { return -1; }
    #endif

    static int tidegate_errno(void) { return errno; }
    static int tidegate_not_now(int error) { return error == EAGAIN || error == EWOULDBLOCK; }
    static int tidegate_interrupted(int error) { return error == EINTR; }
    """
    const bint TIDEGATE_FAST
    Py_ssize_t tidegate_recv_now(int fd, char *data, Py_ssize_t n) nogil
    Py_ssize_t tidegate_recv_wait(int fd, char *data, Py_ssize_t n, int milliseconds) nogil
    Py_ssize_t tidegate_send_now(int fd, const char *data, Py_ssize_t n) nogil
    int tidegate_errno() nogil
    int tidegate_not_now(int error)
    int tidegate_interrupted(int error)

# What is no longer than this, in bytes, is sent without letting other threads run: that would take
# longer.
cdef enum:
    SHORT = 4096
    # How long one wait is at most, in milliseconds.
    MOST_WAIT = 3600000

cdef inline bint is_fast() noexcept:
    return TIDEGATE_FAST

cdef inline Py_ssize_t receive_into(
    object sock, int fd, object buffer, Py_ssize_t start, Py_ssize_t n
) except? -3:
    cdef Py_buffer view
    cdef Py_ssize_t got
    cdef int error = 0
    PyObject_GetBuffer(buffer, &view, PyBUF_WRITABLE)
    try:
        got = tidegate_recv_now(fd, <char *>view.buf + start, n)
        error = tidegate_errno()
    finally:
        PyBuffer_Release(&view)
    if got < 0:
        if tidegate_not_now(error) or tidegate_interrupted(error):
            return -1
        raise OSError(error, strerror_of(error))
    return got

cdef inline Py_ssize_t wait_and_receive(
    object sock, int fd, object buffer, Py_ssize_t start, Py_ssize_t n, object deadline
) except? -3:
    cdef Py_buffer view
    cdef Py_ssize_t got
    cdef int error = 0
    cdef int milliseconds = -1
    cdef double until = 0
    cdef double left = 0
    if deadline is not None:
        until = deadline
    PyObject_GetBuffer(buffer, &view, PyBUF_WRITABLE)
    try:
        while True:
            if deadline is not None:
                left = until - monotonic()
                if left > 3600:
                    milliseconds = MOST_WAIT
                else:
                    # Rounded up: what is a little early would have to wait once more.
                    milliseconds = 0 if left <= 0 else <int>(left * 1000) + 1
            with nogil:
                got = tidegate_recv_wait(fd, <char *>view.buf + start, n, milliseconds)
                error = tidegate_errno()
            if got >= 0:
                return got
            if got == -2:
                if until <= monotonic():
                    return -1
            elif tidegate_interrupted(error):
                # A handler may raise.
                PyErr_CheckSignals()
            elif not tidegate_not_now(error):
                raise OSError(error, strerror_of(error))
    finally:
        PyBuffer_Release(&view)

cdef inline Py_ssize_t send_from(object sock, int fd, bytes data) except? -3:
    cdef const char *start = PyBytes_AS_STRING(data)
    cdef Py_ssize_t n = PyBytes_GET_SIZE(data)
    cdef Py_ssize_t sent
    cdef int error
    if n <= SHORT:
        sent = tidegate_send_now(fd, start, n)
        error = tidegate_errno()
    else:
        with nogil:
            sent = tidegate_send_now(fd, start, n)
            error = tidegate_errno()
    if sent < 0:
        if tidegate_not_now(error) or tidegate_interrupted(error):
            return -1
        raise OSError(error, strerror_of(error))
    return sent

cdef extern from "string.h":
    const char *strerror(int error)

cdef inline str strerror_of(int error):
    return strerror(error).decode("utf-8", "replace")
