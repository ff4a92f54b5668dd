/* SPDX-License-Identifier: MIT */
/* The trial of a generation: it is begun as the candidate; judged, by whether it serves; rolls, worker by
 * worker, into the place of the one before; and is watched for reload.watch, within which it can still be
 * taken back. Part of succession.h, for succession.c alone: each function does what is due now, and returns
 * whether that was anything. */
#pragma once

#include "supervisor/succession.h"

/* A candidate where SIGHUP asks for one, or current has no zygote any more. */
bool trial_begin(Succession *s, usec_t now);

/* The candidate becomes current, or is given up. */
bool trial_judge(Succession *s, usec_t now);

/* The end of the reload, when all workers are of current, or will not be. */
bool trial_finish_rolling(Succession *s, usec_t now);

/* Back to the generation before, where current's workers die; or the end of the watch. */
bool trial_watch(Succession *s, usec_t now);
