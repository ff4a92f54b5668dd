/* SPDX-License-Identifier: MIT */
/* Every kind of iterable: what goes to the sink, in which order, with which length; and close() exactly once.
 */
#include "harness.h"

#include "wsgi/interpreter.h"

static Call c;

/* Runs an application that starts a response and returns the value of an expression. */
static void run(const char *headers, const char *expression)
{
    _cleanup_free_ char *source = NULL;
    WsgiApp *app;

    if (asprintf(&source,
                 "def app(environ, start_response):\n    w = start_response('200 OK', [%s])\n    return %s\n",
                 headers, expression) < 0)
        return;
    harness_exec("kinds", source);
    harness_exec("kinds", "closed = 0");
    app = harness_app("kinds:app");
    call_run(&c, app);
    wsgi_app_free(app);
}

static const char *events(void)
{
    if (buffer_append(&c.sink.events, "", 1) < 0)
        return NULL;
    return buffer_head(&c.sink.events);
}

/* What goes to the sink for an expression, and that it ends well. */
static void gives(const char *expression, const char *expected)
{
    run("", expression);
    ok(c.result == 0, "%s", expression);
    if (c.error)
        printf("# %s\n", c.error);
    is_string(events(), expected);
}

static void test_lists(void)
{
    gives("[]", "begin(0) end ");
    gives("()", "begin(0) end ");
    gives("[b'']", "begin(0) end ");
    gives("[b'abc']", "begin(3) write(3,last) end ");
    gives("(b'abc',)", "begin(3) write(3,last) end ");
    gives("[b'a', b'', b'bc']", "begin(3) write(3,last) end ");
    is_string(call_body(&c), "abc");
    gives("(b'a', b'bc')", "begin(3) write(3,last) end ");
    gives("[b'x' * 40000, b'', b'y' * 40000]", "begin(80000) write(40000) write(40000,last) end ");
    gives("[b'x' * 100000]", "begin(100000) write(100000,last) end ");
    gives("[type('B', (bytes,), {})(b'sub')]", "begin(3) write(3,last) end ");
}

static void test_iterables(void)
{
    gives("(x for x in (b'a', b'', b'b'))", "begin(-1) write(1) write(1) end ");
    is_string(call_body(&c), "1\r\na\r\n1\r\nb\r\n0\r\n\r\n");
    gives("(x for x in ())", "begin(0) end ");
    gives("(x for x in (b'', b''))", "begin(0) end ");
    gives("iter([b'abc'])", "begin(3) write(3,last) end ");
    gives("iter([b'', b'abc'])", "begin(3) write(3,last) end ");
    gives("iter([b'a', b'b'])", "begin(-1) write(1) write(1,last) end ");
    gives("Sized([b'abc'])", "begin(3) write(3,last) end ");
    gives("Sized([b'a', b'b'])", "begin(-1) write(1) write(1,last) end ");
    gives("Sized([])", "begin(0) end ");
    gives("Items([b'a', b'b'])", "begin(-1) write(1) write(1) end ");
    gives("BadLength([b'a'])", "begin(-1) write(1) end ");
    gives("map(bytes, [[65], [66]])", "begin(-1) write(1) write(1) end ");
    gives("Closable([b'abc'])", "begin(3) write(3,last) end ");
    is_int(harness_int("kinds", "closed"), 1);
    gives("ClosableList([b'a', b'b'])", "begin(-1) write(1) write(1,last) end ");
    is_int(harness_int("kinds", "closed"), 1);
    gives("Django([b'abc'])", "begin(3) write(3,last) end ");
    is_int(harness_int("kinds", "closed"), 1);
}

static void test_not_bytes(void)
{
    static const char *const wrong[][2] = {
        {"['text']", "a block of type str; PEP 3333 wants bytes"},
        {"[b'a', 5]", "a block of type int"},
        {"(x for x in (None,))", "a block of type NoneType"},
        {"[bytearray(b'x')]", "a block of type bytearray"},
        {"iter(['x'])", "a block of type str"},
        {"None", "the application returned NoneType; PEP 3333 wants an iterable of bytes"},
        {"5", "the application returned int"},
        {"b'bytes'", "the application returned bytes"},
        {"'text'", "the application returned str"},
    };

    for (size_t i = 0; i < ELEMENTSOF(wrong); i++) {
        run("", wrong[i][0]);
        ok(c.result == WSGI_E_ERROR && call_error_has(&c, wrong[i][1]), "%s", wrong[i][0]);
        is_string(events(), "");
    }
    run("", "Closable([b'a', 'b'])");
    is_int(c.result, WSGI_E_CUT);
    ok(call_error_has(&c, "a block of type str"));
    is_int(harness_int("kinds", "closed"), 1);
}

