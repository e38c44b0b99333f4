/* RFC 7692: permessage-deflate with zlib. Without zlib nothing is ever negotiated. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buffer.h"

struct deflate_parameters {
    bool server_no_context_takeover, client_no_context_takeover;
    int server_max_window_bits; /* 0: not named */
    int client_max_window_bits; /* 0: not named, -1: named without a value */
};

bool have_compression(void);

/* Read the first permessage-deflate element of a Sec-WebSocket-Extensions value. */
bool parse_deflate_parameters(const char *value, size_t length, struct deflate_parameters *out);

/* NULL when zlib can't do it. */
struct deflater *deflater_new(int window_bits, int memory_level, bool context_takeover);
struct inflater *inflater_new(int window_bits, bool context_takeover);
void deflater_free(struct deflater *);
void inflater_free(struct inflater *);

/* Append one compressed message to `out`. */
void deflate_message(struct deflater *, const uint8_t *data, size_t length, struct buffer *out);

/* Append one message to `out`; false when the bytes are no message or pass `limit`. */
bool inflate_message(struct inflater *, const uint8_t *data, size_t length, size_t limit,
                     struct buffer *out);
