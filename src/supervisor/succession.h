/* SPDX-License-Identifier: MIT */
/* One generation after the other: start, reload and the death of a zygote are one path. A generation is
 * started; when it has proven itself, the one before is retired; else it is dropped, and the one before goes
 * on. */
#pragma once

#include "ipc/totals.h"
#include "supervisor/generation.h"
#include "supervisor/status.h"
#include "supervisor/supervisor.h"

typedef struct Succession {
    const SupervisorOptions *options;
    sd_event *event; /* borrowed, as are the sockets */
    const Sockets *sockets;
    bool sockets_are_held; /* by systemd, which starts the next instance when somebody connects */
    Totals *totals;        /* borrowed, as is totals_fd */
    int totals_fd;
    Generation *generations; /* all: the newest first. Retired ones serve until they are replaced, then go */
    Generation *candidate;   /* of them: has still to prove itself; NULL: none */
    Generation *current;     /* of them: serves; NULL: none yet, or none any more */
    Generation *fallback;    /* a retired one, whose zygote stays as long as current is watched; or NULL */
    unsigned n_generations;
    bool started; /* READY=1 was sent for the first time */
    bool stopping;
    bool reload_wanted;    /* set by SIGHUP */
    bool reloading;        /* RELOADING=1 was sent, and no READY=1 since */
    bool rolling;          /* current takes over from those before it, worker by worker */
    usec_t watch_end_usec; /* of current; NEVER while it rolls, 0: it is not watched */
    usec_t unserved_usec;  /* since when nobody has served; 0: somebody does */
    char *reload_failure;
    usec_t regenerate_usec; /* current has no zygote any more: when to start the next generation */
    usec_t regenerate_backoff_usec;
    Notifier *notifier;
    StatusLine status;
    Watch watch;
    int exit_status; /* of the process, when it stops by itself */
    char *exit_reason;
} Succession;

void succession_deinit(Succession *s);

static inline bool succession_has_retired(const Succession *s, const Generation *g)
{
    return g != s->candidate && g != s->current;
}

/* The configuration as it is now. 0, or the exit status that this failure means at start, with *ret_error for
 * the caller to free; NULL there means that there is no memory. */
int succession_load_config(const SupervisorOptions *options, Config **ret, char **ret_error);

/* "what: why" in *ret_error; the result is EXIT_OS. r: negative errno. */
int succession_os_error(const char *what, int r, char **ret_error);

/* Starts a generation as the candidate. config belongs to it. The result is as above. */
int succession_begin(Succession *s, Config *config, char **ret_error, usec_t now);

/* Does all that follows from what happened, until nothing follows any more. Returns when it wants to be
 * called again, at the latest; it is over when s->stopping and no generation is left. */
usec_t succession_advance(Succession *s, usec_t now);

/* Serves, and neither loads nor replaces anything. */
bool succession_is_settled(const Succession *s);

/* A child has ended, stopped or gone on (waitid(2)). Whether it is one of ours. */
bool succession_on_change(Succession *s, const siginfo_t *change, usec_t now);

/* SIGTTIN, SIGTTOU: so many workers more, or fewer. */
void succession_resize(Succession *s, int by, usec_t now);

/* Memory is short. */
void succession_relieve(Succession *s, usec_t now);

void succession_stop(Succession *s, usec_t now);

/* After succession_stop(): no more waiting. */
void succession_kill(Succession *s, usec_t now);

/* What `systemctl status` is to show. The result is `to`. */
const char *succession_describe(const Succession *s, char to[static STATUS_TEXT_MAX]);

/* For trial.c: READY=1, and the end of a start that has failed. */
void succession_tell_ready(Succession *s, usec_t now);
void succession_fail(Succession *s, int exit_status, const char *reason, usec_t now);
