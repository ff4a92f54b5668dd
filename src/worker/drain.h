/* SPDX-License-Identifier: MIT */
/* How a worker comes to its end: it asks for a replacement, drains, is finished. */
#pragma once

#include "worker/loop.h"

/* The timeouts of connections that are idle in a worker that drains. */
void drain_init_timeouts(Loop *l);

/* Accept no more; finish what is under way, for timeouts.graceful at most. takes_waiting: also what waits in
 * the listeners' queues now. has_heirs: others serve meanwhile, and take the connections over (handover.h).
 * Once more without heirs: there are none any more. */
void drain_begin(Loop *l, bool takes_waiting, bool has_heirs);

/* Others serve in its place: what comes from here on is for them, also where DRAIN is yet to be read. Whoever asks the
 * supervisor for a reload hears of its end a second after that at the latest; so a worker that hung meanwhile must not
 * answer what it accepts then. */
static inline bool drain_is_due(const Loop *l)
{
    return atomic_load_explicit(&l->seat->is_dismissed, memory_order_relaxed);
}

/* It drains, and nobody serves meanwhile. */
static inline bool drain_is_last(const Loop *l)
{
    return l->is_draining && !l->has_heirs;
}

/* … and siblings that drain, too, and have a thread left, have had their time: what waits here waits for this
 * worker. */
static inline bool drain_is_alone(const Loop *l)
{
    return drain_is_last(l) && l->now >= l->alone_usec;
}

/* At each turn: gives connections to the heirs, or takes what nobody else will. */
void drain_advance(Loop *l);

/* The worker is to be told to go as soon as another serves in its place; the first time counts. One that
 * is_held serves nobody and asks for nothing: a request that hangs fails its check. reason: see
 * ipc/channel.h. 0 or negative errno. */
int drain_ask_for_replacement(Loop *l, const char *reason);

/* At the end: the process ends here if the application has not come back from all requests. */
void drain_cut_off(const Loop *l);

/* Drained, and nothing is under way but requests that were given up. */
bool drain_is_finished(const Loop *l);
