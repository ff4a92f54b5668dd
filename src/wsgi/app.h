/* SPDX-License-Identifier: MIT */
/* Finds the application: "module:callable", "module:factory()" or "module:factory(literal, key=literal)";
 * "module" alone means "module:application". */
#pragma once

#include "wsgi/hooks.h"

#include <stdbool.h>

typedef struct WsgiApp WsgiApp;

/* What is the same for every request of this process. Strings are borrowed. */
typedef struct WsgiAppOptions {
    bool multithread;
    bool multiprocess;
    int errors_fd;          /* where wsgi.errors writes its lines; borrowed */
    const WsgiHooks *hooks; /* NULL: none; borrowed */
} WsgiAppOptions;

/* With the GIL. 0, or -1 with *ret_error: one line of what is wrong, then the traceback (import errors),
 * which the caller frees. */
int wsgi_app_load(const char *spec, WsgiApp **ret, char **ret_error);

/* After the fork, before the first request: builds what environs have in common. 0 or -1 with *ret_error. */
int wsgi_app_prepare(WsgiApp *app, const WsgiAppOptions *options, char **ret_error);

WsgiApp *wsgi_app_free(WsgiApp *app);
