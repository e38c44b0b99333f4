/* A load generator for WebSocket servers: one thread, epoll, any number of connections.

   Every answer is compared with what was sent. The server's CPU time is read from its process clock
   at the two ends of the measured time, so that neither start nor end of the server counts. */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "connection.h"
#include "handshake.h"
#include "measure.h"
#include "options.h"
#include "script.h"

#define NANO 1000000000ull
#define OPEN_TIMEOUT 60.0 /* seconds for all connections together */
#define CLOSE_TIMEOUT 3.0
#define WARM_CONNECTIONS 8
#define PACED_DEPTH 65536

struct client {
    struct connection connection; /* first, so that a pointer to one is a pointer to the other */
    int number;
    char accept[ACCEPT_LENGTH + 1];
    uint64_t sent, received;
    uint64_t *times;  /* when the last messages were sent, a ring */
    uint64_t started; /* when the opening handshake began */
};

static struct options options;
static struct script script;
static struct client *clients;
static int epoll, opening, opened, closed;
static bool sending; /* answers are followed by new messages */
static uint64_t now, trigger_time;
static uint64_t ring; /* entries in `times`, a power of two */
static uint64_t messages, message_bytes, wire_bytes, opened_in_all;
static struct histogram latencies;

__attribute__((format(printf, 1, 2), noreturn)) static void die(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "load: ");
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\n");
    va_end(arguments);
    exit(1);
}

/* --- opening and closing ---------------------------------------------------------------------- */

static const char *path_of(const struct client *client)
{
    if (options.mode != MODE_BROADCAST)
        return "/";
    return client->number ? "/receive" : "/trigger";
}

static void start_opening(struct client *client)
{
    int fd = connect_to(options.address);
    if (fd < 0)
        die("cannot connect to %s: %s", options.address, strerror(errno));
    struct connection *c = &client->connection;
    connection_open(c, fd, options.tls, false);

    static uint32_t counter;
    char key[25], request[512];
    /* 24 digits of base64 for 16 bytes: the last one before the padding has four zero bits. */
    snprintf(key, sizeof key, "%021uA==", ++counter);
    accept_key(key, 24, client->accept);
    int size = snprintf(request, sizeof request,
                        "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
                        "Connection: Upgrade\r\nSec-WebSocket-Key: %s\r\n"
                        "Sec-WebSocket-Version: 13\r\n%s\r\n",
                        path_of(client), key,
                        options.compression ? "Sec-WebSocket-Extensions: permessage-deflate; "
                                              "client_max_window_bits\r\n"
                                            : "");
    buffer_append(&c->out, request, size);
    client->sent = client->received = 0;
    client->started = now_ns();
    opening++;
    connection_watch(c, epoll, true);
}

static bool on_head(struct connection *c, const char *head, size_t length)
{
    struct client *client = (struct client *)c;
    size_t accept_length, extensions_length;
    const char *accept = find_header(head, length, "Sec-WebSocket-Accept", &accept_length);
    if (strncmp(head, "HTTP/1.1 101 ", 13) || !accept || accept_length != ACCEPT_LENGTH ||
        memcmp(accept, client->accept, ACCEPT_LENGTH))
        die("the opening handshake failed:\n%.*s", (int)length, head);
    const char *extensions =
        find_header(head, length, "Sec-WebSocket-Extensions", &extensions_length);
    c->compression =
        extensions && parse_deflate_parameters(extensions, extensions_length, &c->deflate);
    if (c->compression != options.compression)
        die("compression was %s", c->compression ? "not offered" : "declined");
    opening--;
    opened++;
    opened_in_all++;
    if (options.mode == MODE_STORM || options.mode == MODE_MEMORY)
        histogram_add(&latencies, now - client->started, 1);
    if (options.mode == MODE_STORM)
        connection_send_close(c, 1000);
    return true;
}

/* --- messages --------------------------------------------------------------------------------- */

static void send_next(struct client *client, uint64_t time)
{
    client->times[client->sent & (ring - 1)] = time;
    script_send(&script, &client->connection, client->sent++);
}

