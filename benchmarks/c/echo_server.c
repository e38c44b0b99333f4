/* A WebSocket server in C on epoll, in one thread: the limit that the Python servers are held to.

   It keeps RFC 6455 (masking, fragments, UTF-8, Close) and does what the benchmark's servers do:
     /         gives every message back
     /receive  gets every message of /trigger
     /trigger  sends its messages to all of /receive
     /sink     drops binary messages and gives text messages back */
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "connection.h"
#include "handshake.h"

#define WRITE_LIMIT (1024 * 1024) /* above it, a connection isn't read from */

enum role { ECHO, RECEIVE, TRIGGER, SINK };

struct client {
    struct connection connection; /* first, so that a pointer to one is a pointer to the other */
    enum role role;
    size_t index; /* among the receivers */
};

static struct client **receivers;
static size_t receiver_count, receiver_room;
static int epoll;

static void add_receiver(struct client *client)
{
    if (receiver_count == receiver_room) {
        receiver_room = receiver_room ? receiver_room * 2 : 1024;
        receivers = realloc(receivers, receiver_room * sizeof *receivers);
        if (!receivers)
            exit(1);
    }
    client->index = receiver_count;
    receivers[receiver_count++] = client;
}

static void remove_client(struct client *client)
{
    if (client->role == RECEIVE) {
        receivers[client->index] = receivers[--receiver_count];
        receivers[client->index]->index = client->index;
    }
    connection_free(&client->connection);
    free(client);
}

static void choose_role(struct client *client, const char *head)
{
    if (!strncmp(head, "GET /receive ", 13)) {
        client->role = RECEIVE;
        add_receiver(client);
    } else if (!strncmp(head, "GET /trigger ", 13))
        client->role = TRIGGER;
    else if (!strncmp(head, "GET /sink ", 10))
        client->role = SINK;
}

static bool on_head(struct connection *c, const char *head, size_t length)
{
    size_t key_length, value_length, extensions_length;
    const char *key = find_header(head, length, "Sec-WebSocket-Key", &key_length);
    const char *upgrade = find_header(head, length, "Upgrade", &value_length);
    if (strncmp(head, "GET ", 4) || !key || key_length != 24 || !upgrade) {
        static const char refusal[] = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n"
                                      "Content-Length: 0\r\n\r\n";
        buffer_append(&c->out, refusal, sizeof refusal - 1);
        connection_flush(c);
        return false;
    }
    char accept[ACCEPT_LENGTH + 1], response[512], extension[128] = "";
    accept_key(key, key_length, accept);
    const char *extensions =
        find_header(head, length, "Sec-WebSocket-Extensions", &extensions_length);
    struct deflate_parameters *deflate = &c->deflate;
    if (extensions && have_compression() &&
        parse_deflate_parameters(extensions, extensions_length, deflate)) {
        c->compression = true;
        /* A window of 4 KiB is asked of the client where it says that it can have a smaller one. */
        if (deflate->client_max_window_bits)
            deflate->client_max_window_bits = 12;
        int size = snprintf(extension, sizeof extension,
                            "Sec-WebSocket-Extensions: permessage-deflate%s%s%s",
                            deflate->client_max_window_bits ? "; client_max_window_bits=12" : "",
                            deflate->server_no_context_takeover ? "; server_no_context_takeover" : "",
                            deflate->client_no_context_takeover ? "; client_no_context_takeover" : "");
        if (deflate->server_max_window_bits)
            size += snprintf(extension + size, sizeof extension - size,
                             "; server_max_window_bits=%d", deflate->server_max_window_bits);
        snprintf(extension + size, sizeof extension - size, "\r\n");
    }
    int size = snprintf(response, sizeof response,
                        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                        "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n%s\r\n",
                        accept, extension);
    buffer_append(&c->out, response, size);
    choose_role((struct client *)c, head);
    return true;
}

static void broadcast(uint8_t opcode, const uint8_t *data, size_t length)
{
    for (size_t i = 0; i < receiver_count; i++) {
        struct connection *receiver = &receivers[i]->connection;
        if (receiver->state != OPEN)
            continue;
        connection_send(receiver, opcode, data, length);
        connection_flush(receiver); /* a failure shows at the next read */
        connection_watch(receiver, epoll, true);
    }
}

static void on_message(struct connection *c, uint8_t opcode, uint8_t *data, size_t length)
{
    switch (((struct client *)c)->role) {
    case TRIGGER:
        broadcast(opcode, data, length);
        break;
    case SINK:
        if (opcode == BINARY)
            break;
        /* fall through */
    case ECHO:
        connection_send(c, opcode, data, length);
        break;
    case RECEIVE:
        break;
    }
}

static void accept_clients(int listener, bool tls)
{
    for (int i = 0; i < 64; i++) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            return;
        struct client *client = calloc(1, sizeof *client);
        if (!client)
            exit(1);
        connection_open(&client->connection, fd, tls, true);
        connection_watch(&client->connection, epoll, true);
    }
}

static void serve(struct client *client, uint32_t events)
{
    static const struct connection_handlers handlers = {on_head, on_message};
    struct connection *c = &client->connection;
    bool alive = !(events & EPOLLOUT) || connection_flush(c);
    bool read = buffer_length(&c->out) < WRITE_LIMIT;
    if (alive && read && events & (EPOLLIN | EPOLLHUP | EPOLLERR))
        alive = connection_read(c, &handlers) && connection_flush(c);
    else if (alive && c->stream.want_write)
        alive = connection_read(c, &handlers);
    if (!alive) {
        remove_client(client);
        return;
    }
    connection_watch(c, epoll, buffer_length(&c->out) < WRITE_LIMIT);
}

int main(int count, char **arguments)
{
    const char *address = "0";
    bool tls = false;
    char unix_address[128];
    for (int i = 1; i < count; i++) {
        if (!strcmp(arguments[i], "--port") && i + 1 < count)
            address = arguments[++i];
        else if (!strcmp(arguments[i], "--unix") && i + 1 < count) {
            snprintf(unix_address, sizeof unix_address, "unix:%s", arguments[++i]);
            address = unix_address;
        } else if (!strcmp(arguments[i], "--tls") && i + 2 < count && have_tls()) {
            use_tls_certificate(arguments[i + 1], arguments[i + 2]);
            tls = true;
            i += 2;
        } else {
            fprintf(stderr, "usage: %s [--port N | --unix PATH] [--tls CERTIFICATE KEY]\n",
                    arguments[0]);
            return 2;
        }
    }
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    signal(SIGPIPE, SIG_IGN);

    int port, listener = listen_on(address, &port);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event events[256] = {{.events = EPOLLIN, .data.ptr = NULL}};
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, events);
    printf("ready %d\n", port);
    fflush(stdout);
    for (;;) {
        int ready = epoll_wait(epoll, events, 256, -1);
        for (int i = 0; i < ready; i++) {
            if (events[i].data.ptr)
                serve(events[i].data.ptr, events[i].events);
            else
                accept_clients(listener, tls);
        }
    }
}
