/* SPDX-License-Identifier: MIT */
/* The listeners of a worker: when it takes connections, and when it leaves them to its siblings. Part of the
 * loop, and called by its driver alone. */
#pragma once

#include "worker/loop.h"

/* Looks at the listening sockets, which stay the caller's, and starts to accept, unless the loop is_held. 0
 * or negative errno; -EINVAL with *ret_error, to be freed: proxy.protocol names a socket that is none of
 * them. */
int accept_open(Loop *l, const int *listeners, size_t n, char **ret_error);

/* Adds the listeners to the epoll set, or takes them out. 0 or negative errno. */
int accept_set(Loop *l, bool accepting);

/* The same of the queue alone. */
int accept_watch_queue(Loop *l, bool watch);

/* Accepts no more, after those that wait now. One that is_held never accepted any. */
void accept_stop(Loop *l);

/* One connection of each listener that is_ready; or, where this worker is too busy by now, none, and a
 * sibling is told. */
void accept_connections(Loop *l);

/* A sibling has left a connection in the queue. */
void accept_on_doorbell(Loop *l);

/* Whether somebody waits to be accepted, or in the queue. Asks the kernel. */
bool accept_is_waited_for(const Loop *l);

/* When a pause ends; UINT64_MAX: there is none. */
usec_t accept_next_usec(const Loop *l);

/* Accepts from now on or not, by what there is to do. 0 or negative errno. */
int accept_update(Loop *l);
