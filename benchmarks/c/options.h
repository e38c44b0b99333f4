/* What the load generator is asked to do. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum mode {
    MODE_ECHO,      /* messages there and back, a fixed number of them in flight */
    MODE_MEMORY,    /* open connections and look at the server's memory */
    MODE_BROADCAST, /* one message to all connections, again and again */
    MODE_STORM,     /* open and close connections, again and again */
};

struct options {
    enum mode mode;
    const char *address;
    bool tls;
    bool resume; /* TLS sessions */
    bool compression;
    bool text;
    const char *messages; /* a file with one message per line, instead of `size` */
    size_t size;          /* of a message, in bytes */
    int connections;
    int depth;     /* messages in flight per connection */
    int fragments; /* frames per message */
    int opening;   /* opening handshakes at a time */
    double interval; /* seconds between messages of a connection, 0: answer by answer */
    double warmup, duration; /* seconds */
    pid_t pid; /* of the server, 0: unknown */
};

/* Exits with a message when the arguments make no sense. */
struct options parse_options(int count, char **arguments);
