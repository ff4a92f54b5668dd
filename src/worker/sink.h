/* SPDX-License-Identifier: MIT */
/* Takes the response of the application for one checked-out connection: the worker's side of wsgi/sink.h. What the
 * client does not take at once is sent by the loop's thread, or by the flusher's (flusher.h): from then on, they share
 * the output by Exchange.lock. Touches the loop only where loop.h allows it. */
#pragma once

#include "worker/connection.h"
#include "wsgi/sink.h"

typedef struct Sink {
    ResponseSink base;
    Loop *loop;
    Connection *connection;
} Sink;

/* In the thread that runs the application, from here to sink_deinit(). *sink is uninitialised, and not on the stack of
 * a greenlet. Loop and connection are borrowed. greenlet: the calling one, or NULL. */
void sink_init(Sink *sink, Loop *l, Connection *c, Greenlet *greenlet);
void sink_deinit(Sink *sink);

/* A response of the server's own instead of the application's, of which nothing is final yet; by the same thread. 0,
 * SINK_E_GONE: the loop was first, and has answered; or negative errno. */
int sink_answer_error(Sink *sink, unsigned status);

/* Sends a complete response, unless the other thread does: by that of the application, where it sees
 * Exchange.is_overtaken, or by the one that has overtaken it, where that sees Exchange.is_complete. */
void sink_send_complete(Loop *l, Connection *c);
