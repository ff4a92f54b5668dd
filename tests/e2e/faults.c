/* SPDX-License-Identifier: MIT */
/* Faults that a test switches on in a server that runs, by LD_PRELOAD: a system's clock that was set, errors of
 * accept4(2). CGUNICORN_TEST_FAULTS names the file of a struct Faults, which the test writes (faults.py). */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

typedef struct Faults {
    _Atomic int64_t clock_offset_sec; /* of CLOCK_REALTIME */
    _Atomic int32_t accept_errno;
    _Atomic int32_t n_accept_errors; /* so many calls more fail */
} Faults;

static Faults none, *faults = &none;

__attribute__((constructor)) static void open_faults(void)
{
    const char *path = getenv("CGUNICORN_TEST_FAULTS");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    void *memory = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof none, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (memory != MAP_FAILED)
        faults = memory;
    if (fd >= 0)
        close(fd);
}

int clock_gettime(clockid_t clock, struct timespec *to)
{
    int (*next)(clockid_t, struct timespec *) =
        (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int r = next(clock, to);

    if (r == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        to->tv_sec += faults->clock_offset_sec;
    return r;
}

time_t time(time_t *to)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    if (to)
        *to = now.tv_sec;
    return now.tv_sec;
}

int accept4(int fd, struct sockaddr *restrict address, socklen_t *restrict size, int flags)
{
    int (*next)(int, struct sockaddr *restrict, socklen_t *restrict, int) =
        (int (*)(int, struct sockaddr *restrict, socklen_t *restrict, int))dlsym(RTLD_NEXT, "accept4");

    if (atomic_load(&faults->n_accept_errors) > 0) {
        atomic_fetch_sub(&faults->n_accept_errors, 1);
        errno = faults->accept_errno;
        return -1;
    }
    return next(fd, address, size, flags);
}
