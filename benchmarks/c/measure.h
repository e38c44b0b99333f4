/* Clocks, a histogram of durations, and what the system knows of the server's process. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

uint64_t now_ns(void);

/* Durations in nanoseconds, held to 1/64 of their value. */
#define SUB_BUCKETS 64
struct histogram {
    uint64_t counts[64 * SUB_BUCKETS];
    uint64_t total, max;
};

void histogram_add(struct histogram *, uint64_t value, uint64_t times);
uint64_t histogram_quantile(const struct histogram *, double quantile);

struct usage {
    uint64_t wall_ns;   /* of the monotonic clock */
    uint64_t server_ns; /* CPU time of the server, user and system */
    uint64_t server_user_ticks, server_system_ticks;
    uint64_t load_ns; /* CPU time of this process */
};

/* What was used until now. `pid` 0 leaves the server's fields zero. Exits when it is gone. */
struct usage read_usage(pid_t pid);

uint64_t resident_bytes(pid_t pid);
