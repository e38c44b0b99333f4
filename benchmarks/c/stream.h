/* Non-blocking TCP, Unix and TLS streams. Everything stays on 127.0.0.1 or in the file system. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* An address is "PORT", "127.0.0.1:PORT" or "unix:PATH". */
struct stream {
    int fd;
    void *tls;      /* SSL *, or NULL */
    bool want_write; /* TLS: reading waits until the socket takes bytes */
};

#define STREAM_AGAIN (-1)
#define STREAM_CLOSED (-2) /* end of stream, or an error */

int listen_on(const char *address, int *port); /* the socket; exits with a message on failure */
int connect_to(const char *address);           /* a socket that connects; -1 and errno on failure */

bool have_tls(void);
void use_tls_certificate(const char *certificate, const char *key); /* server; exits on failure */
void use_tls_client(void);
void use_tls_resumption(void); /* clients go on with the session of an earlier connection */
uint64_t tls_resumed(void);    /* how many connections that are closed did */

/* Make a stream of an open socket; `server` chooses the side of the TLS handshake. */
void stream_open(struct stream *, int fd, bool tls, bool server);

ssize_t stream_read(struct stream *, void *data, size_t room);
ssize_t stream_write(struct stream *, const void *data, size_t length);
bool stream_has_pending(struct stream *); /* decrypted bytes that epoll doesn't know of */
void stream_close(struct stream *);
