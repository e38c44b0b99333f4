#include "options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compression.h"
#include "stream.h"

static const char USAGE[] =
    "usage: load [OPTION]... ADDRESS\n"
    "Put load on a WebSocket server at ADDRESS (127.0.0.1:PORT or unix:PATH) and print, as JSON,\n"
    "what it took.\n\n"
    "  --mode echo|memory|broadcast|storm   default: echo\n"
    "  --connections N        default: 1\n"
    "  --depth N              messages in flight per connection, default: 1\n"
    "  --size N               bytes per message, default: 32\n"
    "  --messages FILE        send the lines of FILE instead, in turn\n"
    "  --binary               binary messages instead of text\n"
    "  --fragments N          frames per message, default: 1\n"
    "  --compression          offer permessage-deflate; fails when the server declines it\n"
    "  --tls                  TLS, without checking the certificate\n"
    "  --resume               resume TLS sessions; fails when the server doesn't\n"
    "  --interval SECONDS     send at this pace, whether or not answers came\n"
    "  --opening N            opening handshakes at a time, default: 64\n"
    "  --warmup SECONDS       default: 0.3\n"
    "  --duration SECONDS     default: 1\n"
    "  --pid PID              the server's process, whose CPU time and memory are reported\n";

static void refuse(const char *why)
{
    fprintf(stderr, "load: %s\n\n%s", why, USAGE);
    exit(2);
}

static double number(const char *text, double low, double high)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || value < low || value > high)
        refuse("a number is out of range");
    return value;
}

static enum mode parse_mode(const char *name)
{
    static const char *const names[] = {"echo", "memory", "broadcast", "storm"};
    for (int i = 0; i < 4; i++)
        if (!strcmp(name, names[i]))
            return i;
    refuse("no such mode");
    return 0;
}

struct options parse_options(int count, char **arguments)
{
    struct options o = {.text = true, .size = 32, .connections = 1, .depth = 1, .fragments = 1,
                        .opening = 64, .warmup = 0.3, .duration = 1};
    enum { BINARY_MESSAGES = 'b', COMPRESSION = 'z', CONNECTIONS = 'c', DEPTH = 'd', DURATION = 't',
           FRAGMENTS = 'f', INTERVAL = 'i', MESSAGES = 'm', MODE = 'M', OPENING = 'o', PID = 'p',
           RESUME = 'r', SIZE = 's', TLS = 'S', WARMUP = 'w' };
    static const struct option names[] = {
        {"binary", no_argument, NULL, BINARY_MESSAGES},
        {"compression", no_argument, NULL, COMPRESSION},
        {"connections", required_argument, NULL, CONNECTIONS},
        {"depth", required_argument, NULL, DEPTH},
        {"duration", required_argument, NULL, DURATION},
        {"fragments", required_argument, NULL, FRAGMENTS},
        {"interval", required_argument, NULL, INTERVAL},
        {"messages", required_argument, NULL, MESSAGES},
        {"mode", required_argument, NULL, MODE},
        {"opening", required_argument, NULL, OPENING},
        {"pid", required_argument, NULL, PID},
        {"resume", no_argument, NULL, RESUME},
        {"size", required_argument, NULL, SIZE},
        {"tls", no_argument, NULL, TLS},
        {"warmup", required_argument, NULL, WARMUP},
        {NULL, 0, NULL, 0},
    };
    int option;
    while ((option = getopt_long(count, arguments, "", names, NULL)) != -1) {
        switch (option) {
        case BINARY_MESSAGES: o.text = false; break;
        case COMPRESSION: o.compression = true; break;
        case CONNECTIONS: o.connections = number(optarg, 1, 100000); break;
        case DEPTH: o.depth = number(optarg, 1, 1 << 20); break;
        case DURATION: o.duration = number(optarg, 0.01, 3600); break;
        case FRAGMENTS: o.fragments = number(optarg, 1, 1 << 20); break;
        case INTERVAL: o.interval = number(optarg, 1e-5, 60); break;
        case MESSAGES: o.messages = optarg; break;
        case MODE: o.mode = parse_mode(optarg); break;
        case OPENING: o.opening = number(optarg, 1, 4096); break;
        case PID: o.pid = number(optarg, 1, 1 << 30); break;
        case RESUME: o.resume = true; break;
        case SIZE: o.size = number(optarg, 0, 64 << 20); break;
        case TLS: o.tls = true; break;
        case WARMUP: o.warmup = number(optarg, 0, 3600); break;
        default: refuse("no such option");
        }
    }
    if (optind != count - 1)
        refuse("one address is needed");
    o.address = arguments[optind];
    if (o.tls && !have_tls())
        refuse("this program was built without OpenSSL");
    if (o.resume && !o.tls)
        refuse("only TLS has sessions to resume");
    if (o.compression && !have_compression())
        refuse("this program was built without zlib");
    if (o.mode == MODE_BROADCAST && o.connections < 2)
        refuse("a broadcast needs two connections: one sends to the others");
    return o;
}
