/* SPDX-License-Identifier: MIT */
/* The memory of what a site has done in all. */
#include "ipc/totals.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW)
#define MAGIC UINT64_C(0x6367756e69000002) /* "cguni", and the number of the layout */

int totals_map(int fd, Totals **ret)
{
    struct stat st;
    Totals *t;
    int seals;

    if (fstat(fd, &st) < 0)
        return -errno;
    seals = fcntl(fd, F_GET_SEALS); /* see ipc/scoreboard.c */
    if (st.st_size != sizeof(Totals) || seals < 0 || (seals & SEALS) != SEALS)
        return -EPROTO;
    t = mmap(NULL, sizeof(Totals), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (t == MAP_FAILED)
        return -errno;
    if (t->magic != MAGIC) {
        totals_free(t);
        return -EPROTO;
    }
    *ret = t;
    return 0;
}

int totals_new(Totals **ret, int *ret_fd)
{
    const Totals empty = {.magic = MAGIC};
    _cleanup_close_ int fd = memfd_create("cgunicorn-totals", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    int r;

    if (fd < 0)
        return -errno;
    if (write(fd, &empty, sizeof empty) != sizeof empty || fcntl(fd, F_ADD_SEALS, SEALS) < 0)
        return -errno;
    r = totals_map(fd, ret);
    if (r == 0)
        *ret_fd = TAKE_FD(fd);
    return r;
}

Totals *totals_free(Totals *t)
{
    if (t)
        munmap(t, sizeof *t);
    return NULL;
}

/* offset: of the number in a shard. */
static uint64_t totals_sum(const Totals *t, size_t offset)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < TOTALS_N_SHARDS; i++)
        sum += atomic_load_explicit((const _Atomic uint64_t *)((const char *)&t->shards[i] + offset),
                                    memory_order_relaxed);
    return sum;
}

uint64_t totals_requests(const Totals *t)
{
    return totals_sum(t, offsetof(TotalsShard, requests));
}

uint64_t totals_given(const Totals *t)
{
    return totals_sum(t, offsetof(TotalsShard, given));
}

uint64_t totals_expired(const Totals *t)
{
    return totals_sum(t, offsetof(TotalsShard, expired));
}
