/* SPDX-License-Identifier: MIT */
/* For LD_PRELOAD: CLOCK_MONOTONIC at a fiftieth of its speed, for a program that valgrind makes about so much slower. Else a
 * server that takes other ways when something takes long would take them always. */
#include <dlfcn.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define FACTOR 50
#define SECOND 1000000000LL

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

    if (r == 0 && clock == CLOCK_MONOTONIC)
        *ts = from_nsec(to_nsec(ts) / FACTOR);
    return (int)r;
}

/* Both the server's condition variables and Python's wait by CLOCK_MONOTONIC. */
int pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex, const struct timespec *until)
{
    static int (*wait)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
    struct timespec real = from_nsec(to_nsec(until) * FACTOR);

    if (!wait)
        wait = (typeof(wait))dlsym(RTLD_NEXT, "pthread_cond_timedwait");
    return wait(condition, mutex, &real);
}
