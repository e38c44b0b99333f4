/* A growing run of bytes with a consumed prefix. */
#pragma once

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct buffer {
    uint8_t *data;
    size_t start;    /* consumed bytes at the front */
    size_t end;      /* end of the bytes that are there */
    size_t capacity;
};

static inline size_t buffer_length(const struct buffer *b) { return b->end - b->start; }
static inline uint8_t *buffer_bytes(const struct buffer *b) { return b->data + b->start; }

/* Give room for `extra` more bytes behind the last one. */
static inline uint8_t *buffer_reserve(struct buffer *b, size_t extra)
{
    if (b->capacity - b->end < extra) {
        size_t length = buffer_length(b);
        if (b->start) {
            memmove(b->data, b->data + b->start, length);
            b->start = 0;
            b->end = length;
        }
        if (b->capacity < length + extra) {
            size_t capacity = b->capacity ? b->capacity : 256;
            while (capacity < length + extra)
                capacity *= 2;
            b->data = realloc(b->data, capacity);
            if (!b->data) {
                fprintf(stderr, "out of memory for %zu bytes\n", capacity);
                exit(1);
            }
            b->capacity = capacity;
        }
    }
    return b->data + b->end;
}

static inline void buffer_append(struct buffer *b, const void *data, size_t length)
{
    memcpy(buffer_reserve(b, length), data, length);
    b->end += length;
}

static inline void buffer_free(struct buffer *b)
{
    free(b->data);
    memset(b, 0, sizeof *b);
}

/* Drop bytes at the front; an empty buffer gives its memory back, as most connections are idle. */
static inline void buffer_consume(struct buffer *b, size_t length)
{
    b->start += length;
    if (b->start == b->end)
        buffer_free(b);
}
