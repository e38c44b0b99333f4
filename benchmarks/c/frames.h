/* RFC 6455 section 5: frame headers, masking, UTF-8. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum opcode {
    CONTINUATION = 0x0,
    TEXT = 0x1,
    BINARY = 0x2,
    CLOSE = 0x8,
    PING = 0x9,
    PONG = 0xA,
};

#define MAX_FRAME_HEADER 14

struct frame_header {
    bool fin, rsv1, masked;
    uint8_t opcode;
    uint8_t mask[4];
    uint64_t length; /* of the payload */
    size_t size;     /* of the header itself */
};

/* 1: parsed, 0: more bytes are needed, -1: not a frame that RFC 6455 allows. */
int parse_frame_header(const uint8_t *data, size_t length, struct frame_header *header);

/* Write a header, give its size. `mask` is NULL for an unmasked frame. */
size_t write_frame_header(uint8_t *out, bool fin, bool rsv1, uint8_t opcode, uint64_t length,
                          const uint8_t mask[4]);

/* XOR with the masking key; `out` and `in` are equal or don't overlap. */
void apply_mask(uint8_t *out, const uint8_t *in, size_t length, const uint8_t mask[4]);

bool is_utf8(const uint8_t *data, size_t length);
