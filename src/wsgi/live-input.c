/* SPDX-License-Identifier: MIT */
/* A live body: read straight into the object that the application gets, but for lines, whose end must be looked for.
 * The GIL is released while it waits, and nowhere else. */
#include "wsgi/live-input.h"

#include "base/clock.h"
#include "wsgi/greenlets.h"
#include "wsgi/interpreter.h"

#define STEP_BYTES ((size_t)256 * 1024) /* allocated before anything came; then as much again as has come */
#define AHEAD_BYTES ((size_t)8 * 1024)

/* --- octets --- */

static bool live_is_free(const LiveInput *live)
{
    if (interpreter_is_forked_child())
        PyErr_SetString(PyExc_RuntimeError,
                        "the request body belongs to the process that was called, not to its forked child");
    else if (live->is_busy)
        PyErr_SetString(PyExc_RuntimeError, "another thread or greenlet is reading wsgi.input");
    else
        return true;
    return false;
}

static int wait_in_thread(void (*wait)(BodyWait *w), BodyWait *w)
{
    Py_BEGIN_ALLOW_THREADS
    wait(w);
    Py_END_ALLOW_THREADS
    return PyErr_CheckSignals();
}

static int wait_in_greenlet(BodyWait *w)
{
    usec_t start = clock_now_usec();
    int r = greenlets_wait_readable(w->fd, w->timeout_usec);

    w->elapsed_usec = clock_now_usec() - start;
    return r;
}

static int live_wait(LiveInput *live, BodyWait *w)
{
    BodySource *source = live->source;
    int r;

    live->is_busy = true;
    r = greenlets_are_used() ? wait_in_greenlet(w) : wait_in_thread(source->wait, w);
    live->is_busy = false;
    if (live->source == source) {
        source->end_wait(source, w);
        return r;
    }
    if (r < 0)
        return r;
    PyErr_SetString(PyExc_ConnectionAbortedError, "the request ended while its body was being read");
    return -1;
}

static void raise_failure(LiveInput *live, int error)
{
    if (!live->failure)
        live->failure = PyObject_CallFunction(PyExc_OSError, "is", error, live->source->reason);
    if (!live->failure)
        return;
    PyException_SetTraceback(live->failure, Py_None); /* not one after the other */
    PyErr_SetObject((PyObject *)Py_TYPE(live->failure), live->failure);
}

/* At least one octet and size at most; 0: the end; -1 with an exception. */
static Py_ssize_t live_receive(LiveInput *live, char *to, size_t size)
{
    BodyWait w = {0};
    ssize_t n;

    while ((n = live->source->receive(live->source, to, size, &w)) == -EAGAIN)
        if (live_wait(live, &w) < 0)
            return -1;
    if (n < 0)
        raise_failure(live, (int)-n);
    return n < 0 ? -1 : n;
}

static Py_ssize_t live_take_ahead(LiveInput *live, char *to, size_t size)
{
    size_t n = MIN(size, buffer_size(&live->ahead));

    memcpy(to, buffer_head(&live->ahead), n);
    buffer_consume(&live->ahead, n);
    return (Py_ssize_t)n;
}

static Py_ssize_t live_read_some(LiveInput *live, char *to, size_t size)
{
    return buffer_size(&live->ahead) > 0 ? live_take_ahead(live, to, size) : live_receive(live, to, size);
}

/* --- into bytes that grow with what comes: a client says a length, but may not keep to it --- */

typedef struct Growing {
    PyObject *bytes; /* NULL after an error */
    size_t size;
    size_t capacity;
} Growing;

static int growing_resize(Growing *g, size_t capacity)
{
    g->capacity = capacity;
    return _PyBytes_Resize(&g->bytes, (Py_ssize_t)capacity);
}

static int growing_init(Growing *g, uint64_t max)
{
    *g = (Growing){.capacity = (size_t)MIN(max, (uint64_t)STEP_BYTES)};
    g->bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)g->capacity);
    return g->bytes ? 0 : -1;
}

