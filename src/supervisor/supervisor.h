/* SPDX-License-Identifier: MIT */
/* The supervisor: main PID for life, runs no Python and touches no byte of a client. Starts generations,
 * keeps their workers, tells systemd. */
#pragma once

#include "base/strv.h"

#include <stdbool.h>
#include <stddef.h>

/* Exit statuses, as sysexits.h has them. */
enum {
    EXIT_OK = 0,
    EXIT_USAGE = 64,      /* called wrongly, or without sockets */
    EXIT_APP_FAILED = 70, /* the application does not load */
    EXIT_OS = 71,         /* the system refused something */
    EXIT_CONFIG = 78,     /* the configuration is wrong */
};

typedef struct SupervisorOptions {
    const char *site;        /* name for logs and titles; "" in the foreground without one */
    const char *config_path; /* read at start and again at each reload; NULL: overrides alone */
    char *const *overrides;  /* "section.key=value" of the command line */
    bool may_bind; /* foreground: bind socket.listen (default 127.0.0.1:8000) unless systemd passed sockets */
} SupervisorOptions;

/* Runs until it is told to stop. Strings are borrowed. Returns the exit status of the process. */
int supervisor_run(const SupervisorOptions *options);