static void test_content_length(void)
{
    run("('Content-Length', '3')", "Closable([b'ab', b'cdef', b'gh'])");
    is_int(c.result, 0);
    is_string(call_body(&c), "abc");
    is_string(events(), "begin(-1) write(2) write(4) end ");
    is_int(harness_int("kinds", "closed"), 1);

    run("('Content-Length', '9')", "Closable([b'ab', b'cd'])");
    is_int(c.result, WSGI_E_CUT);
    ok(call_error_has(&c, "5 octets shorter than its Content-Length"));
    is_int(harness_int("kinds", "closed"), 1);

    /* What follows the last yield runs, and an endless generator is left. */
    run("('Content-Length', '1')", "with_epilogue()");
    is_int(c.result, 0);
    is_int(harness_int("kinds", "closed"), 7);
    run("('Content-Length', '5')", "endless()");
    is_int(c.result, 0);
    is_string(events(), "begin(-1) write(1) write(1) write(1) write(1) write(1) end ");
    is_int(harness_int("kinds", "closed"), 1);
}

static void test_head(void)
{
    Call head = c;

    call_init(&c, "HEAD / HTTP/1.1\r\nHost: a");
    run("('Content-Length', '5')", "Closable([b'hello'])");
    is_int(c.result, 0);
    ok(strstr(call_output(&c), "Content-Length: 5\r\n"));
    is_string(call_body(&c), "");
    is_int(harness_int("kinds", "closed"), 1);
    run("", "endless()");
    is_int(c.result, 0);
    is_string(call_body(&c), "");
    is_int(harness_int("kinds", "closed"), 1);
    run("", "[b'hello']");
    ok(strstr(call_output(&c), "Content-Length: 5\r\n"));
    call_deinit(&c);
    c = head;
}

/* That the head is out when the second next() raises shows that the first block did not wait for it. */
static void test_exceptions(void)
{
    static const char *const kinds[] = {"ValueError",    "SystemExit",     "KeyboardInterrupt",
                                        "GeneratorExit", "RecursionError", "StopIteration"};
    char expression[128];

    for (size_t i = 0; i < ELEMENTSOF(kinds); i++) {
        snprintf(expression, sizeof(expression), "Raising([], %s(3))", kinds[i]);
        run("", expression);
        /* StopIteration from __next__() is how an iterator ends. */
        is_int(c.result, strcmp(kinds[i], "StopIteration") == 0 ? 0 : WSGI_E_ERROR);
        is_int(harness_int("kinds", "closed"), 1);
        snprintf(expression, sizeof(expression), "Raising([b'begun'], %s(3))", kinds[i]);
        run("", expression);
        is_int(c.result, strcmp(kinds[i], "StopIteration") == 0 ? 0 : WSGI_E_CUT);
        is_int(harness_int("kinds", "closed"), 1);
    }
    run("", "deep()");
    is_int(c.result, WSGI_E_ERROR);
    ok(call_error_has(&c, "RecursionError"));
}

static void test_close_fails(void)
{
    run("", "BadClose([b'x'])");
    is_int(c.result, 0);
    ok(call_error_has(&c, "close() of the application's result failed:\nTraceback"));
    ok(call_error_has(&c, "SystemExit: 4"));
    run("", "BadClose(['x'])");
    is_int(c.result, WSGI_E_ERROR);
    ok(call_error_has(&c, "TypeError: the application's body"));
    ok(call_error_has(&c, "SystemExit: 4"));
}

static void test_client_gone(void)
{
    static const char *const bodies[] = {"Closable([b'a', b'b', b'c'])", "endless()", "writer(w)"};

    c.sink.gone_from = 2;
    for (size_t i = 0; i < ELEMENTSOF(bodies); i++) {
        run("", bodies[i]);
        is_int(c.result, WSGI_E_GONE);
        is_string(c.error, NULL);
        is_string(events(), "begin(-1) write(1) write(1) ");
        is_int(harness_int("kinds", "closed"), 1);
    }
    c.sink.gone_from = 1;
    run("", "[b'x' * 40000, b'y' * 40000]");
    is_int(c.result, WSGI_E_GONE);
    is_string(events(), "begin(80000) write(40000) ");
    c.sink.gone_from = 0;
}

