/* SPDX-License-Identifier: MIT */
/* Whether to believe what a child says: the application can write what it likes to any descriptor that it
 * finds, and knows what our own code says there. Changes nothing; a child that is not believed is dropped by
 * children.c. */
#pragma once

#include "ipc/channel.h"
#include "supervisor/generation.h"

/* What is wrong with a message of the seat's worker, for the log; NULL: nothing. */
const char *hearing_worker(const Generation *g, const Seat *s, const Message *m);

/* What is wrong with one of the zygote; NULL: nothing. */
const char *hearing_zygote(const Generation *g, const Message *m);
