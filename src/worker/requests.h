/* SPDX-License-Identifier: MIT */
/* The requests of a worker between the loop and the threads of the application: those that are ready wait in
 * a queue, are checked out to a thread, checked in with their responses; and responses wait for each other,
 * to be sent together. */
#pragma once

#include "worker/loop.h"

/* So long those that are ready are run, one after the other, before others are looked for. */
#define REQUESTS_SLICE_USEC (1 * USEC_PER_MSEC)

void connection_queue_push(ConnectionQueue *q, struct Connection *c);
struct Connection *connection_queue_pop(ConnectionQueue *q);

/* Of requests: the last one goes before those that became ready later. */
void connection_queue_settle_last(ConnectionQueue *q);

/* The next request for the application, checked out to the caller; NULL: none, or no slot is free. */
struct Connection *requests_check_out(Loop *l);

/* Shows in the slot that it runs from now on; until started_usec is 0 again. */
void requests_show(const Loop *l, const struct Connection *c, ScoreboardSlot *slot);

/* Whether requests_check_out() would find one. */
bool requests_are_ready(const Loop *l);

/* The application is done with it. The driver, or who came in by the door, checks it in; any other thread hands it
 * back, which wakes the driver. */
void requests_check_in(Loop *l, struct Connection *c);
void requests_hand_back(Loop *l, struct Connection *c); /* any thread */

/* The application has taken so long. One slow request among fast ones leaves l->usual_usec below a millisecond, three
 * in a row do not, however slow they are. */
void requests_learn(Loop *l, usec_t usec);

/* c is READY, and in no queue: nobody will run the application for it. reason: for the log. */
void requests_refuse(Loop *l, struct Connection *c, const char *reason);

/* Keeps the answers of a connection back until requests_flush(), so that a batch of requests is computed
 * before the first answer wakes a client; requests_must_flush(): they should not wait any longer. */
void requests_keep_back(Loop *l, struct Connection *c);
void requests_flush(Loop *l);
bool requests_must_flush(const Loop *l);

/* The driver: checks in what others have handed back. */
void requests_take_returned(Loop *l);
