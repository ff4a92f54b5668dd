/* SPDX-License-Identifier: MIT */
/* wsgi.input over a body that is on its way, by a source that gives it in pieces, lets wait, and fails. */
#include "harness.h"

#include "wsgi/interpreter.h"

#include <stdlib.h>

typedef struct FakeSource {
    BodySource source;
    const char *data;
    size_t size;
    size_t position;
    size_t piece; /* received at a time, and waited for each */
    bool is_here; /* the next piece is */
    int error;    /* at the end, in its place */
    unsigned n_waits;
    unsigned n_ended; /* of them */
} FakeSource;

static unsigned n_waits_without_gil;
static void (*on_wait)(void);

static ssize_t fake_receive(BodySource *source, char *to, size_t size, BodyWait *w)
{
    FakeSource *f = (FakeSource *)source;
    size_t left = f->piece - f->position % f->piece, n = MIN(size, left);

    n = MIN(n, f->size - f->position);
    if (!f->is_here) {
        f->n_waits++;
        f->is_here = true;
        w->fd = 7;
        return -EAGAIN;
    }
    memcpy(to, f->data + f->position, n);
    f->position += n;
    f->is_here = n == 0 || f->position % f->piece != 0;
    if (n == 0 && f->error) {
        source->reason = "a clear text";
        return -f->error;
    }
    return (ssize_t)n;
}

static void fake_wait(BodyWait *w)
{
    n_waits_without_gil += !PyGILState_Check() && w->fd == 7;
    if (on_wait)
        on_wait();
}

static void fake_end_wait(BodySource *source, BodyWait *w)
{
    ((FakeSource *)source)->n_ended += w->fd == 7;
}

static void source_start(FakeSource *f, const void *data, size_t size, size_t piece)
{
    *f = (FakeSource){
        .source = {NULL, fake_receive, fake_wait, fake_end_wait}, .data = data, .size = size, .piece = piece};
}

/* Runs c with a new source of that data. */
static void call_live(Call *c, WsgiApp *app, FakeSource *f, const void *data, size_t size, size_t piece,
                      int error)
{
    source_start(f, data, size, piece);
    f->error = error;
    c->source = &f->source;
    call_run(c, app);
    c->source = NULL;
}

/* An application whose body is `source`, with the input in f. */
static WsgiApp *reader(const char *name, const char *source)
{
    char text[2048];

    snprintf(text, sizeof(text),
             "import os, threading\n"
             "outcome = error = None\n"
             "def application(environ, start_response):\n"
             "    global outcome, error\n"
             "    f = environ['wsgi.input']\n"
             "%s\n"
             "    start_response('200 OK', [])\n"
             "    return []\n",
             source);
    harness_exec(name, text);
    return harness_app(name);
}

