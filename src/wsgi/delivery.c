/* SPDX-License-Identifier: MIT */
/* Between Python's exceptions and the sink's results. On the way out the GIL is released here and only here: while the
 * sink waits or opens a file. */
#include "wsgi/delivery.h"

#include "wsgi/interpreter.h"

void delivery_init(Delivery *x, ResponseSink *sink)
{
    *x = (Delivery){.sink = sink};
}

/* What one of the sink's functions returned. */
static int take_result(Delivery *x, int r)
{
    if (r == 0)
        return 0;
    if (r == SINK_E_WAIT) {
        x->waiting = true;
        return 0;
    }
    if (r == SINK_E_GONE) {
        x->gone = true;
        PyErr_SetString(PyExc_BrokenPipeError, "the client is gone");
    } else if (r == -ENOMEM) {
        PyErr_NoMemory();
    } else {
        errno = -r;
        PyErr_SetFromErrno(PyExc_OSError);
    }
    return -1;
}

/* The client's connection belongs to the process that was called. */
static void stay_in_process(void)
{
    if (interpreter_is_forked_child())
        interpreter_exit_forked_child();
}

static int wait_in_greenlet(Delivery *x)
{
    int r;

    while ((r = x->sink->wait(x->sink)) == SINK_E_WAIT)
        if (greenlet_wait(x->sink->greenlet) < 0) {
            x->waiting = true; /* still, should the application catch that */
            return -1;
        }
    return take_result(x, r);
}

static int wait_for_client(Delivery *x)
{
    int r;

    stay_in_process();
    if (x->gone)
        return take_result(x, SINK_E_GONE);
    if (!x->waiting)
        return 0;
    x->waiting = false;
    if (x->sink->greenlet)
        return wait_in_greenlet(x);
    Py_BEGIN_ALLOW_THREADS
    r = x->sink->wait(x->sink);
    Py_END_ALLOW_THREADS
    return take_result(x, r);
}

int delivery_send_interim(Delivery *x, const char *data, size_t size)
{
    if (wait_for_client(x) < 0)
        return -1;
    return take_result(x, x->sink->send_interim(x->sink, data, size));
}

static int begin(Delivery *x, int64_t known_length)
{
    int r;

    if (!delivery_names_file(x))
        return x->sink->begin(x->sink, known_length);
    Py_BEGIN_ALLOW_THREADS
    r = x->sink->send_named_file(x->sink);
    Py_END_ALLOW_THREADS
    return r;
}

int delivery_begin(Delivery *x, int64_t known_length)
{
    stay_in_process();
    if (x->begun)
        return 0;
    if (!x->started) {
        PyErr_SetString(PyExc_AssertionError,
                        "the application did not call start_response(); PEP 3333 wants that "
                        "before its first block of the body");
        return -1;
    }
    if (take_result(x, begin(x, known_length)) < 0)
        return -1;
    x->begun = true;
    return 0;
}

int delivery_write(Delivery *x, const char *data, size_t size, bool last)
{
    if (wait_for_client(x) < 0)
        return -1;
    return take_result(x, x->sink->write(x->sink, data, size, last));
}

int delivery_send_file(Delivery *x, int fd, uint64_t offset, uint64_t size)
{
    if (wait_for_client(x) < 0)
        return -1;
    return take_result(x, x->sink->send_file(x->sink, fd, offset, size));
}

int delivery_end(Delivery *x)
{
    int r;

    stay_in_process();
    if (x->gone)
        return take_result(x, SINK_E_GONE);
    r = x->sink->end(x->sink);
    if (r != RESPONSE_E_SHORT)
        return take_result(x, r);
    PyErr_Format(PyExc_ValueError, "the application's body is %llu octets shorter than its Content-Length",
                 (unsigned long long)x->sink->response->remaining);
    return -1;
}
