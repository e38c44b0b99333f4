#include "script.h"

#define VARIATIONS 64

static void add_message(struct script *script, const void *data, size_t length)
{
    script->messages = realloc(script->messages, (script->count + 1) * sizeof *script->messages);
    struct text *message = &script->messages[script->count++];
    message->data = malloc(length + 1);
    if (!message->data) {
        fprintf(stderr, "out of memory for messages\n");
        exit(1);
    }
    memcpy(message->data, data, length);
    message->length = length;
}

static void read_messages(struct script *script, const char *path)
{
    FILE *file = fopen(path, "r");
    char *line = NULL;
    size_t room = 0;
    ssize_t length;
    while (file && (length = getline(&line, &room, file)) > 0)
        add_message(script, line, line[length - 1] == '\n' ? length - 1 : length);
    if (!file || !script->count) {
        fprintf(stderr, "%s: no messages\n", path);
        exit(1);
    }
    free(line);
    fclose(file);
}

static void make_messages(struct script *script, size_t size)
{
    /* Printable and different, so that a lost, doubled or swapped answer is noticed. */
    char *text = malloc(size + 1);
    int count = size > 65536 ? 4 : VARIATIONS;
    uint32_t state = 1;
    for (int i = 0; text && i < count; i++) {
        for (size_t j = 0; j < size; j++) {
            state = state * 1664525 + 1013904223;
            text[j] = ' ' + (state >> 16) % 95;
        }
        add_message(script, text, size);
    }
    free(text);
}

struct script make_script(const struct options *options)
{
    struct script script = {.opcode = options->text ? TEXT : BINARY,
                            .fragments = options->fragments};
    if (options->messages)
        read_messages(&script, options->messages);
    else
        make_messages(&script, options->size);
    return script;
}

/* All connections to a server send the same messages with the same parameters, so each is
   compressed once. The first of a turn is compressed without what came before it, which any
   receiver must understand. */
static const struct text *compressed(const struct script *script, const struct connection *c,
                                     uint64_t number)
{
    static struct text *cache;
    if (!cache) {
        int bits = c->deflate.client_max_window_bits;
        struct deflater *deflater = deflater_new(bits > 0 ? (bits < 9 ? 9 : bits) : 15, 8,
                                                 !c->deflate.client_no_context_takeover);
        cache = calloc(script->count, sizeof *cache);
        for (int i = 0; i < script->count; i++) {
            struct buffer out = {0};
            deflate_message(deflater, script->messages[i].data, script->messages[i].length, &out);
            cache[i] = (struct text){out.data, buffer_length(&out)};
        }
        deflater_free(deflater);
    }
    return &cache[number % script->count];
}

void script_send(const struct script *script, struct connection *c, uint64_t number)
{
    const struct text *message = script_message(script, number);
    bool rsv1 = c->compression && message->length;
    if (rsv1)
        message = compressed(script, c, number);
    connection_send_frames(c, rsv1, script->opcode, message->data, message->length,
                           script->fragments);
}
