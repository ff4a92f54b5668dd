/* SPDX-License-Identifier: MIT */
/* Finds the hooks and calls them. */
#include "wsgi/python.h"

#include "wsgi/hooks.h"

#include "base/buffer.h"
#include "wsgi/exception.h"
#include "wsgi/hooks-state.h"
#include "wsgi/interpreter.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct {
    const char *name;
    const char *parameters;
    unsigned n_parameters;
} hook_table[N_HOOKS_] = {
    [HOOK_WORKER_START] = {"worker_start", "worker", 1},
    [HOOK_WORKER_READY] = {"worker_ready", "worker", 1},
    [HOOK_WORKER_EXIT] = {"worker_exit", "worker", 1},
    [HOOK_REQUEST_STARTED] = {"request_started", "worker, environ", 2},
    [HOOK_REQUEST_FINISHED] = {"request_finished", "worker, environ, status, duration", 4},
};

/* --- finding them; 0, or -1 with an exception --- */

/* By inspect.signature(): what has none, as some functions written in C, is believed. */
static int check_parameters(PyObject *function, HookKind kind)
{
    _cleanup_decref_ PyObject *inspect = PyImport_ImportModule("inspect");
    _cleanup_decref_ PyObject *signature =
        inspect ? PyObject_CallMethod(inspect, "signature", "O", function) : NULL;
    _cleanup_decref_ PyObject *bind = signature ? PyObject_GetAttrString(signature, "bind") : NULL;
    _cleanup_decref_ PyObject *args = bind ? PyTuple_New((Py_ssize_t)hook_table[kind].n_parameters) : NULL;
    _cleanup_decref_ PyObject *bound = NULL, *exception = NULL;

    if (!signature && PyErr_ExceptionMatches(PyExc_ValueError)) {
        PyErr_Clear();
        return 0;
    }
    for (unsigned i = 0; args && i < hook_table[kind].n_parameters; i++)
        PyTuple_SET_ITEM(args, (Py_ssize_t)i, Py_NewRef(Py_None));
    bound = args ? PyObject_CallObject(bind, args) : NULL;
    if (bound || !args || !PyErr_ExceptionMatches(PyExc_TypeError))
        return bound ? 0 : -1;
    exception = python_take_exception();
    PyErr_Format(PyExc_TypeError, "it has a function %s() that can't be called as %s(%s): %S",
                 hook_table[kind].name, hook_table[kind].name, hook_table[kind].parameters, exception);
    return -1;
}

static int find_hook(WsgiHooks *hooks, HookKind kind)
{
    const char *name = hook_table[kind].name;
    PyObject *function = PyObject_GetAttrString(hooks->module, name);

    if (!function && PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyErr_Clear();
        return 0;
    }
    hooks->functions[kind] = function;
    if (function && !PyCallable_Check(function)) {
        PyErr_Format(PyExc_TypeError, "its %s is no function, but an object of type %.200s", name,
                     Py_TYPE(function)->tp_name);
        return -1;
    }
    return function ? check_parameters(function, kind) : -1;
}

static int find_hooks(WsgiHooks *hooks, const char *module)
{
    bool found = false;

    hooks->module = PyImport_ImportModule(module);
    if (interpreter_is_forked_child())
        interpreter_exit_forked_child();
    if (!hooks->module)
        return -1;
    for (HookKind kind = 0; kind < N_HOOKS_; kind++) {
        if (find_hook(hooks, kind) < 0)
            return -1;
        found = found || hooks->functions[kind];
    }
    if (found)
        return 0;
    PyErr_SetString(PyExc_AttributeError,
                    "it has none of worker_start, worker_ready, worker_exit, request_started and "
                    "request_finished; what gunicorn calls otherwise is in cgunicorn-migration(7)");
    return -1;
}

int wsgi_hooks_load(const char *module, WsgiHooks **ret, char **ret_error)
{
    WsgiHooks *hooks = calloc(1, sizeof *hooks);

    *ret_error = NULL;
    if (!hooks)
        PyErr_NoMemory();
    if (!hooks || find_hooks(hooks, module) < 0) {
        *ret_error = exception_take_report("cannot load the hooks of the module '%s'", module);
        wsgi_hooks_free(hooks);
        return -1;
    }
    *ret = hooks;
    return 0;
}

WsgiHooks *wsgi_hooks_free(WsgiHooks *hooks)
{
    if (!hooks)
        return NULL;
    for (HookKind kind = 0; kind < N_HOOKS_; kind++)
        Py_CLEAR(hooks->functions[kind]);
    Py_CLEAR(hooks->module);
    Py_CLEAR(hooks->worker);
    free(hooks);
    return NULL;
}

/* --- what is called elsewhere, and here not --- */

/* gunicorn's names; instead: the hook that does the same, or NULL. */
static const struct {
    const char *name;
    const char *instead;
} strangers[] = {
    {"on_starting", NULL},
    {"on_reload", NULL},
    {"when_ready", NULL},
    {"pre_fork", NULL},
    {"post_fork", "worker_start"},
    {"post_worker_init", "worker_ready"},
    {"worker_int", "worker_exit"},
    {"worker_abort", NULL},
    {"pre_exec", NULL},
    {"pre_request", "request_started"},
    {"post_request", "request_finished"},
    {"child_exit", NULL},
    {"nworkers_changed", NULL},
    {"on_exit", NULL},
    {"ssl_context", NULL},
};

