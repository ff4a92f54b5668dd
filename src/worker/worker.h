/* SPDX-License-Identifier: MIT */
/* A worker process from its fork to its exit. */
#pragma once

#include "config/config.h"
#include "ipc/scoreboard.h"
#include "ipc/totals.h"
#include "worker/file-roots.h"
#include "wsgi/app.h"
#include "wsgi/hooks.h"

typedef struct WorkerOptions {
    const char *site;
    const Config *config;
    Scoreboard *scoreboard;
    Totals *totals;
    unsigned seat;
    unsigned generation;
    int channel; /* owned by the worker from now on */
    int *listeners;
    size_t n_listeners;
    int doorbell;                /* see LoopOptions */
    const int *queue;            /* likewise */
    const char *directory;       /* that the code is imported from; NULL: not known */
    const FileRoots *file_roots; /* borrowed */
    WsgiHooks *hooks;            /* preloaded, or NULL */
    WsgiApp *app;                /* preloaded, or NULL */
} WorkerOptions;

/* With the GIL: imports app.hooks, if there are any, and warns of what in them is never called. 0, or -1 with
 * *ret_error. */
int worker_load_hooks(const Config *config, WsgiHooks **ret, char **ret_error);

/* With the GIL, in the forked child, after interpreter_after_fork_child(). Waits for GO, loads the
 * application unless it is preloaded, serves, ends the interpreter. Returns the exit status. */
int worker_run(const WorkerOptions *options);
