/* SPDX-License-Identifier: MIT */
/* A body that the application receives itself, while its connection is checked out: the worker's side of
 * wsgi/body-source.h. The loop does not read from such a connection, so that neither thread waits for the
 * other. */
#pragma once

#include "ipc/scoreboard.h"
#include "worker/connection.h"
#include "wsgi/body-source.h"

typedef struct LiveBody {
    BodySource source;
    Loop *loop;
    Connection *connection;
    ScoreboardSlot *slot;
    usec_t waited_usec; /* for the client, in all */
    usec_t silent_usec; /* of that, since it last sent something */
    int error;          /* once it has failed: what receive() returns */
    unsigned status;    /* and what to refuse the request with */
} LiveBody;

/* slot: of the running request; timeouts.request does not count what is waited for the client. All are
 * borrowed. */
void live_body_init(LiveBody *b, Loop *l, Connection *c, ScoreboardSlot *slot);
