/* SPDX-License-Identifier: MIT */
/* The threads of a worker. Exactly one drives the loop; the driver runs a ready request itself, and as long
 * as the application returns quickly nobody else stirs: no queue, no wake-up, no switch. When it takes
 * longer, an idle member takes the loop over, and the one that was overtaken hands its connection back when
 * the application returns.
 *
 * The right to drive is one atomic word, the token:
 *   DRIVING(m)   m is in the loop; nobody else touches it
 *   RUNNING(m)   m runs the application, or trims, and drives on when that is done, unless the word was
 *                changed meanwhile
 *   FREE         offered by m to whoever idles
 * A watcher, one of the idle members, looks each HANDOFF_USEC whether the token has been RUNNING for longer than that,
 * and then swaps it for its own DRIVING; where it had no reason to for seconds, it looks up to four times as rarely.
 * Members 0 … threads-1 may run the application (0 is the main thread; others start when they are needed); one more,
 * the spare, only drives, while all others are in the application.
 *
 * Who was overtaken comes back by the loop's door, see loop_enter(): while the driver waits for events, it checks
 * its request in itself, and where the application is usually slow and others wait for it, goes on with the next
 * one at once. So nobody waits for anybody between two requests, and the driver drives on, as long as there are
 * more requests than threads. Where the door is closed, the driver is at work, and takes the request back. */
#pragma once

#include "ipc/scoreboard.h"
#include "worker/develop.h"
#include "worker/loop.h"
#include "wsgi/app.h"

typedef struct CrewOptions {
    Loop *loop;
    WsgiApp *app;
    unsigned n_threads;
    ScoreboardSlot *slots; /* one for each */
    Develop *develop;      /* told after each request; NULL: develop.reload is off */
} CrewOptions;

/* Serves until the loop is finished; the calling thread becomes member 0, holds the GIL before and after. 0
 * or negative errno: the threads can't be started, or epoll failed. */
int crew_run(const CrewOptions *options);
