/* SPDX-License-Identifier: MIT */
/* Workers that have done their share: after so many requests, so long a life, with so much memory, they are
 * marked as leaving. They serve on until others do in their place, which generation.c sees to. */
#pragma once

#include "supervisor/generation.h"

/* The worker serves from now on. */
void recycling_begin(const Generation *g, Seat *s, usec_t now);

/* It is to be replaced. why: a constant, for the log. */
void recycling_mark(const Generation *g, Seat *s, const char *why);

/* Marks those whose time is over or who are too large. Returns when it wants to be called again, at the
 * latest. */
usec_t recycling_advance(Generation *g, usec_t now);
