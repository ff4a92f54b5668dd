/* SPDX-License-Identifier: MIT */
/* How the workers of one generation take the place of those of another, and how they are taken back. The
 * other half of succession.h, for succession.c alone. */
#pragma once

#include "supervisor/succession.h"

/* The generation, s->candidate or s->current, is a retired one from now on; *g is NULL then. drain: its
 * workers go at once, and not when they are replaced. */
void takeover_retire(Generation **g, bool drain, usec_t now);

/* The candidate becomes the current generation; its workers are watched from now on, unless it is the
 * first. */
void takeover_begin(Succession *s, usec_t now);

/* The fallback, which there must be, becomes the current generation, and the current one is retired. */
void takeover_undo(Succession *s, usec_t now);

void takeover_end_watch(Succession *s, usec_t now);

/* Lets old workers go for whom new ones serve; whether any. */
bool takeover_advance(Succession *s, usec_t now);

/* When only current accepts connections, all of it: 0 where that is so already, UINT64_MAX where it can't be
 * told. */
usec_t takeover_done_at(const Succession *s);

/* How many workers the generation may ask for now. */
unsigned takeover_n_more(const Succession *s, const Generation *g);