static void on_message(struct connection *c, uint8_t opcode, uint8_t *data, size_t length)
{
    struct client *client = (struct client *)c;
    const struct text *expected = script_message(&script, client->received);
    if (opcode != script.opcode || length != expected->length ||
        memcmp(data, expected->data, length))
        die("connection %d: message %llu isn't what was sent: %zu bytes, not %zu", client->number,
            (unsigned long long)client->received, length, expected->length);
    uint64_t sent_at = options.mode == MODE_BROADCAST
                           ? trigger_time
                           : client->times[client->received & (ring - 1)];
    client->received++;
    messages++;
    message_bytes += length;
    if (options.mode != MODE_MEMORY)
        histogram_add(&latencies, now - sent_at, 1);
    if (sending && options.mode == MODE_ECHO && options.interval == 0)
        send_next(client, now);
}

/* --- the event loop --------------------------------------------------------------------------- */

static void end_of(struct client *client)
{
    struct connection *c = &client->connection;
    if (c->state != CLOSING && (sending || c->state == OPENING))
        die("the server ended connection %d", client->number);
    wire_bytes += c->payload_bytes_in;
    opened--;
    closed++;
    connection_free(c);
    if (sending && options.mode == MODE_STORM)
        start_opening(client);
}

static void turn(int timeout_ms)
{
    static const struct connection_handlers handlers = {on_head, on_message};
    struct epoll_event events[256];
    int ready = epoll_wait(epoll, events, 256, timeout_ms);
    for (int i = 0; i < ready; i++) {
        struct client *client = events[i].data.ptr;
        if (!client)
            continue; /* the timer of send_at_pace */
        struct connection *c = &client->connection;
        now = now_ns();
        bool alive = !(events[i].events & EPOLLOUT) || connection_flush(c);
        if (alive && (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR) || c->stream.want_write))
            alive = connection_read(c, &handlers) && connection_flush(c);
        if (alive)
            connection_watch(c, epoll, true);
        else
            end_of(client);
    }
    now = now_ns();
}

static void turn_until(uint64_t deadline)
{
    while (now < deadline)
        turn((deadline - now + 999999) / 1000000);
}

static void settle(double seconds) { turn_until(now + seconds * NANO); }

static void open_connections(int from, int to)
{
    uint64_t deadline = now_ns() + OPEN_TIMEOUT * NANO;
    for (int next = from; opened < to || opening;) {
        while (next < to && opening < options.opening)
            start_opening(&clients[next++]);
        turn(100);
        if (now > deadline)
            die("only %d of %d connections are open after %.0f s", opened, to, OPEN_TIMEOUT);
    }
}

static void close_connections(int from, int to)
{
    int wanted = closed;
    for (int i = from; i < to; i++) {
        struct connection *c = &clients[i].connection;
        if (c->state == OPEN) {
            wanted++;
            connection_send_close(c, 1000);
            connection_flush(c);
            connection_watch(c, epoll, true);
        }
    }
    uint64_t deadline = now_ns() + CLOSE_TIMEOUT * NANO;
    while (closed < wanted && now < deadline)
        turn(10);
}

/* --- what is measured ------------------------------------------------------------------------- */

struct window {
    struct usage before, after;
    uint64_t messages, message_bytes, wire_bytes, opened, resumed;
};

static uint64_t wire_bytes_now(void)
{
    uint64_t total = wire_bytes;
    for (int i = 0; i < options.connections; i++)
        if (clients[i].connection.state != CLOSED)
            total += clients[i].connection.payload_bytes_in;
    return total;
}

static struct window window_begin(void)
{
    struct window w = {.messages = messages, .message_bytes = message_bytes,
                       .wire_bytes = wire_bytes_now(), .opened = opened_in_all,
                       .resumed = tls_resumed()};
    memset(&latencies, 0, sizeof latencies);
    w.before = read_usage(options.pid);
    return w;
}

