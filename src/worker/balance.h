/* SPDX-License-Identifier: MIT */
/* The connections of a site, spread over its workers. The kernel gives a new one to whoever looks first, and
 * that is the same worker again and again: the first in the queue of those that wait, or the one whose core is
 * free. So one that has clearly more connections than a sibling leaves the next one to the others:
 *
 *   accepting ─ahead→ leaving: rings the doorbell, and has the listeners out of its epoll set
 *   leaving ─LEAVE_USEC→ accepting: takes one connection, if there is any, then looks again
 *
 * Where the sibling does not come, being stopped or without a core of its own, that was in vain; after VAIN_MAX
 * such times it takes whatever comes, for PATIENCE_USEC: nobody waits for longer than these times together.
 * Part of the loop, and called by its driver. */
#pragma once

#include "ipc/scoreboard.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct Balance {
    const ScoreboardSeat *seats; /* of the workers of this generation; borrowed */
    unsigned n_seats;
    unsigned own;
    unsigned next;    /* who was looked at last */
    size_t n_of_next; /* connections it had then */
    bool has_left;    /* connections to others, and has taken none since */
    unsigned n_vain;  /* times in a row */
    usec_t leaves_until_usec;
    usec_t accepts_until_usec; /* whatever the others have */
} Balance;

/* Whether the connection that waits is to be left to others, by a worker that has so many. */
bool balance_leaves(Balance *b, size_t n_connections, usec_t now);
