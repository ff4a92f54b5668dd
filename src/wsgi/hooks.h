/* SPDX-License-Identifier: MIT */
/* Functions of the site's own that are called as its workers and their requests come and go: those of one
 * module that have these names.
 *
 *   worker_start(worker)     after the fork, before the application is imported where it is not preloaded
 *   worker_ready(worker)     before the worker serves
 *   worker_exit(worker)      when it has served, before atexit
 *   request_started(worker, environ)                       before the application is called
 *   request_finished(worker, environ, status, duration)    after close(); see hooks-state.h */
#pragma once

#include <stddef.h>

typedef struct WsgiHooks WsgiHooks;

/* What the hooks are told of their worker, besides its pid. */
typedef struct WsgiWorker {
    const char *site;
    unsigned seat;
    unsigned generation;
} WsgiWorker;

/* All with the GIL. 0, or -1 with *ret_error: text for the log, to be freed. */

/* Imports the module and looks for the functions. A function that can't take its arguments is an error. */
int wsgi_hooks_load(const char *module, WsgiHooks **ret, char **ret_error);

/* What the module has that looks like a hook and is never called, as gunicorn calls it, and what to write
 * instead: text for the log, to be freed; NULL: nothing. */
char *wsgi_hooks_describe_strangers(const WsgiHooks *hooks);

/* In the worker. hooks: NULL for none. */
int wsgi_hooks_worker_start(WsgiHooks *hooks, const WsgiWorker *worker, char **ret_error);
int wsgi_hooks_worker_ready(WsgiHooks *hooks, char **ret_error);
int wsgi_hooks_worker_exit(WsgiHooks *hooks, char **ret_error);

WsgiHooks *wsgi_hooks_free(WsgiHooks *hooks);
