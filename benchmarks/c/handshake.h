/* RFC 6455 section 4: the opening handshake, as much of it as a benchmark needs. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define ACCEPT_LENGTH 28

/* Sec-WebSocket-Accept for a Sec-WebSocket-Key; `accept` gets a terminating zero. */
void accept_key(const char *key, size_t length, char accept[ACCEPT_LENGTH + 1]);

/* The length of the head in `data` with its blank line, 0 when it isn't complete. */
size_t head_length(const char *data, size_t length);

/* The value of a header in a head, with its length; NULL when it isn't there. */
const char *find_header(const char *head, size_t head_size, const char *name, size_t *length);
