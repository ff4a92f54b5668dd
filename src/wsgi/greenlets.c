/* SPDX-License-Identifier: MIT */
/* gevent by its documented API alone: monkey, Greenlet, get_hub(), loop.io(), loop.run_callback(), Event,
 * wait_read(). */
#include "wsgi/python.h"

#include "wsgi/greenlets.h"

#include "wsgi/exception.h"
#include "wsgi/interpreter.h"

#define FRAMES_MAX 100
#define CLASS "workers.class = gevent: "

/* What is used of gevent, held until the process ends: greenlets of the application may outlive the server's. */
static struct {
    PyObject *greenlet_type;
    PyObject *getcurrent;
    PyObject *wait_read;
    PyObject *hub_switch;
    PyObject *run_callback;
    PyObject *switch_name;
    PyObject *loop;
    PyObject *stopped; /* a gevent.event.Event */
    PyObject *on_visit;
    PyObject *on_start;
    void (*visit)(void *arg);
    void *visit_arg;
    bool is_called_soon;
    bool is_stopped;
} gevent;

bool greenlets_are_used(void)
{
    return gevent.loop;
}

/* --- before the site is imported --- */

static bool is_missing(PyObject *exception)
{
    _cleanup_decref_ PyObject *name = NULL;

    if (!PyErr_GivenExceptionMatches(exception, PyExc_ModuleNotFoundError))
        return false;
    name = python_get_attribute(exception, "name");
    if (!name)
        PyErr_Clear();
    return name && PyUnicode_Check(name) && PyUnicode_CompareWithASCIIString(name, "gevent") == 0;
}

static char *explain_import(void)
{
    _cleanup_decref_ PyObject *exception = python_take_exception();

    if (is_missing(exception))
        return strdup(CLASS
                      "the site's Python has no gevent: install the Debian package python3-gevent, or, where "
                      "app.virtualenv is set, install gevent there with its pip");
    PyErr_SetObject((PyObject *)Py_TYPE(exception), exception);
    return exception_take_report(CLASS "cannot use gevent");
}

int greenlets_patch(char **ret_error)
{
    _cleanup_decref_ PyObject *monkey = PyImport_ImportModule("gevent.monkey"), *done = NULL;

    if (!monkey) {
        *ret_error = explain_import();
        return -1;
    }
    done = python_call_method(monkey, "patch_all");
    if (!done)
        *ret_error = exception_take_report(CLASS "gevent.monkey.patch_all() failed");
    return done ? 0 : -1;
}

/* --- callbacks of gevent --- */

/* In a child that the application has forked, the copy of the hub finds the descriptors closed. After greenlets_run(),
 * the hub may still have been asked for a visit. */
static PyObject *on_visit(PyObject *self, PyObject *unused)
{
    (void)self, (void)unused;
    gevent.is_called_soon = false;
    if (gevent.visit && !interpreter_is_forked_child())
        gevent.visit(gevent.visit_arg);
    Py_RETURN_NONE;
}

/* The first and only call of a new greenlet. Once run() has returned, g may be in use again as soon as the hub goes
 * on. */
static PyObject *on_start(PyObject *self, PyObject *capsule)
{
    Greenlet *g = PyCapsule_GetPointer(capsule, NULL);
    PyObject *object = g->object;

    (void)self;
    g->run(g->arg);
    g->object = NULL;
    Py_DECREF(object); /* which runs, and so is held by the thread as well */
    Py_RETURN_NONE;
}

static PyMethodDef visit_method = {"cgunicorn_visit", on_visit, METH_NOARGS, NULL};
static PyMethodDef start_method = {"cgunicorn_request", on_start, METH_O, NULL};

/* --- begin --- */

static PyObject *import_name(const char *module_name, const char *name)
{
    _cleanup_decref_ PyObject *module = PyImport_ImportModule(module_name);

    return module ? PyObject_GetAttrString(module, name) : NULL;
}

static PyObject *call_name(const char *module_name, const char *name)
{
    _cleanup_decref_ PyObject *function = import_name(module_name, name);

    return function ? PyObject_CallNoArgs(function) : NULL;
}

