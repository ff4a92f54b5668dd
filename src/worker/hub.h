/* SPDX-License-Identifier: MIT */
/* Class gevent: the application runs in greenlets of the main thread, as many as have requests, side by side
 * as far as they wait by gevent. Beside crew.h, which is class threads.
 *
 * The loop is turned by whoever holds Hub.lock:
 *   the main thread   in a visit: gevent's hub has seen that the loop's epoll set is readable (alarm.h makes
 *                     it so for the deadlines, too), or a greenlet has ended. One turn without waiting, then
 *                     each ready request in a new greenlet; without the lock while a greenlet runs
 *   the guard         a thread without Python, while the main thread does not come to visit, because a
 *                     greenlet computes or calls what blocks: clients and deadlines do not wait for it,
 *                     only requests do
 *
 *   guard:  RESTS ─the set is readable→ LOOKS
 *           LOOKS ─no visit within GUARD_AFTER_USEC, the lock is free→ TURNS ─is_wanted→ RESTS
 *           LOOKS ─a visit, or the lock is taken→ RESTS
 *
 * It RESTS and LOOKS without the lock, and reads nothing but n_visits; TURNS with it, and waits in the loop's
 * epoll set. When it begins with that, it rings call_fd, which gevent's hub watches as well; the visit that
 * follows sets is_wanted and wakes the loop up. So does a greenlet that ends meanwhile. Neither waits for
 * longer than one turn. A request whose time is over is given up by a visit, which can say where its greenlet waits;
 * by the guard only when none has come for a while (hang_next_usec()). */
#pragma once

#include "worker/crew.h"

/* As crew_run(), with greenlets in place of threads; greenlets_begin() was called. -EIO: *ret_error says what
 * became of gevent; to be freed. */
int hub_run(const CrewOptions *options, char **ret_error);
