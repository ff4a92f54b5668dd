/* SPDX-License-Identifier: MIT */
/* The size of a generation: looks at what its workers do, and asks supervisor/sizing.h what follows. */
#pragma once

#include "supervisor/generation.h"

void elastic_init(Generation *g);

/* Changes g->n_wanted where that is due. Returns when it wants to be called again, at the latest. */
usec_t elastic_advance(Generation *g, usec_t now);
