/* SPDX-License-Identifier: MIT */
/* Unit tests of ipc/totals. */
#include "ipc/totals.h"

#include "tap.h"

#include <assert.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW)

static void test_next_life(void)
{
    _cleanup_(totals_freep) Totals *first = NULL, *next = NULL;
    _cleanup_close_ int fd = -EBADF;

    is_int(totals_new(&first, &fd), 0);
    ok((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    is_int(totals_requests(first), 0);
    for (unsigned seat = 0; seat < 2 * TOTALS_N_SHARDS; seat++)
        totals_shard(first, seat)->requests += seat;
    totals_shard(first, 1)->given = totals_shard(first, 2)->given = 2;
    totals_shard(first, 3)->expired = 5;
    ok(totals_shard(first, 0) != totals_shard(first, 1) && (uintptr_t)totals_shard(first, 1) % 64 == 0);
    first = totals_free(first);
    is_int(totals_map(fd, &next), 0);
    is_int(totals_requests(next), (2 * TOTALS_N_SHARDS - 1) * TOTALS_N_SHARDS);
    is_int(totals_given(next), 4);
    is_int(totals_expired(next), 5);
}

/* What else may come out of a store of descriptors. */
static int map_memory(size_t size, uint64_t magic, int seals)
{
    _cleanup_(totals_freep) Totals *t = NULL;
    _cleanup_close_ int fd = memfd_create("other", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    assert(ftruncate(fd, (off_t)size) == 0);
    assert(pwrite(fd, &magic, sizeof magic, 0) == sizeof magic);
    assert(fcntl(fd, F_ADD_SEALS, seals) == 0);
    return totals_map(fd, &t);
}

static void test_others(void)
{
    _cleanup_(totals_freep) Totals *t = NULL;
    _cleanup_close_ int fd = -EBADF, file = open("/dev/null", O_RDWR | O_CLOEXEC);
    uint64_t magic;

    assert(totals_new(&t, &fd) == 0);
    magic = t->magic;
    is_int(map_memory(sizeof(Totals), magic, SEALS), 0);
    is_int(map_memory(sizeof(Totals), magic + 1, SEALS), -EPROTO);
    is_int(map_memory(sizeof(Totals), 0, SEALS), -EPROTO);
    is_int(map_memory(sizeof(Totals) + 64, magic, SEALS), -EPROTO);
    is_int(map_memory(sizeof(Totals), magic, F_SEAL_GROW), -EPROTO);
    is_int(totals_map(file, &t), -EPROTO);
    is_int(totals_map(-EBADF, &t), -EBADF);
}

int main(void)
{
    test_next_life();
    test_others();
    return tap_done();
}