/* A gevent.Greenlet that does not record where it was made, which is in the hub each time. */
static PyObject *make_type(void)
{
    _cleanup_decref_ PyObject *base = import_name("gevent", "Greenlet");

    return base ? PyObject_CallFunction((PyObject *)&PyType_Type, "s(O){sis()}", "Request", base,
                                        "spawning_stack_limit", 0, "__slots__")
                : NULL;
}

/* 0, or -1 with an exception. */
static int begin(void)
{
    _cleanup_decref_ PyObject *done = call_name("gevent", "reinit");
    _cleanup_decref_ PyObject *hub = done ? call_name("gevent", "get_hub") : NULL;

    if (!hub)
        return -1;
    gevent.greenlet_type = make_type();
    gevent.getcurrent = import_name("gevent", "getcurrent");
    gevent.wait_read = import_name("gevent.socket", "wait_read");
    gevent.stopped = call_name("gevent.event", "Event");
    gevent.hub_switch = PyObject_GetAttrString(hub, "switch");
    gevent.switch_name = PyUnicode_InternFromString("switch");
    gevent.on_visit = PyCFunction_New(&visit_method, NULL);
    gevent.on_start = PyCFunction_New(&start_method, NULL);
    if (!gevent.greenlet_type || !gevent.getcurrent || !gevent.wait_read || !gevent.stopped ||
        !gevent.hub_switch || !gevent.switch_name || !gevent.on_visit || !gevent.on_start)
        return -1;
    gevent.loop = PyObject_GetAttrString(hub, "loop");
    gevent.run_callback = gevent.loop ? PyObject_GetAttrString(gevent.loop, "run_callback") : NULL;
    return gevent.run_callback ? 0 : -1;
}

int greenlets_begin(char **ret_error)
{
    if (begin() == 0)
        return 0;
    *ret_error = exception_take_report(CLASS "cannot use gevent");
    return -1;
}

/* --- the hub --- */

/* A list of watchers that are started; NULL with an exception. */
static PyObject *watch(const int *fds, size_t n_fds)
{
    _cleanup_decref_ PyObject *watchers = PyList_New(0);

    for (size_t i = 0; watchers && i < n_fds; i++) {
        _cleanup_decref_ PyObject *io = PyObject_CallMethod(gevent.loop, "io", "ii", fds[i], 1);
        _cleanup_decref_ PyObject *done = io && PyList_Append(watchers, io) == 0
                                              ? PyObject_CallMethod(io, "start", "O", gevent.on_visit)
                                              : NULL;

        if (!done)
            Py_CLEAR(watchers);
    }
    return Py_XNewRef(watchers);
}

static void unwatch(PyObject *watchers)
{
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(watchers); i++) {
        _cleanup_decref_ PyObject *done = python_call_method(PyList_GET_ITEM(watchers, i), "close");

        if (!done)
            PyErr_Clear();
    }
}

/* What the hub does not keep to itself ends the main greenlet: sys.exit() in a greenlet of the application's own, as if
 * that were the program. A thread would end alone. */
static bool is_exit(void)
{
    return PyErr_ExceptionMatches(PyExc_SystemExit) || PyErr_ExceptionMatches(PyExc_KeyboardInterrupt);
}

/* 0, or -1 with an exception. */
static int wait_until_stopped(void)
{
    while (!gevent.is_stopped) {
        _cleanup_decref_ PyObject *done = python_call_method(gevent.stopped, "wait");
        _cleanup_free_ char *text = NULL;

        if (done)
            continue;
        if (!is_exit())
            return -1;
        text = exception_take_text();
        PySys_FormatStderr("A greenlet has ended by this, which ends no worker:\n%s\n", text ? text : "");
    }
    return 0;
}

int greenlets_run(const int *fds, size_t n_fds, void (*visit)(void *arg), void *arg, char **ret_error)
{
    _cleanup_decref_ PyObject *watchers = NULL;
    int r = -1;

    gevent.visit = visit;
    gevent.visit_arg = arg;
    watchers = watch(fds, n_fds);
    if (watchers)
        r = wait_until_stopped();
    if (r < 0)
        *ret_error = exception_take_report(CLASS "gevent's hub has ended");
    if (watchers)
        unwatch(watchers);
    gevent.visit = NULL;
    return r;
}

