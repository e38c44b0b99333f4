#include "handshake.h"

#include <ctype.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

static const char GUID[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

static uint32_t rotate(uint32_t value, int bits) { return value << bits | value >> (32 - bits); }

static void sha1_block(uint32_t state[5], const uint8_t block[64])
{
    uint32_t w[80];
    for (int i = 0; i < 16; i++)
        w[i] = (uint32_t)block[4 * i] << 24 | block[4 * i + 1] << 16 | block[4 * i + 2] << 8 |
               block[4 * i + 3];
    for (int i = 16; i < 80; i++)
        w[i] = rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];
    for (int i = 0; i < 80; i++) {
        uint32_t f, k;
        if (i < 20)
            f = (b & c) | (~b & d), k = 0x5A827999;
        else if (i < 40)
            f = b ^ c ^ d, k = 0x6ED9EBA1;
        else if (i < 60)
            f = (b & c) | (b & d) | (c & d), k = 0x8F1BBCDC;
        else
            f = b ^ c ^ d, k = 0xCA62C1D6;
        uint32_t next = rotate(a, 5) + f + e + k + w[i];
        e = d, d = c, c = rotate(b, 30), b = a, a = next;
    }
    state[0] += a, state[1] += b, state[2] += c, state[3] += d, state[4] += e;
}

/* FIPS 180-4, for messages of at most 119 bytes: a key and the GUID have 60. */
static void sha1_short(const uint8_t *data, size_t length, uint8_t digest[20])
{
    uint8_t blocks[128] = {0};
    memcpy(blocks, data, length);
    blocks[length] = 0x80;
    size_t size = length < 56 ? 64 : 128;
    blocks[size - 2] = length * 8 >> 8;
    blocks[size - 1] = length * 8;
    uint32_t state[5] = {0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0};
    for (size_t i = 0; i < size; i += 64)
        sha1_block(state, blocks + i);
    for (int i = 0; i < 20; i++)
        digest[i] = state[i / 4] >> (24 - 8 * (i % 4));
}

void accept_key(const char *key, size_t length, char accept[ACCEPT_LENGTH + 1])
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint8_t text[64 + sizeof GUID], digest[21] = {0};
    if (length > 64)
        length = 64;
    memcpy(text, key, length);
    memcpy(text + length, GUID, sizeof GUID - 1);
    sha1_short(text, length + sizeof GUID - 1, digest);
    for (int i = 0; i < 7; i++) {
        uint32_t triple = digest[3 * i] << 16 | digest[3 * i + 1] << 8 | digest[3 * i + 2];
        for (int j = 0; j < 4; j++)
            accept[4 * i + j] = digits[triple >> (18 - 6 * j) & 63];
    }
    accept[27] = '='; /* 20 bytes make 27 digits and one of padding */
    accept[28] = 0;
}

size_t head_length(const char *data, size_t length)
{
    const char *end = memmem(data, length, "\r\n\r\n", 4);
    return end ? (size_t)(end - data) + 4 : 0;
}

const char *find_header(const char *head, size_t head_size, const char *name, size_t *length)
{
    size_t name_length = strlen(name);
    const char *end = head + head_size;
    const char *line = memmem(head, head_size, "\r\n", 2);
    while (line && line + 2 + name_length < end) {
        line += 2;
        const char *line_end = memmem(line, end - line, "\r\n", 2);
        if (!line_end)
            return NULL;
        if (!strncasecmp(line, name, name_length) && line[name_length] == ':') {
            const char *value = line + name_length + 1;
            while (value < line_end && isblank((unsigned char)*value))
                value++;
            *length = line_end - value;
            return value;
        }
        line = line_end;
    }
    return NULL;
}
