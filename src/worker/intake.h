/* SPDX-License-Identifier: MIT */
/* The way in: from octets on a connection to a complete request, head and body. */
#pragma once

#include "worker/connection.h"

/* Receives what is there; states IDLE, HEAD, BODY. */
void intake_on_readable(Loop *l, Connection *c);

/* Goes on with what was received already: makes the connection HEAD, BODY or READY, or refuses. The output
 * must be simple (output_is_simple()). */
void intake_advance(Loop *l, Connection *c);

/* A response is sent, and a next request has been received, or a part of it: the same, or it is left to the
 * heirs. */
void intake_next(Loop *l, Connection *c);
