/* SPDX-License-Identifier: MIT */
/* What a site has done in all, in memory that outlives the supervisor: systemd stores it
 * (sd_pid_notify_with_fds(3)), and the next instance goes on in it, after a restart as after a crash. The
 * workers write it themselves, so that nothing has to be saved: each adds to one of several shards, which
 * nobody ever resets; the total is their sum. As with the scoreboard, an application may scribble over it:
 * the numbers are for humans, and nothing is decided by them. */
#pragma once

#include "base/cleanup.h"

#include <stdatomic.h>
#include <stdint.h>

#define TOTALS_N_SHARDS 63

/* A cache line, so that workers do not wait for each other. */
typedef struct TotalsShard {
    _Alignas(64) _Atomic uint64_t requests;
    _Atomic uint64_t given;   /* connections, to other workers */
    _Atomic uint64_t taken;   /* … and from them */
    _Atomic uint64_t expired; /* requests that have waited for limits.queue_time */
} TotalsShard;

typedef struct Totals {
    uint64_t magic; /* of this layout */
    TotalsShard shards[TOTALS_N_SHARDS];
} Totals;

/* All zeros, in a memfd that can't change its size. The caller owns *ret and *ret_fd. 0 or negative errno. */
int totals_new(Totals **ret, int *ret_fd);

/* Maps what totals_new() made, here or in an earlier life; does not keep fd. -EPROTO: it is something
 * else. */
int totals_map(int fd, Totals **ret);

Totals *totals_free(Totals *t);
DEFINE_CLEANUP(Totals, totals)

uint64_t totals_requests(const Totals *t);
uint64_t totals_given(const Totals *t);
uint64_t totals_expired(const Totals *t);

/* The one of a worker, by its seat. */
static inline TotalsShard *totals_shard(Totals *t, unsigned seat)
{
    return &t->shards[seat % TOTALS_N_SHARDS];
}
