/* SPDX-License-Identifier: MIT */
/* The processes of a generation: how they are started, what they say, how they end. The other half of
 * generation.h, for generation.c alone. */
#pragma once

#include "supervisor/generation.h"
#include "supervisor/report.h"
#include "supervisor/worker-program.h"

ReportSubject children_subject_of_zygote(const Generation *g);
ReportSubject children_subject_of(const Generation *g, const Seat *s);

/* Keeps the last line of the text as g->failure. */
void children_note_failure(Generation *g, const char *text);

/* A zygote that runs already when this fails sees the end of its channel: generation_free() closes it. 0 or
 * negative errno. */
int children_start_zygote(Generation *g, const char *site, const WorkerProgram *program,
                          const Sockets *sockets, int totals_fd);

/* The end of its channel tells it to go, and a signal, unless that is 0; what it still has to say is read. */
void children_dismiss_zygote(Generation *g, int signal_number, usec_t now);

/* Asks the zygote for a worker; where that fails, the seat stays empty and is tried again. */
void children_spawn(Generation *g, Seat *s, usec_t now);

bool children_on_change(Generation *g, const siginfo_t *change, usec_t now);
