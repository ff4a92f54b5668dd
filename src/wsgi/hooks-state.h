/* SPDX-License-Identifier: MIT */
/* The inside of WsgiHooks, and the hooks that are called around a request, for call.c. */
#pragma once

#include "wsgi/python.h"

#include "base/clock.h"
#include "wsgi/hooks.h"

typedef enum HookKind {
    HOOK_WORKER_START,
    HOOK_WORKER_READY,
    HOOK_WORKER_EXIT,
    HOOK_REQUEST_STARTED,
    HOOK_REQUEST_FINISHED,
    N_HOOKS_,
} HookKind;

struct WsgiHooks {
    PyObject *module;
    PyObject *functions[N_HOOKS_]; /* NULL: the module does not have it */
    PyObject *worker;              /* from wsgi_hooks_worker_start() on */
};

static inline bool hooks_see_requests(const WsgiHooks *hooks)
{
    return hooks && (hooks->functions[HOOK_REQUEST_STARTED] || hooks->functions[HOOK_REQUEST_FINISHED]);
}

/* Both: 0, or -1 with an exception. A child that the function has forked does not return. status: 0 for
 * none. */
int hooks_request_started(const WsgiHooks *hooks, PyObject *environ);
int hooks_request_finished(const WsgiHooks *hooks, PyObject *environ, unsigned status, usec_t duration_usec);
