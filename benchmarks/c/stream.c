#include "stream.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

union any_address {
    struct sockaddr any;
    struct sockaddr_in tcp;
    struct sockaddr_un local;
};

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static socklen_t parse_address(const char *text, union any_address *address)
{
    memset(address, 0, sizeof *address);
    if (!strncmp(text, "unix:", 5)) {
        address->local.sun_family = AF_UNIX;
        snprintf(address->local.sun_path, sizeof address->local.sun_path, "%s", text + 5);
        return sizeof address->local;
    }
    const char *colon = strrchr(text, ':');
    address->tcp.sin_family = AF_INET;
    address->tcp.sin_port = htons(atoi(colon ? colon + 1 : text));
    address->tcp.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return sizeof address->tcp;
}

int listen_on(const char *text, int *port)
{
    union any_address address;
    socklen_t size = parse_address(text, &address);
    int fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        die("socket");
    if (address.any.sa_family == AF_UNIX)
        unlink(address.local.sun_path);
    else
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    if (bind(fd, &address.any, size) || listen(fd, 4096))
        die(text);
    *port = 0;
    if (address.any.sa_family == AF_INET) {
        if (getsockname(fd, &address.any, &size))
            die("getsockname");
        *port = ntohs(address.tcp.sin_port);
    }
    return fd;
}

int connect_to(const char *text)
{
    union any_address address;
    socklen_t size = parse_address(text, &address);
    int fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (connect(fd, &address.any, size) && errno != EINPROGRESS) {
        int error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

#ifdef HAVE_TLS
#include <openssl/err.h>
#include <openssl/ssl.h>

static SSL_CTX *context;
static SSL_SESSION *session; /* the newest, where sessions are resumed */
static uint64_t resumed;

bool have_tls(void) { return true; }

static void new_context(const SSL_METHOD *method)
{
    context = SSL_CTX_new(method);
    if (!context)
        exit(1);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE |
                                  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    /* Several records at a time, rather than two calls of the system for each. */
    SSL_CTX_set_read_ahead(context, 1);
    SSL_CTX_set_default_read_buffer_len(context, 128 * 1024);
}

void use_tls_certificate(const char *certificate, const char *key)
{
    new_context(TLS_server_method());
    if (SSL_CTX_use_certificate_chain_file(context, certificate) != 1 ||
        SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1) {
        ERR_print_errors_fp(stderr);
        exit(1);
    }
}

void use_tls_client(void) { new_context(TLS_client_method()); }

static int keep_session(SSL *tls, SSL_SESSION *newest)
{
    (void)tls;
    SSL_SESSION_free(session);
    session = newest;
    return 1;
}

void use_tls_resumption(void)
{
    SSL_CTX_set_session_cache_mode(context,
                                   SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
    SSL_CTX_sess_set_new_cb(context, keep_session);
}

uint64_t tls_resumed(void) { return resumed; }

static ssize_t tls_result(struct stream *s, int result)
{
    if (result > 0)
        return result;
    int error = SSL_get_error(s->tls, result);
    ERR_clear_error();
    s->want_write = error == SSL_ERROR_WANT_WRITE;
    return error == SSL_ERROR_WANT_READ || s->want_write ? STREAM_AGAIN : STREAM_CLOSED;
}

static void tls_open(struct stream *s, bool server)
{
    s->tls = SSL_new(context);
    SSL_set_fd(s->tls, s->fd);
    if (session)
        SSL_set_session(s->tls, session);
    if (server)
        SSL_set_accept_state(s->tls);
    else
        SSL_set_connect_state(s->tls);
}

static ssize_t tls_read(struct stream *s, void *data, size_t room)
{
    return tls_result(s, SSL_read(s->tls, data, room));
}

static ssize_t tls_write(struct stream *s, const void *data, size_t length)
{
    return tls_result(s, SSL_write(s->tls, data, length));
}

static bool tls_pending(struct stream *s) { return SSL_has_pending(s->tls); }

static void tls_close(struct stream *s)
{
    resumed += SSL_session_reused(s->tls);
    SSL_shutdown(s->tls);
    SSL_free(s->tls);
}

#else

bool have_tls(void) { return false; }
void use_tls_certificate(const char *c, const char *k) { (void)c, (void)k, exit(1); }
void use_tls_client(void) { exit(1); }
void use_tls_resumption(void) { exit(1); }
uint64_t tls_resumed(void) { return 0; }
static void tls_open(struct stream *s, bool server) { (void)s, (void)server; }
static ssize_t tls_read(struct stream *s, void *d, size_t n) { return (void)s, (void)d, (void)n, -2; }
static ssize_t tls_write(struct stream *s, const void *d, size_t n)
{
    return (void)s, (void)d, (void)n, STREAM_CLOSED;
}
static bool tls_pending(struct stream *s) { return (void)s, false; }
static void tls_close(struct stream *s) { (void)s; }
#endif

void stream_open(struct stream *s, int fd, bool tls, bool server)
{
    memset(s, 0, sizeof *s);
    s->fd = fd;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)); /* fails on Unix sockets */
    if (tls)
        tls_open(s, server);
}

ssize_t stream_read(struct stream *s, void *data, size_t room)
{
    if (s->tls)
        return tls_read(s, data, room);
    ssize_t n = recv(s->fd, data, room, 0);
    if (n > 0)
        return n;
    return n < 0 && (errno == EAGAIN || errno == EINTR) ? STREAM_AGAIN : STREAM_CLOSED;
}

ssize_t stream_write(struct stream *s, const void *data, size_t length)
{
    if (s->tls)
        return tls_write(s, data, length);
    ssize_t n = send(s->fd, data, length, MSG_NOSIGNAL);
    if (n >= 0)
        return n;
    return errno == EAGAIN || errno == EINTR ? STREAM_AGAIN : STREAM_CLOSED;
}

bool stream_has_pending(struct stream *s) { return s->tls && tls_pending(s); }

void stream_close(struct stream *s)
{
    if (s->tls)
        tls_close(s);
    close(s->fd);
    s->tls = NULL;
    s->fd = -1;
}
