/* SPDX-License-Identifier: MIT */
/* For LD_PRELOAD: from the start of the program on, CLOCK_MONOTONIC goes a thousand times slower. Under valgrind, on a
 * busy machine, everything takes long; a server that takes other ways when something takes long would take them always.
 * The supervisor keeps its clock: it sets timers of the kernel by it. */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define FACTOR 1000
#define SECOND 1000000000LL

static bool is_slow;
static long long start;
static int (*real_timedwait)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);

static struct timespec from_nsec(long long nsec)
{
    return (struct timespec){.tv_sec = nsec / SECOND, .tv_nsec = nsec % SECOND};
}

static long long to_nsec(const struct timespec *ts)
{
    return ts->tv_sec * SECOND + ts->tv_nsec;
}

int clock_gettime(clockid_t clock, struct timespec *ts)
{
    long r = syscall(SYS_clock_gettime, clock, ts);

    if (r == 0 && is_slow && clock == CLOCK_MONOTONIC)
        *ts = from_nsec(start + (to_nsec(ts) - start) / FACTOR);
    return (int)r;
}

/* Both the server's condition variables and Python's wait by CLOCK_MONOTONIC. */
int pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex, const struct timespec *until)
{
    struct timespec real = is_slow ? from_nsec(start + (to_nsec(until) - start) * FACTOR) : *until;

    return real_timedwait(condition, mutex, &real);
}

__attribute__((constructor)) static void slow_down(void)
{
    struct timespec now;

    real_timedwait = (typeof(real_timedwait))dlsym(RTLD_NEXT, "pthread_cond_timedwait");
    clock_gettime(CLOCK_MONOTONIC, &now);
    start = to_nsec(&now);
    is_slow = strcmp(program_invocation_short_name, "cgunicorn") != 0;
}
