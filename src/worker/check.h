/* SPDX-License-Identifier: MIT */
/* The check of a worker that has still to prove its generation: before it takes a client's connection, the
 * application is asked for reload.check_path, through a connection that the worker has with itself. Only the
 * status of the answer is looked at. How long it may take is the supervisor's matter. Part of the loop, and
 * called by its driver alone. */
#pragma once

#include "worker/loop.h"

/* Asks. The loop is held. When the answer is here, the supervisor is told READY, or FAILED and why; in the
 * latter case the loop drains, and never takes a connection. 0 or negative errno. */
int check_begin(Loop *l);

void check_on_event(Loop *l);

Check *check_free(Check *c);