static void window_end(struct window *w)
{
    w->after = read_usage(options.pid);
    w->messages = messages - w->messages;
    w->message_bytes = message_bytes - w->message_bytes;
    w->wire_bytes = wire_bytes_now() - w->wire_bytes;
    w->opened = opened_in_all - w->opened;
    w->resumed = tls_resumed() - w->resumed;
    /* The first connections have nothing to resume. */
    if (options.resume && options.mode == MODE_STORM && !tls_resumed())
        die("the server resumed none of %llu TLS sessions", (unsigned long long)opened_in_all);
}

/* `extra` is more JSON members, each ending with a comma. */
static void print_window(const struct window *w, const char *extra)
{
    printf("{%s\"connections\": %d, \"seconds\": %.6f, \"messages\": %llu, \"message_bytes\": %llu, "
           "\"wire_bytes\": %llu, \"opened\": %llu, \"resumed\": %llu, "
           "\"server_cpu\": %.6f, \"server_user\": %.2f, "
           "\"server_system\": %.2f, \"load_cpu\": %.6f, \"latency\": {\"count\": %llu, "
           "\"p50\": %llu, \"p99\": %llu, \"p999\": %llu, \"max\": %llu}}\n",
           extra, options.connections, (w->after.wall_ns - w->before.wall_ns) / 1e9,
           (unsigned long long)w->messages, (unsigned long long)w->message_bytes,
           (unsigned long long)w->wire_bytes, (unsigned long long)w->opened,
           (unsigned long long)w->resumed,
           (w->after.server_ns - w->before.server_ns) / 1e9,
           (double)(w->after.server_user_ticks - w->before.server_user_ticks) /
               sysconf(_SC_CLK_TCK),
           (double)(w->after.server_system_ticks - w->before.server_system_ticks) /
               sysconf(_SC_CLK_TCK),
           (w->after.load_ns - w->before.load_ns) / 1e9, (unsigned long long)latencies.total,
           (unsigned long long)histogram_quantile(&latencies, 0.50),
           (unsigned long long)histogram_quantile(&latencies, 0.99),
           (unsigned long long)histogram_quantile(&latencies, 0.999),
           (unsigned long long)latencies.max);
}

static void send_at_pace(uint64_t deadline)
{
    static uint64_t due;
    static int timer = -1;
    if (timer < 0) {
        timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
        struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.ptr = NULL};
        epoll_ctl(epoll, EPOLL_CTL_ADD, timer, &event);
        due = now_ns();
    }
    while (now < deadline) {
        /* A message counts from when it was due, not from when there was time to send it. */
        for (; due <= now; due += options.interval * NANO)
            for (int i = 0; i < options.connections; i++) {
                struct client *client = &clients[i];
                if (client->sent - client->received >= ring)
                    die("the server doesn't keep up with an interval of %g s", options.interval);
                send_next(client, due);
                connection_flush(&client->connection);
                connection_watch(&client->connection, epoll, true);
            }
        struct itimerspec at = {.it_value = {due / NANO, due % NANO}};
        timerfd_settime(timer, TFD_TIMER_ABSTIME, &at, NULL);
        turn((deadline > now ? deadline - now : 0) / 1000000 + 1);
    }
}

static void measure_echo(void)
{
    open_connections(0, options.connections);
    sending = true;
    for (int i = 0; options.interval == 0 && i < options.connections; i++) {
        now = now_ns();
        for (int j = 0; j < options.depth; j++)
            send_next(&clients[i], now);
        connection_flush(&clients[i].connection);
        connection_watch(&clients[i].connection, epoll, true);
    }
    void (*run)(uint64_t) = options.interval == 0 ? turn_until : send_at_pace;
    now = now_ns();
    run(now + options.warmup * NANO);
    struct window w = window_begin();
    run(now + options.duration * NANO);
    window_end(&w);
    sending = false;
    print_window(&w, "");
    close_connections(0, options.connections);
}

