/* SPDX-License-Identifier: MIT */
/* A request from its environ to close(). Here, and nowhere else in this layer, exceptions become outcomes. */
#include "wsgi/python.h"

#include "wsgi/call.h"

#include "wsgi/app-state.h"
#include "wsgi/body.h"
#include "wsgi/exception.h"
#include "wsgi/hooks-state.h"
#include "wsgi/interpreter.h"

#include <stdio.h>
#include <string.h>

/* One request can fail in several places: all are said, in their order. what: a line of its own, or "". */
static void add_failure(char **error, const char *what)
{
    _cleanup_free_ char *former = *error, *text = exception_take_text();

    if (!text || asprintf(error, "%s%s%s%s", former ? former : "", former ? "\n" : "", what, text) < 0)
        *error = TAKE_PTR(former);
}

/* What the exception of a failed request means. A client that is gone, or does not send what it announced, is no error
 * of the application. */
static int take_failure(Slot *slot, char **ret_error)
{
    const Delivery *x = &slot->delivery;

    if (x->gone) {
        PyErr_Clear();
        return WSGI_E_GONE;
    }
    if (input_take_failure(slot->input))
        return WSGI_E_BODY;
    add_failure(ret_error, "");
    return x->begun ? WSGI_E_CUT : WSGI_E_ERROR;
}

static int call_application(WsgiApp *app, Slot *slot, PyObject *environ, char **ret_error)
{
    PyObject *args[] = {NULL, environ, (PyObject *)slot->start_response};
    _cleanup_decref_ PyObject *result =
        PyObject_Vectorcall(app->callable, args + 1, 2 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    Body body = {.result = result};
    int r = result ? body_send(&body, &slot->delivery, &app->slots.files) : -1, closed = 0;

    if (r < 0 && interpreter_is_forked_child())
        interpreter_exit_forked_child();

    /* Nothing that runs from here on, close() or a finaliser, can add to the response. */
    start_response_detach(slot->start_response);
    if (r < 0)
        r = take_failure(slot, ret_error);
    if (result)
        closed = body_close(&body, &app->slots.files);
    if (interpreter_is_forked_child())
        interpreter_exit_forked_child();
    if (closed < 0)
        add_failure(ret_error, "close() of the application's result failed:\n");
    return r;
}

/* What the client was told, where it was told something: for request_finished(). */
static unsigned final_status(const Delivery *x, int r)
{
    if (x->begun)
        return x->sink->response->status;
    return r == WSGI_E_ERROR ? 500 : 0;
}

/* The failure of a hook changes nothing for the client. */
static int call_with_hooks(WsgiApp *app, Slot *slot, PyObject *environ, char **ret_error)
{
    usec_t since = clock_now_usec();
    int r;

    if (hooks_request_started(app->hooks, environ) < 0)
        add_failure(ret_error, "request_started() of app.hooks failed:\n");
    r = call_application(app, slot, environ, ret_error);
    if (hooks_request_finished(app->hooks, environ, final_status(&slot->delivery, r),
                               clock_now_usec() - since) < 0)
        add_failure(ret_error, "request_finished() of app.hooks failed:\n");
    return r;
}

int wsgi_call(WsgiApp *app, const Request *request, const Spool *body, BodySource *source,
              const WsgiPeer *peer, ResponseSink *sink, char **ret_error)
{
    PyObject *environ;
    Slot *slot;
    int r;

    *ret_error = NULL;
    slot = slot_take(&app->slots, sink, body, source);
    if (!slot) {
        add_failure(ret_error, "");
        return WSGI_E_ERROR;
    }
    environ = environ_new(&slot->environs, slot->cache, request, body, peer);
    if (!environ)
        r = take_failure(slot, ret_error);
    else if (app->hooks)
        r = call_with_hooks(app, slot, environ, ret_error);
    else
        r = call_application(app, slot, environ, ret_error);
    Py_XDECREF(environ);
    slot_give_back(&app->slots, slot);
    return r;
}