void greenlets_call_soon(void)
{
    _cleanup_decref_ PyObject *callback = NULL;

    if (gevent.is_called_soon)
        return;
    callback = PyObject_CallOneArg(gevent.run_callback, gevent.on_visit);
    gevent.is_called_soon = callback;
    if (!callback)
        PyErr_Clear();
}

void greenlets_stop(void)
{
    _cleanup_decref_ PyObject *done = NULL;

    gevent.is_stopped = true;
    done = python_call_method(gevent.stopped, "set");
    if (!done)
        PyErr_Clear();
}

/* --- greenlets --- */

/* gevent.Greenlet reports what its function raises, so nothing comes out of it. */
static void switch_to(PyObject *greenlet)
{
    _cleanup_decref_ PyObject *owned = Py_NewRef(greenlet);
    _cleanup_decref_ PyObject *result = PyObject_CallMethodNoArgs(owned, gevent.switch_name);

    if (!result)
        PyErr_WriteUnraisable(owned);
}

int greenlet_start(Greenlet *g, void (*run)(void *arg), void *arg)
{
    _cleanup_decref_ PyObject *capsule = PyCapsule_New(g, NULL, NULL);

    *g = (Greenlet){.run = run, .arg = arg};
    if (capsule)
        g->object = PyObject_CallFunctionObjArgs(gevent.greenlet_type, gevent.on_start, capsule, NULL);
    if (!g->object) {
        PyErr_Clear();
        return -1;
    }
    switch_to(g->object);
    return 0;
}

int greenlet_wait(Greenlet *g)
{
    PyObject *result;

    g->waits = true;
    result = PyObject_CallNoArgs(gevent.hub_switch);
    g->waits = false;
    Py_XDECREF(result);
    return result ? 0 : -1;
}

void greenlet_wake(Greenlet *g)
{
    if (g->waits)
        switch_to(g->object);
}

bool greenlet_is_current(const Greenlet *g)
{
    _cleanup_decref_ PyObject *current = PyObject_CallNoArgs(gevent.getcurrent);

    return current && current == g->object;
}

int greenlets_wait_readable(int fd, uint64_t timeout_usec)
{
    _cleanup_decref_ PyObject *result =
        PyObject_CallFunction(gevent.wait_read, "id", fd, (double)timeout_usec / 1e6);

    if (result)
        return 0;
    if (!PyErr_ExceptionMatches(PyExc_TimeoutError))
        return -1;
    PyErr_Clear();
    return 0;
}

/* --- where it waits: as faulthandler says it --- */

static int append_frame(Buffer *to, PyFrameObject *frame)
{
    _cleanup_decref_ PyObject *code = (PyObject *)PyFrame_GetCode(frame);
    _cleanup_decref_ PyObject *file = PyObject_GetAttrString(code, "co_filename");
    _cleanup_decref_ PyObject *name = PyObject_GetAttrString(code, "co_name");
    const char *file_utf8 = file ? PyUnicode_AsUTF8(file) : NULL,
               *name_utf8 = name ? PyUnicode_AsUTF8(name) : NULL;

    PyErr_Clear();
    return buffer_printf(to, "\n  File \"%s\", line %d in %s", file_utf8 ? file_utf8 : "?",
                         PyFrame_GetLineNumber(frame), name_utf8 ? name_utf8 : "?");
}

static int append_frames(Buffer *to, PyFrameObject *frame)
{
    int r = buffer_append_string(to, "Stack (most recent call first):");

    Py_INCREF(frame);
    for (unsigned n = 0; frame && n < FRAMES_MAX; n++) {
        _cleanup_decref_ PyObject *owned = (PyObject *)frame;

        if (r == 0)
            r = append_frame(to, frame);
        frame = PyFrame_GetBack(frame);
    }
    Py_XDECREF(frame);
    return r;
}

int greenlet_append_stack(const Greenlet *g, Buffer *to)
{
    _cleanup_decref_ PyObject *frame = PyObject_GetAttrString(g->object, "gr_frame");
    int r = frame && PyFrame_Check(frame) ? append_frames(to, (PyFrameObject *)frame) : 0;

    PyErr_Clear();
    return r;
}
