/* SPDX-License-Identifier: MIT */
/* The worker of a site: which program, started how, greeted with what. What it answers is read elsewhere. */
#pragma once

#include "config/config.h"

#include <sys/types.h>

#define WORKER_PROGRAM_E_NONE 1 /* none fits the site; the message says why */

typedef struct WorkerProgram {
    char *path; /* what is executed: a worker program, which embeds Python, or an interpreter */
    char *
        modules; /* the directory with the modules that the interpreter loads; NULL: it is a worker program */
} WorkerProgram;

/* Of app.python and the virtualenv, or, where neither is set, of the Python that this build is for. The caller clears
 * *ret, or frees *ret_error. 0, -ENOMEM, or WORKER_PROGRAM_E_NONE. */
int worker_program_find(const Config *config, WorkerProgram *ret, char **ret_error);
void worker_program_clear(WorkerProgram *p);

/* fork() and exec, in app.chdir: the child's only descriptors are 0 (null), 1, 2 and 3 (its end of the channel); it has
 * a process group of its own, so that the terminal's ^C reaches the supervisor alone, and in its environment
 * app.environment and nothing that speaks of systemd's protocols. The caller owns *ret_channel and reaps *ret_pid. 0 or
 * negative errno. */
int worker_program_start(const WorkerProgram *program, const Config *config, const char *site,
                         int *ret_channel, pid_t *ret_pid);

/* The message HELLO. Descriptors of the scoreboard, of ipc/totals.h, of the queue (both ends, or NULL: none)
 * and of listeners are not closed. 0, also where the child has gone already: the channel tells why; or negative
 * errno. */
#define WORKER_PROGRAM_LISTENERS_MAX 59 /* MESSAGE_FDS_MAX less five */
int worker_program_greet(int channel, const char *site, unsigned generation, const Config *config,
                         int scoreboard_fd, int totals_fd, const int *queue, const int *listeners,
                         size_t n_listeners);
