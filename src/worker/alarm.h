/* SPDX-License-Identifier: MIT */
/* The loop's deadlines as one more descriptor in its epoll set: for a loop that is turned without waiting,
 * whenever that set has become readable. */
#pragma once

#include "worker/loop.h"

/* Once. 0 or negative errno. */
int alarm_init(Loop *l);

/* After a turn: the set becomes readable when the next deadline has come, or at that time, or before. */
void alarm_set(Loop *l, usec_t at);

void alarm_on_event(Loop *l);
