/* SPDX-License-Identifier: MIT */
/* What the workers of one generation are doing, in memory that they share with the supervisor: atomics, no
 * system calls, no locks. Written by the workers, but for is_dismissed. Their application may scribble over it: the
 * reader trusts no value. */
#pragma once

#include "base/cleanup.h"
#include "base/parse.h"

#include <stdatomic.h>
#include <stdint.h>

#define SCOREBOARD_REQUEST_MAX 192

/* One thread of the application. */
typedef struct ScoreboardSlot {
    _Alignas(64) _Atomic uint64_t
        started_usec;                     /* CLOCK_MONOTONIC of the running request, 0 when there is none */
    char request[SCOREBOARD_REQUEST_MAX]; /* its request line as it was sent; set before started_usec */
} ScoreboardSlot;

/* One seat: a worker and its successors. */
typedef struct ScoreboardSeat {
    _Alignas(64) _Atomic uint64_t requests;
    _Atomic uint64_t
        waiting_usec; /* CLOCK_MONOTONIC since when a request has waited for a free thread; 0: none does */
    _Atomic uint64_t active_usec; /* CLOCK_MONOTONIC: when the last exchange ended, 0 when none has */
    _Atomic bool
        is_blocked; /* no slot is free, whatever they say: one greenlet keeps the others from running */
    _Atomic uint32_t connections;
    _Atomic bool accepts; /* it takes new connections */
    _Atomic uint32_t
        exchanges; /* requests and responses that are under way, from their first octet to the last */
    _Atomic bool
        is_dismissed; /* the supervisor's: others serve in its place, also where it has yet to read DRAIN */
} ScoreboardSeat;

typedef struct Scoreboard {
    unsigned n_seats;
    unsigned n_slots; /* of each seat */
    ScoreboardSeat *seats;
    ScoreboardSlot *slots; /* n_seats × n_slots */
    size_t map_size;
    int fd; /* the memfd, or -EBADF where it is only mapped */
} Scoreboard;

/* A new one, all zeros, as a memfd that can't change its size. The caller owns *ret. 0 or negative errno. */
int scoreboard_new(unsigned n_seats, unsigned n_slots, Scoreboard **ret);

/* Maps the one of scoreboard_new() elsewhere; does not keep fd. -EPROTO when the size does not fit. */
int scoreboard_map(int fd, unsigned n_seats, unsigned n_slots, Scoreboard **ret);

Scoreboard *scoreboard_free(Scoreboard *s);
DEFINE_CLEANUP(Scoreboard, scoreboard)

static inline ScoreboardSlot *scoreboard_slot(const Scoreboard *s, unsigned seat, unsigned slot)
{
    return &s->slots[(size_t)seat * s->n_slots + slot];
}
