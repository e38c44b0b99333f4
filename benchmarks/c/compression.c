#include "compression.h"

#include <ctype.h>
#include <strings.h>

static bool equals(const char *start, const char *end, const char *word)
{
    size_t length = strlen(word);
    return (size_t)(end - start) == length && !strncasecmp(start, word, length);
}

static void trim(const char **start, const char **end)
{
    while (*start < *end && isblank((unsigned char)**start))
        (*start)++;
    while (*start < *end && isblank((unsigned char)(*end)[-1]))
        (*end)--;
}

bool parse_deflate_parameters(const char *value, size_t length, struct deflate_parameters *out)
{
    const char *end = value + length;
    while (value < end) {
        const char *element_end = memchr(value, ',', end - value);
        if (!element_end)
            element_end = end;
        bool first = true, ours = false;
        for (const char *item = value; item <= element_end && (first || ours);) {
            const char *item_end = memchr(item, ';', element_end - item);
            if (!item_end)
                item_end = element_end;
            const char *name = item, *name_end = item_end;
            const char *equal = memchr(item, '=', item_end - item);
            int number = -1;
            if (equal) {
                name_end = equal;
                const char *digits = equal + 1;
                while (digits < item_end && !isdigit((unsigned char)*digits))
                    digits++; /* blanks, and the quotes of a quoted string */
                number = atoi(digits);
            }
            trim(&name, &name_end);
            if (first) {
                ours = equals(name, name_end, "permessage-deflate");
                memset(out, 0, sizeof *out);
            } else if (equals(name, name_end, "server_no_context_takeover"))
                out->server_no_context_takeover = true;
            else if (equals(name, name_end, "client_no_context_takeover"))
                out->client_no_context_takeover = true;
            else if (equals(name, name_end, "server_max_window_bits"))
                out->server_max_window_bits = number;
            else if (equals(name, name_end, "client_max_window_bits"))
                out->client_max_window_bits = number;
            first = false;
            item = item_end + 1;
        }
        if (ours)
            return true;
        value = element_end + 1;
    }
    return false;
}

#ifdef HAVE_ZLIB
#include <zlib.h>

struct deflater {
    z_stream stream;
    bool context_takeover;
};

struct inflater {
    z_stream stream;
    bool context_takeover;
};

static const uint8_t TAIL[4] = {0x00, 0x00, 0xFF, 0xFF}; /* section 7.2.1 */

bool have_compression(void) { return true; }

struct deflater *deflater_new(int window_bits, int memory_level, bool context_takeover)
{
    struct deflater *d = calloc(1, sizeof *d);
    d->context_takeover = context_takeover;
    if (deflateInit2(&d->stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, -window_bits, memory_level,
                     Z_DEFAULT_STRATEGY) != Z_OK) {
        free(d);
        return NULL;
    }
    return d;
}

struct inflater *inflater_new(int window_bits, bool context_takeover)
{
    struct inflater *i = calloc(1, sizeof *i);
    i->context_takeover = context_takeover;
    if (inflateInit2(&i->stream, -window_bits) != Z_OK) {
        free(i);
        return NULL;
    }
    return i;
}

void deflater_free(struct deflater *d)
{
    if (d) {
        deflateEnd(&d->stream);
        free(d);
    }
}

void inflater_free(struct inflater *i)
{
    if (i) {
        inflateEnd(&i->stream);
        free(i);
    }
}

void deflate_message(struct deflater *d, const uint8_t *data, size_t length, struct buffer *out)
{
    z_stream *z = &d->stream;
    z->next_in = (Bytef *)data;
    z->avail_in = length;
    size_t room = length / 2 + 64;
    do {
        z->next_out = buffer_reserve(out, room);
        z->avail_out = room;
        deflate(z, Z_SYNC_FLUSH);
        out->end += room - z->avail_out;
    } while (!z->avail_out);
    out->end -= sizeof TAIL;
    if (!d->context_takeover)
        deflateReset(z);
}

static bool inflate_bytes(z_stream *z, const uint8_t *data, size_t length, size_t limit,
                          struct buffer *out)
{
    z->next_in = (Bytef *)data;
    z->avail_in = length;
    size_t room = length * 4 + 64;
    do {
        z->next_out = buffer_reserve(out, room);
        z->avail_out = room;
        int result = inflate(z, Z_SYNC_FLUSH);
        out->end += room - z->avail_out;
        if (result == Z_STREAM_END) /* a block with BFINAL, legal by section 7.2.3.4 */
            inflateReset(z);
        else if (result != Z_OK && result != Z_BUF_ERROR)
            return false;
        if (buffer_length(out) > limit)
            return false;
    } while (!z->avail_out || z->avail_in);
    return true;
}

bool inflate_message(struct inflater *i, const uint8_t *data, size_t length, size_t limit,
                     struct buffer *out)
{
    if (!length)
        return true;
    bool ok = inflate_bytes(&i->stream, data, length, limit, out) &&
              inflate_bytes(&i->stream, TAIL, sizeof TAIL, limit, out);
    if (!i->context_takeover)
        inflateReset(&i->stream);
    return ok;
}

#else

bool have_compression(void) { return false; }

struct deflater *deflater_new(int window_bits, int memory_level, bool context_takeover)
{
    (void)window_bits, (void)memory_level, (void)context_takeover;
    return NULL;
}

struct inflater *inflater_new(int window_bits, bool context_takeover)
{
    (void)window_bits, (void)context_takeover;
    return NULL;
}

void deflater_free(struct deflater *d) { (void)d; }
void inflater_free(struct inflater *i) { (void)i; }

void deflate_message(struct deflater *d, const uint8_t *data, size_t length, struct buffer *out)
{
    (void)d, (void)data, (void)length, (void)out;
}

bool inflate_message(struct inflater *i, const uint8_t *data, size_t length, size_t limit,
                     struct buffer *out)
{
    (void)i, (void)data, (void)length, (void)limit, (void)out;
    return false;
}
#endif
