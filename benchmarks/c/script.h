/* The messages that are sent, in turn, by every connection, and what is expected back. */
#pragma once

#include "connection.h"
#include "options.h"

struct text {
    uint8_t *data;
    size_t length;
};

struct script {
    int count;
    struct text *messages;
    uint8_t opcode;
    int fragments;
};

/* Exits with a message when the file of messages can't be read. */
struct script make_script(const struct options *);

/* Queue the message of that number on a connection. */
void script_send(const struct script *, struct connection *, uint64_t number);

static inline const struct text *script_message(const struct script *script, uint64_t number)
{
    return &script->messages[number % script->count];
}
