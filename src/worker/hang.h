/* SPDX-License-Identifier: MIT */
/* Requests that stay in the application for longer than timeouts.request. Their client is answered, the log
 * is told where they hang, and the supervisor is asked for another worker; the thread can't be ended, and is
 * left alone. In threads, only requests that were overtaken are watched, so that fast ones cost nothing. All
 * of it belongs to the driver of the loop. */
#pragma once

#include "ipc/scoreboard.h"
#include "worker/timeouts.h"

#include <sys/types.h>

struct Connection;
struct Loop;

/* Of an Exchange; zero-initialised. */
typedef struct HangWatch {
    Timeout timeout; /* in Loop.running */
    struct Connection *connection;
    pid_t thread;
    ScoreboardSlot *slot;
    bool is_given_up; /* the client is seen to; what the application still does is for nobody */
} HangWatch;

/* The application runs for c in that thread, and somebody else drives now, or may do so. slot is borrowed
 * until c is checked in. */
void hang_watch(struct Loop *l, struct Connection *c, pid_t thread, ScoreboardSlot *slot);

/* c comes back from the application after it was given up: closes it. */
void hang_on_return(struct Loop *l, struct Connection *c);

/* When hang_expire() is due, UINT64_MAX: nothing is watched. */
usec_t hang_next_usec(const struct Loop *l);

/* Gives up the requests whose time is over. */
void hang_expire(struct Loop *l);
