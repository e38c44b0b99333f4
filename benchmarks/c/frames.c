#include "frames.h"

#include <string.h>

int parse_frame_header(const uint8_t *data, size_t length, struct frame_header *header)
{
    if (length < 2)
        return 0;
    header->fin = data[0] & 0x80;
    header->rsv1 = data[0] & 0x40;
    header->opcode = data[0] & 0x0F;
    header->masked = data[1] & 0x80;
    header->length = data[1] & 0x7F;
    bool control = header->opcode & 0x08;
    if (data[0] & 0x30 || (control && (!header->fin || header->rsv1 || header->length > 125)))
        return -1;
    if (header->opcode > PONG || (header->opcode > BINARY && header->opcode < CLOSE))
        return -1;

    size_t size = 2;
    int extended = header->length == 126 ? 2 : header->length == 127 ? 8 : 0;
    if (length < size + extended)
        return 0;
    if (extended) {
        header->length = 0;
        for (int i = 0; i < extended; i++)
            header->length = header->length << 8 | data[size + i];
        size += extended;
        if (header->length < (extended == 2 ? 126u : 65536u) || header->length >> 63)
            return -1;
    }
    if (header->masked) {
        if (length < size + 4)
            return 0;
        memcpy(header->mask, data + size, 4);
        size += 4;
    }
    header->size = size;
    return 1;
}

size_t write_frame_header(uint8_t *out, bool fin, bool rsv1, uint8_t opcode, uint64_t length,
                          const uint8_t mask[4])
{
    size_t size = 2;
    out[0] = (fin ? 0x80 : 0) | (rsv1 ? 0x40 : 0) | opcode;
    int extended = length < 126 ? 0 : length < 65536 ? 2 : 8;
    out[1] = (mask ? 0x80 : 0) | (extended == 0 ? length : extended == 2 ? 126 : 127);
    for (int i = extended - 1; i >= 0; i--)
        out[size++] = length >> (8 * i);
    if (mask) {
        memcpy(out + size, mask, 4);
        size += 4;
    }
    return size;
}

void apply_mask(uint8_t *out, const uint8_t *in, size_t length, const uint8_t mask[4])
{
    uint32_t mask32;
    memcpy(&mask32, mask, 4);
    uint64_t mask64 = (uint64_t)mask32 << 32 | mask32;
    size_t i = 0;
    for (; i + 8 <= length; i += 8) {
        uint64_t word;
        memcpy(&word, in + i, 8);
        word ^= mask64;
        memcpy(out + i, &word, 8);
    }
    for (; i < length; i++)
        out[i] = in[i] ^ mask[i & 3];
}

bool is_utf8(const uint8_t *data, size_t length)
{
    size_t i = 0;
    while (i < length) {
        uint64_t word;
        while (i + 8 <= length && (memcpy(&word, data + i, 8), !(word & 0x8080808080808080)))
            i += 8;
        if (i == length)
            break;
        uint8_t first = data[i++];
        if (first < 0x80)
            continue;
        /* The second byte has narrower bounds where they keep out overlong forms, surrogates and
           code points above U+10FFFF (RFC 3629 section 4). */
        uint8_t low = 0x80, high = 0xBF;
        int more;
        if (first >= 0xC2 && first <= 0xDF)
            more = 1;
        else if (first >= 0xE0 && first <= 0xEF) {
            more = 2;
            low = first == 0xE0 ? 0xA0 : low;
            high = first == 0xED ? 0x9F : high;
        } else if (first >= 0xF0 && first <= 0xF4) {
            more = 3;
            low = first == 0xF0 ? 0x90 : low;
            high = first == 0xF4 ? 0x8F : high;
        } else
            return false;
        for (; more; more--, low = 0x80, high = 0xBF)
            if (i == length || data[i] < low || data[i++] > high)
                return false;
    }
    return true;
}