/* What `expression` gives for "one\ntwo\n\nfour" in pieces. */
static const char *outcome_of(const char *expression, size_t piece, FakeSource *f)
{
    static unsigned number;
    static char outcome[4096];
    char name[32], source[1024];
    WsgiApp *app;
    Call c;

    snprintf(name, sizeof(name), "reader%u", number++);
    snprintf(source, sizeof(source), "    outcome = %s", expression);
    app = reader(name, source);
    call_init(&c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 13");
    call_live(&c, app, f, "one\ntwo\n\nfour", 13, piece, 0);
    is_int(c.result, 0);
    snprintf(outcome, sizeof(outcome), "%s", harness_string(name, "outcome"));
    call_deinit(&c);
    wsgi_app_free(app);
    return outcome;
}

static void test_like_bytesio(WsgiApp *app, const char *data, size_t size, size_t piece)
{
    char head[128];
    FakeSource f;
    Call c;

    snprintf(head, sizeof(head), "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %zu", size);
    call_init(&c, head);
    do
        call_live(&c, app, &f, data, size, piece, 0);
    while (strcmp(call_body(&c), "more") == 0);
    ok(c.result == 0, "%zu octets, %zu at a time", size, piece);
    is_string(call_body(&c), "same");
    if (c.error)
        printf("# %s\n", c.error);
    call_deinit(&c);
}

static void test_bodies(void)
{
    enum { SIZE = 700000 };
    _cleanup_free_ char *large = malloc(SIZE);
    WsgiApp *app = harness_app("like_bytesio");

    test_like_bytesio(app, "one\ntwo\n\nfour", 13, 100);
    harness_exec("like_bytesio", "leave_out_read1()");
    for (size_t piece = 1; piece <= 14; piece++)
        test_like_bytesio(app, "one\ntwo\n\nfour", 13, piece);
    test_like_bytesio(app, "\n\n\n", 3, 1);
    test_like_bytesio(app, "abc", 3, 2);
    for (size_t i = 0; i < SIZE; i++)
        large[i] = i % 50003 == 0 ? '\n' : (char)(i % 251);
    test_like_bytesio(app, large, SIZE, 1000);
    test_like_bytesio(app, large, SIZE, 8192);
    test_like_bytesio(app, large, SIZE, SIZE);
    wsgi_app_free(app);
}

/* Waits for what was asked for and for nothing else. */
static void test_waits(void)
{
    FakeSource f;

    is_string(outcome_of("f.read(7)", 3, &f), "b'one\\ntwo'");
    is_int(f.n_waits, 3);
    is_int(f.n_ended, 3);
    is_string(outcome_of("f.read(6)", 3, &f), "b'one\\ntw'");
    is_int(f.n_waits, 2);
    is_string(outcome_of("f.read(0), f.readline(0), f.read1(0), f.readinto(bytearray(0))", 3, &f),
              "(b'', b'', b'', 0)");
    is_int(f.n_waits, 0);
    is_string(outcome_of("f.read1(7), f.read1(), f.read1(1), f.read1(100)", 3, &f),
              "(b'one', b'\\ntw', b'o', b'\\n\\n')");
    is_int(f.n_waits, 3);
    is_string(outcome_of("(lambda b: (f.readinto1(b), f.readinto(b), bytes(b)))(bytearray(5))", 3, &f),
              "(3, 5, b'\\ntwo\\n')");
    is_int(f.n_waits, 3);
    is_string(outcome_of("f.readline(), f.tell(), f.read1(), f.read(1)", 6, &f),
              "(b'one\\n', 4, b'tw', b'o')");
    is_int(f.n_waits, 2);
    is_string(outcome_of("f.read(13), f.read(), f.read(1), f.read1(), f.readline(), f.readlines(), list(f)",
                         13, &f),
              "(b'one\\ntwo\\n\\nfour', b'', b'', b'', b'', [], [])");
    is_int(f.n_waits, 2);
}

/* --- failures --- */

static void test_failure(int error, const char *type)
{
    Call c;
    FakeSource f;
    WsgiApp *app = reader("failing", "    f.read(2)\n    f.read()");

    call_init(&c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 13");
    call_live(&c, app, &f, "one", 3, 2, error);
    is_int(c.result, WSGI_E_BODY);
    is_string(c.error, NULL);
    is_string(call_output(&c), "");
    wsgi_app_free(app);

    app = reader("catching", "    outcome = []\n"
                             "    for read in (f.readline, f.read, f.read1, f.readlines, f.__next__,\n"
                             "                 lambda: f.readinto(bytearray(9))):\n"
                             "        try:\n"
                             "            read()\n"
                             "        except OSError as e:\n"
                             "            error = error or e\n"
                             "            outcome.append(e is error)\n");
    call_live(&c, app, &f, "one", 3, 2, error);
    is_int(c.result, 0);
    is_string(harness_string("catching", "outcome"), "[True, True, True, True, True, True]");
    is_string(harness_string("catching", "type(error).__name__"), type);
    is_string(harness_string("catching", "error.strerror"), "a clear text");
    is_int(harness_int("catching", "error.errno"), error);
    harness_exec("catching", "error = None");
    call_deinit(&c);
    wsgi_app_free(app);
}

/* Only the exception itself is the client's fault. */
static void test_other_exceptions(void)
{
    Call c;
    FakeSource f;
    WsgiApp *app = reader("other", "    try:\n"
                                   "        f.read()\n"
                                   "    except OSError:\n"
                                   "        raise ValueError('own')");

    call_init(&c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 13");
    call_live(&c, app, &f, "one", 3, 2, ECONNRESET);
    is_int(c.result, WSGI_E_ERROR);
    ok(call_error_has(&c, "ValueError: own") && call_error_has(&c, "in application"));
    wsgi_app_free(app);

    app = reader("begun", "    start_response('200 OK', [])(b'begun')\n    f.read()");
    call_live(&c, app, &f, "one", 3, 2, ECONNRESET);
    is_int(c.result, WSGI_E_BODY);
    is_string(c.error, NULL);
    call_deinit(&c);
    wsgi_app_free(app);
}

static void test_failures_are_freed(void)
{
    Call c;
    FakeSource f;
    WsgiApp *app = reader("leaking", "    kept = f\n    local = bytearray(100000)\n    f.read()");
    long before = 0;

    call_init(&c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 13");
    for (int i = 0; i < 200; i++) {
        call_live(&c, app, &f, "one\ntwo", 7, 2, ETIMEDOUT);
        if (i == 100)
            before = harness_int("leaking", "__import__('sys').getallocatedblocks()");
    }
    is_int(c.result, WSGI_E_BODY);
    ok(harness_int("leaking", "__import__('sys').getallocatedblocks()") - before < 50);
    call_deinit(&c);
    wsgi_app_free(app);
}

/* --- other threads, other processes, other requests --- */

/* One waits; another one may not read meanwhile. */
static void read_beside(void)
{
    PyGILState_STATE state = PyGILState_Ensure();

    harness_exec("beside", "import threading\n"
                           "for read in (f.read, f.readline, lambda: f.readinto(bytearray(1))):\n"
                           "    try:\n"
                           "        read()\n"
                           "    except RuntimeError as e:\n"
                           "        seen.append(str(e))\n");
    PyGILState_Release(state);
}

static void test_busy(void)
{
    Call c;
    FakeSource f;
    WsgiApp *app = reader("beside", "    globals().update(f=f, seen=[])\n    outcome = f.readline()");

    call_init(&c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4");
    on_wait = read_beside;
    call_live(&c, app, &f, "one\n", 4, 4, 0);
    on_wait = NULL;
    is_int(c.result, 0);
    is_string(harness_string("beside", "outcome"), "b'one\\n'");
    is_string(harness_string("beside", "seen"),
              "['another thread or greenlet is reading wsgi.input', 'another "
              "thread or greenlet is reading wsgi.input', 'another thread or greenlet is reading "
              "wsgi.input']");
    harness_exec("beside", "f = None");
    call_deinit(&c);
    wsgi_app_free(app);
}

static void let_the_request_end(void)
{
    PyGILState_STATE state = PyGILState_Ensure();

    harness_exec("outliving", "reading.set(); over.wait()");
    PyGILState_Release(state);
}

/* A thread that the application left behind finds that out, and does not touch the source. */
static void test_outliving(void)
{
    Call c;
    FakeSource *f = malloc(sizeof(*f));
    WsgiApp *app =
        reader("outliving", "    globals().update(reading=threading.Event(), over=threading.Event())\n"
                            "    def read():\n"
                            "        global outcome\n"
                            "        try:\n"
                            "            f.read()\n"
                            "        except OSError as e:\n"
                            "            outcome = type(e).__name__, f.read()\n"
                            "    thread = threading.Thread(target=read)\n"
                            "    globals().update(thread=thread)\n"
                            "    thread.start()\n"
                            "    reading.wait()");

    call_init(&c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4");
    on_wait = let_the_request_end;
    call_live(&c, app, f, "one\n", 4, 4, 0);
    free(f);
    is_int(c.result, 0);
    harness_exec("outliving", "over.set(); thread.join()");
    on_wait = NULL;
    is_string(harness_string("outliving", "outcome"), "('ConnectionAbortedError', b'')");
    call_deinit(&c);
    wsgi_app_free(app);
}

static void test_forked_child(void)
{
    Call c;
    FakeSource f;
    WsgiApp *app =
        reader("forking", "    pid = os.fork()\n"
                          "    if pid == 0:\n"
                          "        try:\n"
                          "            f.read()\n"
                          "        except RuntimeError:\n"
                          "            os._exit(7)\n"
                          "        os._exit(1)\n"
                          "    outcome = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), f.read()\n");

    call_init(&c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4");
    call_live(&c, app, &f, "one\n", 4, 4, 0);
    is_int(c.result, 0);
    is_string(harness_string("forking", "outcome"), "(7, b'one\\n')");
    call_deinit(&c);
    wsgi_app_free(app);
}

/* An input that was kept reads as empty afterwards. */
static void test_kept(void)
{
    Call c;
    FakeSource f;
    WsgiApp *keep = harness_app("keep");

    call_init(&c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5");
    call_live(&c, keep, &f, "12345", 5, 2, 0);
    harness_exec("keep", "kept = environ['wsgi.input']");
    is_string(harness_string("keep", "kept.read(), kept.readline(), list(kept)"), "(b'', b'', [])");
    is_int(f.n_waits, 0);
    harness_exec("keep", "kept = environ = start_response = write = None");
    call_deinit(&c);
    wsgi_app_free(keep);
}

int main(void)
{
    harness_start();
    test_bodies();
    test_waits();
    test_failure(ECONNRESET, "ConnectionResetError");
    test_failure(ETIMEDOUT, "TimeoutError");
    test_failure(EPROTO, "OSError");
    test_failure(EFBIG, "OSError");
    test_other_exceptions();
    test_failures_are_freed();
    test_busy();
    test_outliving();
    test_forked_child();
    test_kept();
    ok(n_waits_without_gil > 0);
    interpreter_finalize();
    return tap_done();
}
