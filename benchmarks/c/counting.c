/* Loaded into a program that runs under callgrind: SIGUSR1 begins to count, SIGUSR2 ends it and
   writes what was counted. After each, a byte goes to the descriptor that COUNTING_FD names.

   Under callgrind a program is fifty times slower, and would spend more instructions on what it does
   at certain times. So its clocks go a thousand times slower, too. */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <valgrind/callgrind.h>

#define SLOWER 1000
#define NANO 1000000000ll

static int done = -1;

typedef int gettime_function(clockid_t, struct timespec *);
typedef int wait_function(int, struct epoll_event *, int, int);
static gettime_function *real_gettime;
static wait_function *real_wait;
static long long started[2];

static volatile sig_atomic_t asked;

static void on_signal(int number) { asked = number; }

/* Callgrind crashes when it is told to begin within a signal handler. */
static void obey(int number)
{
    int error = errno;
    asked = 0;
    if (number == SIGUSR1) {
        CALLGRIND_START_INSTRUMENTATION;
        CALLGRIND_ZERO_STATS;
    } else {
        CALLGRIND_DUMP_STATS;
        CALLGRIND_STOP_INSTRUMENTATION;
    }
    if (write(done, "", 1) < 0)
        abort();
    errno = error;
}

/* A program that is told by another one waits here. */
int epoll_wait(int epoll, struct epoll_event *events, int most, int timeout)
{
    if (!real_wait)
        real_wait = (wait_function *)dlsym(RTLD_NEXT, "epoll_wait");
    for (;;) {
        int ready = real_wait(epoll, events, most, timeout);
        if (!asked)
            return ready;
        obey(asked);
        if (ready >= 0 || errno != EINTR)
            return ready;
    }
}

/* This is how it tells itself. */
int kill(pid_t process, int number)
{
    if (process == getpid() && (number == SIGUSR1 || number == SIGUSR2)) {
        obey(number);
        return 0;
    }
    return syscall(SYS_kill, process, number);
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    if (!real_gettime)
        real_gettime = (gettime_function *)dlsym(RTLD_NEXT, "clock_gettime");
    int result = real_gettime(clock, now);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_MONOTONIC)) {
        long long *start = &started[clock == CLOCK_MONOTONIC];
        long long time = now->tv_sec * NANO + now->tv_nsec;
        if (!*start)
            *start = time;
        time = *start + (time - *start) / SLOWER;
        now->tv_sec = time / NANO;
        now->tv_nsec = time % NANO;
    }
    return result;
}

/* What waits until a time means the slower clock's, and the system's is far ahead of that. */
int pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex,
                           const struct timespec *until)
{
    struct timespec slow, real;
    clock_gettime(CLOCK_MONOTONIC, &slow);
    real_gettime(CLOCK_MONOTONIC, &real);
    long long left = (until->tv_sec - slow.tv_sec) * NANO + until->tv_nsec - slow.tv_nsec;
    long long time = real.tv_sec * NANO + real.tv_nsec + (left > 0 ? left : 0);
    real.tv_sec = time / NANO;
    real.tv_nsec = time % NANO;
    return pthread_cond_clockwait(condition, mutex, CLOCK_MONOTONIC, &real);
}

__attribute__((constructor)) static void begin(void)
{
    const char *descriptor = getenv("COUNTING_FD");
    if (!descriptor)
        return;
    done = atoi(descriptor);
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigaction(SIGUSR1, &action, NULL);
    sigaction(SIGUSR2, &action, NULL);
}
