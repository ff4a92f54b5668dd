/* SPDX-License-Identifier: MIT */
/* The time limits of a generation's processes, and of the requests in them: who keeps none is named in the
 * log, and ended. Part of generation.h, for generation.c alone. */
#pragma once

#include "supervisor/generation.h"

/* Sees to all that are over. The next ones: the deadline_usec of the zygote and of each seat, and
 * scan_usec. */
void overdue_advance(Generation *g, usec_t now);
