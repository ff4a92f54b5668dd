/* SPDX-License-Identifier: MIT */
/* Connections that go from one worker to another, through a queue in the kernel that all workers of the site
 * share (its packets: ipc/parcel.h). Part of the loop, and called by its driver alone.
 *
 * A connection is whole in one place at any time:
 *
 *   ours ─give→ in the queue ─take→ a sibling's, or ours again
 *
 * It is given away only where nothing of it is under way: a request that is complete and not yet begun, for
 * which no thread is free here; and, of a worker that drains and has heirs, one that is idle or in the middle
 * of a head. The sender closes its descriptor when the packet is in the queue, and not before; then nobody
 * reads from the connection until somebody has taken the packet. What a worker that has died had taken is
 * lost like all that it had accepted; what it had given is not.
 *
 * Who takes:
 *   accepting                      the queue is watched together with the listeners (accept.h): while a thread is free
 *   saturated                      no, but for requests that have waited for limits.queue_time: they get 503. Who has
 *                                  given some looks after them until the queue is empty, as nobody else may come to
 *                                  that
 *   draining, others serve (heirs) no; gives away what it has, and is finished without it
 *   draining, nobody else serves   what is there, and what siblings that drain still give, while a thread is free; is
 *                                  finished when the queue is empty. One that is stuck leaves what is there to those
 *                                  siblings for a second, and then takes it, and answers 503
 *
 * So a connection in the queue has always somebody who takes it: those who serve, or else the last to go. */
#pragma once

#include "worker/loop.h"

struct Connection;

/* queue: the ends to send to and to receive from, borrowed; NULL: there is none. */
void handover_open(Loop *l, const int *queue);

/* Gives away the requests for which no thread is free. */
void handover_offer(Loop *l);

/* Gives c away, which is idle, or HEAD, or READY and in no queue. 0: it is gone; -EAGAIN: the queue is full,
 * SOURCE_QUEUE_ROOM will say when it no longer is; or another negative errno: it can't be given. */
int handover_give(Loop *l, struct Connection *c);

/* Takes what waits in the queue, up to a request that is ready, which goes before those that became ready later; and
 * says in l->handover.is_ready whether more may wait there. 0, or negative errno where descriptors or memory are short:
 * then it stays there. What does not fit into memory only when it is out of the queue gets 503. */
int handover_take(Loop *l);

/* Of a worker that drains, or is to, and has heirs: EPOLLEXCLUSIVE may have woken it alone for what waits in the queue,
 * and the doorbell is not the heirs'. Takes one and puts it in again, which wakes another. */
void handover_relay(Loop *l);

/* Answers those that have waited for limits.queue_time, here or in the queue, where no thread is free. */
void handover_expire(Loop *l);

/* When that is due; UINT64_MAX: not at all. */
usec_t handover_due(const Loop *l);

/* There is room in the queue again. */
void handover_on_room(Loop *l);

/* Nothing in the queue waits for this worker. */
bool handover_is_done(const Loop *l);
