#include "measure.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static uint64_t read_clock(clockid_t clock)
{
    struct timespec t;
    if (clock_gettime(clock, &t)) {
        perror("the clock of a process");
        exit(1);
    }
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}

uint64_t now_ns(void) { return read_clock(CLOCK_MONOTONIC); }

static int bucket_of(uint64_t value)
{
    if (value < SUB_BUCKETS)
        return value;
    int shift = 63 - __builtin_clzll(value) - 6; /* leaves a number in [64, 128) */
    return (shift + 1) * SUB_BUCKETS + (value >> shift) - SUB_BUCKETS;
}

static uint64_t middle_of(int bucket)
{
    if (bucket < SUB_BUCKETS)
        return bucket;
    int shift = bucket / SUB_BUCKETS - 1;
    return ((uint64_t)(bucket % SUB_BUCKETS + SUB_BUCKETS) << shift) + ((1ull << shift) >> 1);
}

void histogram_add(struct histogram *h, uint64_t value, uint64_t times)
{
    h->counts[bucket_of(value)] += times;
    h->total += times;
    if (value > h->max)
        h->max = value;
}

uint64_t histogram_quantile(const struct histogram *h, double quantile)
{
    uint64_t seen = 0, wanted = quantile * h->total;
    for (int i = 0; i < 64 * SUB_BUCKETS; i++) {
        seen += h->counts[i];
        if (seen > wanted)
            return middle_of(i) < h->max ? middle_of(i) : h->max;
    }
    return h->max;
}

static void read_ticks(pid_t pid, struct usage *usage)
{
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *file = fopen(path, "r");
    if (!file || !fgets(text, sizeof text, file)) {
        perror(path);
        exit(1);
    }
    fclose(file);
    /* The second field is the program's name in parentheses and may hold anything. */
    unsigned long long user, system;
    char *rest = strrchr(text, ')');
    if (!rest || sscanf(rest + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &user,
                        &system) != 2)
        exit(1);
    usage->server_user_ticks = user;
    usage->server_system_ticks = system;
}

struct usage read_usage(pid_t pid)
{
    struct usage usage = {.wall_ns = now_ns(), .load_ns = read_clock(CLOCK_PROCESS_CPUTIME_ID)};
    clockid_t clock;
    if (pid) {
        if (clock_getcpuclockid(pid, &clock)) {
            fprintf(stderr, "there is no process %d\n", pid);
            exit(1);
        }
        usage.server_ns = read_clock(clock);
        read_ticks(pid, &usage);
    }
    return usage;
}

uint64_t resident_bytes(pid_t pid)
{
    char path[64];
    unsigned long long pages = 0;
    snprintf(path, sizeof path, "/proc/%d/statm", pid);
    FILE *file = fopen(path, "r");
    if (file) {
        if (fscanf(file, "%*u %llu", &pages) != 1)
            pages = 0;
        fclose(file);
    }
    return pages * sysconf(_SC_PAGESIZE);
}
