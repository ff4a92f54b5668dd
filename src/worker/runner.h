/* SPDX-License-Identifier: MIT */
/* Runs the application for one checked-out connection. Any thread; touches the loop only where loop.h allows it. */
#pragma once

#include "worker/live-body.h"
#include "worker/sink.h"
#include "wsgi/app.h"

typedef struct Runner {
    Sink sink;
    LiveBody live;
} Runner;

/* With the GIL. Afterwards the exchange holds the response (partly sent where it was streamed), status,
 * error. *r is the call's own, uninitialised; not on the stack of a greenlet. slot: where the request is
 * shown to run. greenlet: the calling one, or NULL. */
void runner_run(Runner *r, Loop *l, Connection *c, WsgiApp *app, ScoreboardSlot *slot, Greenlet *greenlet);

/* The calling thread has just taken the loop over from the one that runs the application for c: if the
 * response is complete already, it is not to wait for what the application does after it, in close() for
 * example. */
void runner_on_overtaken(Loop *l, Connection *c);
