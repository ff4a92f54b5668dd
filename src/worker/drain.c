/* SPDX-License-Identifier: MIT */
/* How a worker comes to its end. */
#include "worker/drain.h"

#include "base/log.h"
#include "ipc/channel.h"
#include "worker/accept.h"
#include "worker/connection.h"
#include "worker/handover.h"
#include "worker/intake.h"

#include <errno.h>

#define FAREWELL_USEC (1 * USEC_PER_SEC)
/* Who has just changed the code does not want one more answer of the old; sooner could lose a request on its
 * way. */
#define DEVELOP_FAREWELL_USEC (100 * USEC_PER_MSEC)
#define LAST_CALL_USEC (100 * USEC_PER_MSEC)

void drain_init_timeouts(Loop *l)
{
    timeout_list_init(&l->timeouts[TIMEOUT_FAREWELL],
                      l->config->develop_reload ? DEVELOP_FAREWELL_USEC : FAREWELL_USEC);
    timeout_list_init(&l->timeouts[TIMEOUT_LAST_CALL], LAST_CALL_USEC);
}

int drain_ask_for_replacement(Loop *l, const char *reason)
{
    int r;

    if (l->is_held || l->is_replacement_asked)
        return 0;
    r = channel_end_say(&l->channel, MESSAGE_REPLACE, reason);
    l->is_replacement_asked = r == 0;
    return r;
}

/* A client may have sent a request just now on a connection that is idle for us: closing it at once would
 * lose that. One that was quiet for as long as a farewell takes gets the time that a network takes, so that a
 * worker with none but such does not keep its successor waiting. */
static void drain_bid_farewell(Loop *l, TimeoutKind kind)
{
    Timeout *anchor = &l->timeouts[kind].anchor;
    usec_t idle_usec;

    for (Timeout *t = anchor->next, *next; t != anchor; t = next) {
        next = t->next;
        if (connection_of_timeout(t)->state != CONNECTION_IDLE)
            continue;
        idle_usec = l->now + l->timeouts[kind].span_usec - t->deadline;
        timeout_arm(&l->timeouts[idle_usec < FAREWELL_USEC ? TIMEOUT_FAREWELL : TIMEOUT_LAST_CALL], t,
                    l->now);
    }
}

/* They live on with others. One that can't be given now stays: what it sends is answered here, and then it is
 * tried again. */
static void drain_bequeath(Loop *l, TimeoutKind kind)
{
    Timeout *anchor = &l->timeouts[kind].anchor;
    int r;

    for (Timeout *t = anchor->next, *next; t != anchor; t = next) {
        Connection *c = connection_of_timeout(t);

        next = t->next;
        r = handover_give(l, c);
        if (r == -EAGAIN)
            return;
        if (r < 0 && c->state == CONNECTION_IDLE)
            timeout_arm(&l->timeouts[TIMEOUT_FAREWELL], t, l->now);
        else if (r < 0 && c->state == CONNECTION_HEAD && output_is_simple(&c->exchange->output))
            intake_advance(l, c);
    }
}

/* All of it, up to a request. 0, or negative errno where memory or descriptors are short. */
static int drain_take(Loop *l)
{
    size_t n = l->n_connections;
    int r;

    do
        r = handover_take(l);
    while (l->handover.is_ready && l->ready.n == 0);
    if (l->n_connections != n) {
        drain_bid_farewell(l, TIMEOUT_HEAD);
        drain_bid_farewell(l, TIMEOUT_KEEPALIVE);
    }
    return r;
}

/* Who has a thread left takes what is there, and hears of what comes: siblings that are stuck may give what they can't
 * answer. Where memory is short, what is left waits for the next turn. */
static void drain_alone(Loop *l)
{
    int r = 0;

    if (loop_has_slot(l) || (loop_is_stuck(l) && drain_is_alone(l)))
        r = drain_take(l);
    (void)accept_watch_queue(l, loop_has_slot(l) && r == 0);
}

void drain_advance(Loop *l)
{
    if (l->has_heirs) {
        drain_bequeath(l, TIMEOUT_KEEPALIVE);
        drain_bequeath(l, TIMEOUT_HEAD);
    } else {
        drain_alone(l);
    }
}

/* A worker that is stuck leaves requests to siblings for so long: who has a thread takes them at once. */
static void drain_begin_alone(Loop *l)
{
    usec_t left = l->drain_deadline_usec > l->now ? l->drain_deadline_usec - l->now : 0;

    l->alone_usec = l->now + (l->has_siblings && l->handover.out >= 0 ? MIN(FAREWELL_USEC, left / 2) : 0);
}

void drain_begin(Loop *l, bool takes_waiting, bool has_heirs)
{
    if (l->is_draining && (has_heirs || !l->has_heirs))
        return;
    l->has_heirs = has_heirs && l->handover.out >= 0;
    if (!l->is_draining)
        l->drain_deadline_usec = l->now + l->config->timeouts_graceful;
    l->is_draining = true;
    if (takes_waiting)
        accept_stop(l);
    else
        (void)accept_set(l, false);
    if (l->has_heirs)
        return;
    drain_begin_alone(l);
    drain_bid_farewell(l, TIMEOUT_HEAD);
    drain_bid_farewell(l, TIMEOUT_KEEPALIVE);
}

bool drain_is_finished(const Loop *l)
{
    if (!l->is_draining)
        return false;
    return (l->n_connections == l->n_hung && l->n_checked_out == l->n_hung && handover_is_done(l)) ||
           l->now >= l->drain_deadline_usec;
}

void drain_cut_off(const Loop *l)
{
    if (l->n_checked_out > l->n_hung) {
        log_warning("%zu requests did not finish within timeouts.graceful and are cut off",
                    l->n_checked_out - l->n_hung);
        _exit(1);
    }
    if (l->n_hung > 0)
        _exit(0);
}