static void measure_memory(void)
{
    /* What a server makes once, for its first connections, isn't a cost of each. */
    int warm = options.connections < WARM_CONNECTIONS ? options.connections : WARM_CONNECTIONS;
    open_connections(0, warm);
    close_connections(0, warm);
    settle(0.3);

    uint64_t before = resident_bytes(options.pid);
    struct window w = window_begin();
    open_connections(0, options.connections);
    uint64_t all_open = now;
    settle(0.3);
    window_end(&w);
    w.after.wall_ns = all_open;
    uint64_t idle = resident_bytes(options.pid);

    sending = true;
    uint64_t deadline = now + OPEN_TIMEOUT * NANO;
    for (int i = 0; i < options.connections; i++) {
        send_next(&clients[i], now);
        connection_flush(&clients[i].connection);
        connection_watch(&clients[i].connection, epoll, true);
        while (i + 1u - messages >= 64 || (i + 1 == options.connections && messages < i + 1u)) {
            turn(100);
            if (now > deadline)
                die("only %llu of %d messages came back", (unsigned long long)messages, i + 1);
        }
    }
    sending = false;
    settle(0.3);
    char extra[128];
    snprintf(extra, sizeof extra,
             "\"resident_before\": %llu, \"resident_idle\": %llu, \"resident_used\": %llu, ",
             (unsigned long long)before, (unsigned long long)idle,
             (unsigned long long)resident_bytes(options.pid));
    print_window(&w, extra);
    close_connections(0, options.connections);
}

static void broadcast_until(uint64_t deadline)
{
    static uint64_t rounds;
    uint64_t receivers = options.connections - 1;
    do {
        /* The servers send on what they are told; receivers expect the message of this number. */
        struct connection *c = &clients[0].connection;
        trigger_time = now_ns();
        script_send(&script, c, rounds++);
        connection_flush(c);
        connection_watch(c, epoll, true);
        uint64_t timeout = trigger_time + OPEN_TIMEOUT * NANO;
        while (messages < rounds * receivers) {
            turn(100);
            if (now > timeout)
                die("a broadcast reached %llu of %llu",
                    (unsigned long long)(messages - (rounds - 1) * receivers),
                    (unsigned long long)receivers);
        }
    } while (now < deadline);
}

static void measure_broadcast(void)
{
    open_connections(0, options.connections);
    sending = true;
    settle(0.1);
    broadcast_until(now + options.warmup * NANO);
    struct window w = window_begin();
    broadcast_until(now + options.duration * NANO);
    window_end(&w);
    sending = false;
    print_window(&w, "");
    close_connections(0, options.connections);
}

static void measure_storm(void)
{
    sending = true;
    now = now_ns();
    for (int i = 0; i < options.connections; i++)
        start_opening(&clients[i]);
    turn_until(now + options.warmup * NANO);
    struct window w = window_begin();
    turn_until(now + options.duration * NANO);
    window_end(&w);
    sending = false;
    print_window(&w, "");
}

int main(int count, char **arguments)
{
    options = parse_options(count, arguments);
    script = make_script(&options);
    if (options.tls)
        use_tls_client();
    if (options.resume)
        use_tls_resumption();
    signal(SIGPIPE, SIG_IGN);
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    if (files.rlim_cur < (rlim_t)options.connections + 16)
        die("%d connections need a higher limit of open files", options.connections);

    ring = options.interval > 0 ? PACED_DEPTH : 1;
    while (ring < (uint64_t)options.depth)
        ring *= 2;
    epoll = epoll_create1(EPOLL_CLOEXEC);
    clients = calloc(options.connections, sizeof *clients);
    for (int i = 0; clients && i < options.connections; i++) {
        clients[i].number = i;
        clients[i].connection.state = CLOSED;
        clients[i].connection.stream.fd = -1;
        clients[i].times = calloc(ring, sizeof(uint64_t));
        if (!clients[i].times)
            die("out of memory for %d connections", options.connections);
    }
    now = now_ns();
    switch (options.mode) {
    case MODE_ECHO: measure_echo(); break;
    case MODE_MEMORY: measure_memory(); break;
    case MODE_BROADCAST: measure_broadcast(); break;
    case MODE_STORM: measure_storm(); break;
    }
    return 0;
}
