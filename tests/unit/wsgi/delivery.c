/* SPDX-License-Identifier: MIT */
/* From the sink's results to exceptions. */
#include "harness.h"

#include "wsgi/delivery.h"
#include "wsgi/interpreter.h"

static Call c;
static Delivery x;

/* Whether that exception is current; it is not any more. */
static bool raised(PyObject *type)
{
    bool matches = PyErr_Occurred() && PyErr_ExceptionMatches(type);

    PyErr_Clear();
    return matches;
}

static void start(void)
{
    response_reset(&c.sink.response);
    is_int(response_set_status(&c.sink.response, "200 OK", 6), 0);
    delivery_init(&x, &c.sink.sink);
    x.started = true;
    c.sink.n_writes = 0;
    buffer_clear(&c.sink.events);
}

static void test_not_started(void)
{
    delivery_init(&x, &c.sink.sink);
    is_int(delivery_begin(&x, 0), -1);
    ok(raised(PyExc_AssertionError));
    ok(!x.begun);
}

static void test_begins_once(void)
{
    start();
    is_int(delivery_begin(&x, 3), 0);
    is_int(delivery_begin(&x, 7), 0);
    is_int(c.sink.known_length, 3);
    ok(delivery_takes_more(&x));
    is_int(delivery_write(&x, "abc", 3, true), 0);
    ok(!delivery_takes_more(&x));
    is_int(delivery_end(&x), 0);
}

static void test_gone_stays(void)
{
    start();
    c.sink.gone_from = 1;
    is_int(delivery_begin(&x, -1), 0);
    is_int(delivery_write(&x, "a", 1, false), -1);
    ok(raised(PyExc_BrokenPipeError) && x.gone);
    is_int(delivery_write(&x, "a", 1, false), -1);
    ok(raised(PyExc_BrokenPipeError));
    is_int(delivery_send_file(&x, 0, 0, 1), -1);
    ok(raised(PyExc_BrokenPipeError));
    is_int(delivery_end(&x), -1);
    ok(raised(PyExc_BrokenPipeError));
    is_int(c.sink.n_writes, 1);
    c.sink.gone_from = 0;
}

static void test_short(void)
{
    start();
    is_int(delivery_begin(&x, 5), 0);
    is_int(delivery_write(&x, "ab", 2, false), 0);
    is_int(delivery_end(&x), -1);
    ok(raised(PyExc_ValueError));
}

static void test_no_memory(void)
{
    start();
    c.sink.error = -ENOMEM;
    c.sink.error_from = 1;
    is_int(delivery_begin(&x, -1), 0);
    is_int(delivery_write(&x, "a", 1, false), -1);
    ok(raised(PyExc_MemoryError));
    c.sink.error_from = 0;
}

int main(void)
{
    harness_start();
    call_init(&c, "GET / HTTP/1.1\r\nHost: a");
    test_not_started();
    test_begins_once();
    test_gone_stays();
    test_short();
    test_no_memory();
    call_deinit(&c);
    interpreter_finalize();
    return tap_done();
}
