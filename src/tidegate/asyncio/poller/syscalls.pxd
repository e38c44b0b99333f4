# cython: inline only
# System calls without a Python call around them. syscalls.py holds the same functions in Python.
# This file is included by the modules that cimport it and makes no module.

from cpython.bytearray cimport PyByteArray_AS_STRING
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint32_t

cdef extern from *:
    """
    #include <errno.h>
    #ifdef __linux__
    #include <arpa/inet.h>
    #include <netinet/in.h>
    #include <sys/epoll.h>
    #include <sys/socket.h>
    #define TIDEGATE_EVENT_SIZE ((Py_ssize_t)sizeof(struct epoll_event))

    static inline int tidegate_poll(int fd, char *events, int limit)
    {
        return epoll_wait(fd, (struct epoll_event *)events, limit, 0);
    }

    static inline int tidegate_event_fd(const char *events, Py_ssize_t i)
    {
        return ((const struct epoll_event *)events)[i].data.fd;
    }

    static inline uint32_t tidegate_event_mask(const char *events, Py_ssize_t i)
    {
        return ((const struct epoll_event *)events)[i].events;
    }

    static inline Py_ssize_t tidegate_recv(int fd, char *data, Py_ssize_t n)
    {
        Py_ssize_t got;
        do
            got = recv(fd, data, (size_t)n, 0);
        while (got < 0 && errno == EINTR);
        return got;
    }

    static inline Py_ssize_t tidegate_send(int fd, const char *data, Py_ssize_t n)
    {
        Py_ssize_t sent;
        do
            sent = send(fd, data, (size_t)n, MSG_NOSIGNAL);
        while (sent < 0 && errno == EINTR);
        return sent;
    }
    static inline int tidegate_accept(int fd, struct sockaddr_in6 *address)
    {
        int got;
        do {
            socklen_t size = sizeof *address;
            got = accept4(fd, (struct sockaddr *)address, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
        } while (got < 0 && errno == EINTR);
        return got;
    }

    /* The address as the module socket has it. */
    static inline PyObject *tidegate_address(const struct sockaddr_in6 *address)
    {
        char host[INET6_ADDRSTRLEN] = "";
        if (address->sin6_family == AF_INET) {
            const struct sockaddr_in *in = (const struct sockaddr_in *)address;
            inet_ntop(AF_INET, &in->sin_addr, host, sizeof host);
            return Py_BuildValue("(si)", host, (int)ntohs(in->sin_port));
        }
        inet_ntop(AF_INET6, &address->sin6_addr, host, sizeof host);
        return Py_BuildValue("(siII)", host, (int)ntohs(address->sin6_port),
                             (unsigned int)ntohl(address->sin6_flowinfo),
                             (unsigned int)address->sin6_scope_id);
    }
    #else
    struct sockaddr_in6 { int nothing; };
    static inline int tidegate_accept(int fd, struct sockaddr_in6 *address) { return -1; }
    static inline PyObject *tidegate_address(const struct sockaddr_in6 *address) { return NULL; }
    /* There is no poller on other systems, so nobody gets here. */
    #define TIDEGATE_EVENT_SIZE 1
    static inline int tidegate_poll(int fd, char *events, int limit) { return -1; }
    static inline int tidegate_event_fd(const char *events, Py_ssize_t i) { return -1; }
    static inline uint32_t tidegate_event_mask(const char *events, Py_ssize_t i) { return 0; }
    static inline Py_ssize_t tidegate_recv(int fd, char *data, Py_ssize_t n) { return -1; }
    static inline Py_ssize_t tidegate_send(int fd, const char *data, Py_ssize_t n) { return -1; }
    #endif

    static inline int tidegate_would_block(void)
    {
        return errno == EAGAIN || errno == EWOULDBLOCK;
    }
    """
    const Py_ssize_t TIDEGATE_EVENT_SIZE
    int tidegate_poll(int fd, char *events, int limit)
    int tidegate_event_fd(const char *events, Py_ssize_t i)
    uint32_t tidegate_event_mask(const char *events, Py_ssize_t i)
    Py_ssize_t tidegate_recv(int fd, char *data, Py_ssize_t n)
    Py_ssize_t tidegate_send(int fd, const char *data, Py_ssize_t n)
    int tidegate_would_block()
    struct sockaddr_in6:
        pass
    int tidegate_accept(int fd, sockaddr_in6 *address)
    object tidegate_address(const sockaddr_in6 *address)

cdef extern from "Python.h":
    object PyErr_SetFromErrno(object kind)

cdef inline object new_events(int limit):
    return bytearray(limit * TIDEGATE_EVENT_SIZE)

cdef inline int poll_events(object events, object epoll, int fd, int limit) except -1:
    cdef int n = tidegate_poll(fd, PyByteArray_AS_STRING(<bytearray>events), limit)
    # Interrupted, or closed in the meantime: there is another turn.
    return n if n > 0 else 0

cdef inline int event_fd(object events, Py_ssize_t i) noexcept:
    return tidegate_event_fd(PyByteArray_AS_STRING(<bytearray>events), i)

cdef inline uint32_t event_mask(object events, Py_ssize_t i) noexcept:
    return tidegate_event_mask(PyByteArray_AS_STRING(<bytearray>events), i)

cdef inline Py_ssize_t receive(
    object sock, int fd, bytearray buffer, Py_ssize_t start, Py_ssize_t n
) except? -2:
    cdef Py_ssize_t got = tidegate_recv(fd, PyByteArray_AS_STRING(buffer) + start, n)
    if got < 0:
        if tidegate_would_block():
            return -1
        PyErr_SetFromErrno(OSError)
        return -2
    return got

cdef inline Py_ssize_t transmit(object sock, int fd, bytes data) except? -2:
    cdef Py_ssize_t sent = tidegate_send(fd, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))
    if sent < 0:
        if tidegate_would_block():
            return -1
        PyErr_SetFromErrno(OSError)
        return -2
    return sent

cdef inline object accept_connection(object sock, int fd):
    cdef sockaddr_in6 address
    cdef int got = tidegate_accept(fd, &address)
    if got < 0:
        if tidegate_would_block():
            return None
        PyErr_SetFromErrno(OSError)
    return got, tidegate_address(&address)
