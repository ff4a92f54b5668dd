/* SPDX-License-Identifier: MIT */
/* The worker program of a site's Python version: which one, started how, greeted with what. What it answers
 * is read elsewhere. */
#pragma once

#include "config/config.h"

#include <sys/types.h>

#define WORKER_PROGRAM_E_NONE 1 /* none fits the site; the message says why */

/* The path of the program that embeds the Python version of the virtualenv, or, where that is NULL, the
 * version that this build is for. The caller frees *ret_path or *ret_error. 0, -ENOMEM, or
 * WORKER_PROGRAM_E_NONE. */
int worker_program_find(const char *virtualenv, char **ret_path, char **ret_error);

/* fork() and exec: the child's only descriptors are 0 (null), 1, 2 and 3 (its end of the channel); it has a
 * process group of its own, so that the terminal's ^C reaches the supervisor alone, and nothing in its
 * environment that speaks of systemd's protocols. The caller owns *ret_channel and reaps *ret_pid. 0 or
 * negative errno. */
int worker_program_start(const char *path, const char *site, int *ret_channel, pid_t *ret_pid);

/* The message HELLO. Descriptors of the scoreboard, of ipc/totals.h and of listeners are not closed. 0 or
 * negative errno. */
#define WORKER_PROGRAM_LISTENERS_MAX 61 /* MESSAGE_FDS_MAX less three */
int worker_program_greet(int channel, const char *site, unsigned generation, const Config *config,
                         int scoreboard_fd, int totals_fd, const int *listeners, size_t n_listeners);