static bool has_function(PyObject *module, const char *name)
{
    _cleanup_decref_ PyObject *object = PyObject_GetAttrString(module, name);

    if (!object)
        PyErr_Clear();
    return object && PyCallable_Check(object);
}

/* "post_fork() is worker_start() here, when_ready() …", or "". */
static int list_strangers(PyObject *module, Buffer *to)
{
    int r = 0;

    for (size_t i = 0; i < ELEMENTSOF(strangers) && r == 0; i++) {
        const char *name = strangers[i].name, *instead = strangers[i].instead,
                   *comma = buffer_size(to) > 0 ? ", " : "";

        if (!has_function(module, name))
            continue;
        r = instead ? buffer_printf(to, "%s%s() is %s() here", comma, name, instead)
                    : buffer_printf(to, "%s%s() has no equivalent", comma, name);
    }
    return r;
}

char *wsgi_hooks_describe_strangers(const WsgiHooks *hooks)
{
    char *text = NULL;
    Buffer names;

    buffer_init(&names);
    if (list_strangers(hooks->module, &names) == 0 && buffer_size(&names) > 0)
        text = strndup(buffer_head(&names), buffer_size(&names));
    buffer_deinit(&names);
    return text;
}

/* --- the worker --- */

/* cgunicorn.Worker(seat=0, generation=1, pid=123, site='shop'): a tuple, so that nobody can change it. */
static PyObject *worker_new(const WsgiWorker *worker)
{
    static PyStructSequence_Field fields[] = {
        {"seat", "from 0 on; no other worker of the generation has it"},
        {"generation", "from 1 on; the next at each reload"},
        {"pid", NULL},
        {"site", NULL},
        {NULL, NULL},
    };
    static PyStructSequence_Desc description = {"cgunicorn.Worker", NULL, fields, ELEMENTSOF(fields) - 1};
    PyTypeObject *type = PyStructSequence_NewType(&description);
    _cleanup_decref_ PyObject *self = type ? PyStructSequence_New(type) : NULL;
    PyObject *values[] = {
        PyLong_FromUnsignedLong(worker->seat),
        PyLong_FromUnsignedLong(worker->generation),
        PyLong_FromLong(getpid()),
        PyUnicode_DecodeFSDefault(worker->site),
    };

    Py_XDECREF(type);
    for (size_t i = 0; i < ELEMENTSOF(values); i++) {
        if (!values[i])
            Py_CLEAR(self);
        if (self)
            PyStructSequence_SetItem(self, (Py_ssize_t)i, values[i]);
        else
            Py_XDECREF(values[i]);
    }
    return TAKE_PTR(self);
}

/* --- calling them --- */

/* args: args[-1] is free for the callee, as in PyObject_Vectorcall(). */
static int call(const WsgiHooks *hooks, HookKind kind, PyObject *const args[])
{
    size_t n = hook_table[kind].n_parameters | PY_VECTORCALL_ARGUMENTS_OFFSET;
    PyObject *result = PyObject_Vectorcall(hooks->functions[kind], args, n, NULL);

    if (interpreter_is_forked_child())
        interpreter_exit_forked_child();
    Py_XDECREF(result);
    return result ? 0 : -1;
}

static int call_for_worker(const WsgiHooks *hooks, HookKind kind, char **ret_error)
{
    PyObject *args[] = {NULL, hooks->worker};

    if (!hooks->functions[kind] || call(hooks, kind, args + 1) == 0)
        return 0;
    *ret_error = exception_take_report("%s() of app.hooks failed", hook_table[kind].name);
    return -1;
}

int wsgi_hooks_worker_start(WsgiHooks *hooks, const WsgiWorker *worker, char **ret_error)
{
    *ret_error = NULL;
    if (!hooks)
        return 0;
    hooks->worker = worker_new(worker);
    if (hooks->worker)
        return call_for_worker(hooks, HOOK_WORKER_START, ret_error);
    *ret_error = exception_take_report("cannot prepare the hooks");
    return -1;
}

int wsgi_hooks_worker_ready(WsgiHooks *hooks, char **ret_error)
{
    *ret_error = NULL;
    return hooks ? call_for_worker(hooks, HOOK_WORKER_READY, ret_error) : 0;
}

int wsgi_hooks_worker_exit(WsgiHooks *hooks, char **ret_error)
{
    *ret_error = NULL;
    return hooks ? call_for_worker(hooks, HOOK_WORKER_EXIT, ret_error) : 0;
}

int hooks_request_started(const WsgiHooks *hooks, PyObject *environ)
{
    PyObject *args[] = {NULL, hooks->worker, environ};

    return hooks->functions[HOOK_REQUEST_STARTED] ? call(hooks, HOOK_REQUEST_STARTED, args + 1) : 0;
}

int hooks_request_finished(const WsgiHooks *hooks, PyObject *environ, unsigned status, usec_t duration_usec)
{
    _cleanup_decref_ PyObject *number = NULL, *seconds = NULL;

    if (!hooks->functions[HOOK_REQUEST_FINISHED])
        return 0;
    number = status > 0 ? PyLong_FromUnsignedLong(status) : Py_NewRef(Py_None);
    seconds = PyFloat_FromDouble((double)duration_usec / (double)USEC_PER_SEC);
    if (!number || !seconds)
        return -1;
    return call(hooks, HOOK_REQUEST_FINISHED,
                (PyObject *[]){NULL, hooks->worker, environ, number, seconds} + 1);
}
