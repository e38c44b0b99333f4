#include "connection.h"
#include "handshake.h"

#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define READ_SIZE (256 * 1024)
#define READ_MIN (64 * 1024)
#define MAX_HEAD (16 * 1024)
#define MAX_MESSAGE (64u * 1024 * 1024)
#define DIRECT_WRITE (16 * 1024) /* from here on a payload goes out without being copied */

static uint8_t read_buffer[READ_SIZE];

/* xorshift64*, seeded by the system: masks that differ are enough against our own servers. */
static void new_mask(uint8_t mask[4])
{
    static uint64_t state;
    while (!state)
        if (getrandom(&state, sizeof state, 0) != sizeof state)
            state = 0;
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    uint32_t value = state * 0x2545F4914F6CDD1D >> 32;
    memcpy(mask, &value, 4);
}

void connection_open(struct connection *c, int fd, bool tls, bool server)
{
    memset(c, 0, sizeof *c);
    stream_open(&c->stream, fd, tls, server);
    c->server = server;
    c->watched = NOT_WATCHED;
}

static void write_direct(struct connection *c, const uint8_t *header, size_t size,
                         const uint8_t *data, size_t length)
{
    struct iovec parts[2] = {{(void *)header, size}, {(void *)data, length}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    ssize_t written = sendmsg(c->stream.fd, &message, MSG_NOSIGNAL);
    size_t done = written < 0 ? 0 : written; /* an error shows again at the next flush */
    if (done < size) {
        buffer_append(&c->out, header + done, size - done);
        done = size;
    }
    if (done < size + length)
        buffer_append(&c->out, data + (done - size), length - (done - size));
}

static void send_frame(struct connection *c, bool fin, bool rsv1, uint8_t opcode,
                       const uint8_t *data, size_t length)
{
    uint8_t header[MAX_FRAME_HEADER], mask[4];
    if (!c->server)
        new_mask(mask);
    size_t size = write_frame_header(header, fin, rsv1, opcode, length, c->server ? NULL : mask);
    if (c->server && length >= DIRECT_WRITE && !c->stream.tls && connection_flush(c) &&
        !buffer_length(&c->out)) {
        write_direct(c, header, size, data, length);
        return;
    }
    uint8_t *out = buffer_reserve(&c->out, size + length);
    memcpy(out, header, size);
    if (c->server)
        memcpy(out + size, data, length);
    else
        apply_mask(out + size, data, length, mask);
    c->out.end += size + length;
}

void connection_send_frames(struct connection *c, bool rsv1, uint8_t opcode, const uint8_t *data,
                            size_t length, int count)
{
    size_t size = (length + count - 1) / count;
    do {
        size_t part = length < size ? length : size;
        send_frame(c, part == length, rsv1, opcode, data, part);
        data += part;
        length -= part;
        opcode = CONTINUATION;
        rsv1 = false;
    } while (length);
}

void connection_send(struct connection *c, uint8_t opcode, const uint8_t *data, size_t length)
{
    if (!c->compression || !length) { /* an empty message gains nothing */
        send_frame(c, true, false, opcode, data, length);
        return;
    }
    if (!c->deflater) {
        /* Window and memory of 4 KiB messages, as the Python servers have them by default. */
        int bits =
            c->server ? c->deflate.server_max_window_bits : c->deflate.client_max_window_bits;
        bool reset = c->server ? c->deflate.server_no_context_takeover
                               : c->deflate.client_no_context_takeover;
        c->deflater = deflater_new(bits >= 9 && bits < 12 ? bits : 12, 5, !reset);
    }
    struct buffer compressed = {0};
    deflate_message(c->deflater, data, length, &compressed);
    send_frame(c, true, true, opcode, compressed.data, buffer_length(&compressed));
    buffer_free(&compressed);
}

void connection_send_close(struct connection *c, int code)
{
    uint8_t payload[2] = {code >> 8, code};
    if (c->state == OPEN) {
        send_frame(c, true, false, CLOSE, payload, code ? 2 : 0);
        c->state = CLOSING;
    }
}

bool connection_flush(struct connection *c)
{
    while (buffer_length(&c->out)) {
        ssize_t n = stream_write(&c->stream, buffer_bytes(&c->out), buffer_length(&c->out));
        if (n == STREAM_CLOSED)
            return false;
        if (n == STREAM_AGAIN)
            return true;
        buffer_consume(&c->out, n);
    }
    return true;
}

static bool fail(struct connection *c, int code)
{
    connection_send_close(c, code);
    connection_flush(c);
    return false;
}

static bool deliver(struct connection *c, uint8_t opcode, bool compressed, uint8_t *data,
                    size_t length, const struct connection_handlers *handlers)
{
    struct buffer inflated = {0};
    if (compressed) {
        if (!c->inflater) {
            int bits = c->server ? c->deflate.client_max_window_bits
                                 : c->deflate.server_max_window_bits;
            bool reset = c->server ? c->deflate.client_no_context_takeover
                                   : c->deflate.server_no_context_takeover;
            c->inflater = inflater_new(bits >= 9 ? bits : 15, !reset);
        }
        if (!inflate_message(c->inflater, data, length, MAX_MESSAGE, &inflated)) {
            buffer_free(&inflated);
            return fail(c, 1007);
        }
        data = inflated.data;
        length = buffer_length(&inflated);
    }
    bool ok = opcode != TEXT || is_utf8(data, length);
    if (ok)
        handlers->message(c, opcode, data, length);
    buffer_free(&inflated);
    return ok ? c->state != CLOSED : fail(c, 1007);
}

static bool receive_frame(struct connection *c, const struct frame_header *frame, uint8_t *payload,
                          const struct connection_handlers *handlers)
{
    size_t length = frame->length;
    if (frame->masked)
        apply_mask(payload, payload, length, frame->mask);
    switch (frame->opcode) {
    case PING:
        if (c->state == OPEN)
            send_frame(c, true, false, PONG, payload, length);
        return true;
    case PONG:
        return true;
    case CLOSE:
        connection_send_close(c, length >= 2 ? payload[0] << 8 | payload[1] : 0);
        connection_flush(c);
        return false;
    }
    if (c->state != OPEN)
        return true; /* we have sent Close: what still comes is not answered */
    c->payload_bytes_in += length;
    bool first = frame->opcode != CONTINUATION;
    if (first == (c->message_opcode != 0) || (frame->rsv1 && !(first && c->compression)))
        return fail(c, 1002);
    if (first && frame->fin)
        return deliver(c, frame->opcode, frame->rsv1, payload, length, handlers);
    if (first) {
        c->message_opcode = frame->opcode;
        c->message_compressed = frame->rsv1;
    }
    if (buffer_length(&c->message) + length > MAX_MESSAGE)
        return fail(c, 1009);
    buffer_append(&c->message, payload, length);
    if (!frame->fin)
        return true;
    uint8_t opcode = c->message_opcode;
    c->message_opcode = 0;
    bool ok = deliver(c, opcode, c->message_compressed, c->message.data,
                      buffer_length(&c->message), handlers);
    buffer_free(&c->message);
    return ok;
}

/* Handle what is whole in `data`. Give the bytes used, and in `needed` how many the rest lacks. */
static bool parse(struct connection *c, uint8_t *data, size_t length, size_t *used, size_t *needed,
                  const struct connection_handlers *handlers)
{
    size_t position = 0;
    *needed = 0;
    if (c->state == OPENING) {
        size_t head = head_length((char *)data, length);
        if (!head && length > MAX_HEAD)
            return false;
        if (head) {
            c->state = OPEN;
            if (!handlers->head(c, (char *)data, head))
                return false;
            position = head;
        }
    }
    while (c->state != OPENING && position < length) {
        struct frame_header frame;
        int result = parse_frame_header(data + position, length - position, &frame);
        if (result < 0 || (result && frame.masked != c->server))
            return fail(c, 1002);
        if (result && frame.length > MAX_MESSAGE)
            return fail(c, 1009);
        if (!result || length - position - frame.size < frame.length) {
            if (result)
                *needed = frame.size + frame.length - (length - position);
            break;
        }
        if (!receive_frame(c, &frame, data + position + frame.size, handlers))
            return false;
        position += frame.size + frame.length;
    }
    *used = position;
    return true;
}

bool connection_read(struct connection *c, const struct connection_handlers *handlers)
{
    do {
        /* Most reads end with a whole frame: they share one buffer and keep nothing. */
        bool shared = !buffer_length(&c->in);
        uint8_t *data = shared ? read_buffer : buffer_reserve(&c->in, READ_MIN);
        size_t room = shared ? READ_SIZE : c->in.capacity - c->in.end;
        ssize_t n = stream_read(&c->stream, data, room);
        if (n == STREAM_AGAIN)
            return true;
        if (n == STREAM_CLOSED)
            return false;
        size_t length = n, used = 0, needed;
        if (!shared) {
            c->in.end += n;
            data = buffer_bytes(&c->in);
            length = buffer_length(&c->in);
        }
        if (!parse(c, data, length, &used, &needed, handlers))
            return false;
        if (shared && used < length) {
            buffer_reserve(&c->in, length - used + needed);
            buffer_append(&c->in, data + used, length - used);
        } else if (!shared) {
            buffer_consume(&c->in, used);
            if (needed)
                buffer_reserve(&c->in, needed);
        }
    } while (stream_has_pending(&c->stream));
    return true;
}

void connection_watch(struct connection *c, int epoll, bool read)
{
    bool write = buffer_length(&c->out) || c->stream.want_write;
    uint32_t wanted = (read ? EPOLLIN : 0) | (write ? EPOLLOUT : 0);
    if (wanted == c->watched)
        return;
    struct epoll_event event = {.events = wanted, .data.ptr = c};
    epoll_ctl(epoll, c->watched == NOT_WATCHED ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, c->stream.fd,
              &event);
    c->watched = wanted;
}

void connection_free(struct connection *c)
{
    if (c->stream.fd >= 0)
        stream_close(&c->stream);
    buffer_free(&c->in);
    buffer_free(&c->out);
    buffer_free(&c->message);
    deflater_free(c->deflater);
    inflater_free(c->inflater);
    c->deflater = NULL;
    c->inflater = NULL;
    c->state = CLOSED;
}