/* Makes room for some of the max octets that it may have in all. */
static int growing_reserve(Growing *g, uint64_t max)
{
    uint64_t capacity = MIN(max, (uint64_t)g->capacity * 2);

    if (g->size < g->capacity)
        return 0;
    if (capacity <= PY_SSIZE_T_MAX)
        return growing_resize(g, (size_t)capacity);
    PyErr_NoMemory();
    return -1;
}

static char *growing_tail(const Growing *g)
{
    return PyBytes_AS_STRING(g->bytes) + g->size;
}

/* Takes them over. */
static PyObject *growing_finish(Growing *g, Py_ssize_t r)
{
    if (r < 0)
        Py_CLEAR(g->bytes);
    else if (g->size < g->capacity)
        (void)growing_resize(g, g->size);
    return g->bytes;
}

/* --- reading --- */

PyObject *live_input_read(LiveInput *live, uint64_t n, bool all)
{
    Py_ssize_t r = 1;
    Growing g;

    if (!live_is_free(live) || growing_init(&g, n) < 0)
        return NULL;
    while (r > 0 && g.size < n && (all || g.size == 0)) {
        r = growing_reserve(&g, n);
        if (r == 0)
            r = live_read_some(live, growing_tail(&g), g.capacity - g.size);
        g.size += r > 0 ? (size_t)r : 0;
    }
    return growing_finish(&g, r);
}

/* 0: nothing more comes; -1 with an exception. */
static Py_ssize_t live_look_ahead(LiveInput *live)
{
    Py_ssize_t n;

    if (buffer_size(&live->ahead) > 0)
        return 1;
    if (buffer_reserve(&live->ahead, AHEAD_BYTES) < 0) {
        PyErr_NoMemory();
        return -1;
    }
    n = live_receive(live, buffer_tail(&live->ahead), AHEAD_BYTES);
    if (n > 0)
        live->ahead.end += (size_t)n;
    return n;
}

PyObject *live_input_read_line(LiveInput *live, uint64_t n)
{
    bool is_whole = false;
    Py_ssize_t r = 1;
    Growing g;

    if (!live_is_free(live) || growing_init(&g, MIN(n, (uint64_t)AHEAD_BYTES)) < 0)
        return NULL;
    while (r > 0 && g.size < n && !is_whole) {
        r = growing_reserve(&g, n);
        if (r == 0)
            r = live_look_ahead(live);
        if (r > 0) {
            Span ahead = buffer_span(&live->ahead);
            size_t size = MIN(ahead.size, g.capacity - g.size);
            const char *newline = memchr(ahead.data, '\n', size);

            is_whole = newline;
            g.size += (size_t)live_take_ahead(live, growing_tail(&g),
                                              newline ? (size_t)(newline - ahead.data) + 1 : size);
        }
    }
    return growing_finish(&g, r);
}

Py_ssize_t live_input_read_into(LiveInput *live, char *to, size_t n, bool all)
{
    Py_ssize_t r = 1;
    size_t done = 0;

    if (!live_is_free(live))
        return -1;
    while (r > 0 && done < n && (all || done == 0)) {
        r = live_read_some(live, to + done, n - done);
        done += r > 0 ? (size_t)r : 0;
    }
    return r < 0 ? -1 : (Py_ssize_t)done;
}

/* --- the end --- */

bool live_input_take_failure(LiveInput *live)
{
    _cleanup_decref_ PyObject *exception = live->failure ? python_take_exception() : NULL;

    if (!exception)
        return false;
    if (exception != live->failure)
        PyErr_SetObject((PyObject *)Py_TYPE(exception), exception);
    return exception == live->failure;
}

void live_input_end(LiveInput *live)
{
    live->source = NULL;
    buffer_deinit(&live->ahead);
    Py_CLEAR(live->failure); /* which may hold all that was there when it was raised */
}