static bool gil_was_free;

static void take_gil(void)
{
    PyGILState_STATE state = PyGILState_Ensure();

    gil_was_free = true;
    PyGILState_Release(state);
}

static void test_wait(void)
{
    c.sink.wait_from = 1;
    c.sink.on_wait = take_gil;
    run("", "(x for x in (b'a', b'b', b'c'))");
    is_int(c.result, 0);
    is_string(events(), "begin(-1) write(1) wait write(1) wait write(1) end ");
    ok(gil_was_free);
    c.sink.wait_from = 0;
    c.sink.on_wait = NULL;
}

static void test_sink_errors(void)
{
    c.sink.error = -ENOSPC;
    c.sink.error_from = 1;
    run("", "Closable([b'a', b'b'])");
    is_int(c.result, WSGI_E_CUT);
    ok(call_error_has(&c, "No space left on device"));
    is_int(harness_int("kinds", "closed"), 1);
    c.sink.error_from = 0;
    c.sink.begin_fails = true;
    run("", "Closable([b'a', b'b'])");
    is_int(c.result, WSGI_E_ERROR);
    c.sink.error = SINK_E_GONE;
    run("", "Closable([b'a', b'b'])");
    is_int(c.result, WSGI_E_GONE);
    is_int(harness_int("kinds", "closed"), 1);
    c.sink.begin_fails = false;
}

static void hands_off(const char *expression, int closed)
{
    run("('X-Sendfile', '/f'), ('Content-Length', '0')", expression);
    ok(c.result == 0, "%s", expression);
    if (c.error)
        printf("# %s\n", c.error);
    is_string(events(), "named_file(/f) begin(4) write(4,last) end ");
    is_string(call_body(&c), "file");
    is_int(harness_int("kinds", "closed"), closed);
    is_int(harness_int("kinds", "asked"), 0);
}

/* A named file is the body, whatever the application returns; that is not iterated, and closed once. */
static void test_named_file(void)
{
    c.sink.response.takes_file = true;
    harness_exec("kinds", "asked = 0\n"
                          "def ask():\n"
                          "    global asked\n"
                          "    asked += 1\n"
                          "    return b'x'");
    hands_off("[]", 0);
    hands_off("[b'own']", 0);
    hands_off("(ask() for i in range(3))", 0);
    hands_off("Closable([b'own', b'more'])", 1);
    hands_off("environ['wsgi.file_wrapper'](Closable([]))", 1);
    run("('X-Sendfile', '/f')", "w(b'own') or [b'own']");
    is_string(events(), "named_file(/f) begin(4) write(4,last) write(3) end ");
    is_string(call_body(&c), "file");

    /* A generator that calls start_response has to be asked for its first block. */
    harness_exec("kinds", "def app(environ, start_response):\n"
                          "    start_response('200 OK', [('X-Sendfile', '/f')])\n"
                          "    yield b''\n"
                          "    ask()\n"
                          "    yield b'own'\n");
    {
        WsgiApp *app = harness_app("kinds:app");

        call_run(&c, app);
        wsgi_app_free(app);
    }
    is_string(events(), "named_file(/f) begin(4) write(4,last) end ");
    is_int(harness_int("kinds", "asked"), 0);
    run("('X-Sendfile', '/f'), ('X-Accel-Redirect', '/g')", "[]");
    ok(c.result == WSGI_E_ERROR && call_error_has(&c, "a file was named already"));
    c.sink.response.takes_file = false;
    run("('X-Sendfile', '/f')", "[b'own']");
    ok(strstr(call_output(&c), "X-Sendfile: /f\r\n") != NULL);
    is_string(call_body(&c), "own");
}

int main(void)
{
    harness_start();
    harness_exec("kinds", "from body_kinds import *\nimport body_kinds\nbody_kinds.count_in(globals())");
    call_init(&c, "GET / HTTP/1.1\r\nHost: a");
    test_lists();
    test_iterables();
    test_not_bytes();
    test_content_length();
    test_head();
    test_exceptions();
    test_close_fails();
    test_client_gone();
    test_wait();
    test_sink_errors();
    test_named_file();
    call_deinit(&c);
    interpreter_finalize();
    return tap_done();
}
