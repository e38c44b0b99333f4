/* One WebSocket connection over a stream: bytes in, messages out, and the other way round. */
#pragma once

#include "buffer.h"
#include "compression.h"
#include "frames.h"
#include "stream.h"

enum connection_state { OPENING, OPEN, CLOSING, CLOSED };

struct connection {
    struct stream stream;
    enum connection_state state;
    bool server;      /* which side of the connection we are */
    uint32_t watched; /* the events that epoll watches for, or NOT_WATCHED */
    struct buffer in; /* the head of the handshake, or an unfinished frame */
    struct buffer out;
    struct buffer message; /* the fragments of an unfinished message */
    uint8_t message_opcode; /* 0 between messages */
    bool message_compressed;
    bool compression; /* permessage-deflate was negotiated */
    struct deflate_parameters deflate;
    struct deflater *deflater;
    struct inflater *inflater;
    uint64_t payload_bytes_in; /* of data frames, as they came: compressed where they are */
};

#define NOT_WATCHED UINT32_MAX

/* A whole message. It may change `data`; the bytes are valid until it returns. */
typedef void message_handler(struct connection *, uint8_t opcode, uint8_t *data, size_t length);

/* The head of the opening handshake is here; false ends the connection. */
typedef bool head_handler(struct connection *, const char *head, size_t length);

struct connection_handlers {
    head_handler *head;
    message_handler *message;
};

/* Begin the opening handshake on a connected or connecting socket. */
void connection_open(struct connection *, int fd, bool tls, bool server);

/* Read what is there and hand it on; false when the connection is over. */
bool connection_read(struct connection *, const struct connection_handlers *);

/* Queue a message in one frame, compressed where that was negotiated. */
void connection_send(struct connection *, uint8_t opcode, const uint8_t *data, size_t length);

/* Queue a message in several frames, or a control frame in one; its payload is used as it is. */
void connection_send_frames(struct connection *, bool rsv1, uint8_t opcode, const uint8_t *data,
                            size_t length, int count);

void connection_send_close(struct connection *, int code);

/* Write what is queued; false when the connection is over. What is left stays in `out`. */
bool connection_flush(struct connection *);

/* Keep the epoll registration in line with what the connection waits for. */
void connection_watch(struct connection *, int epoll, bool read);

void connection_free(struct connection *);
