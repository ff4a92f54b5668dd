/* SPDX-License-Identifier: MIT */
/* wsgi.input beside io.BytesIO: every method with every size gives the same. */
#include "harness.h"

#include "wsgi/interpreter.h"

#include <stdlib.h>

static WsgiApp *app;

static void test_like_bytesio(const char *what, const void *data, size_t size, size_t memory)
{
    Call c;

    call_init(&c, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked");
    c.body.memory_max = memory;
    call_set_body(&c, data, size);
    do
        call_run(&c, app);
    while (strcmp(call_body(&c), "more") == 0);
    ok(c.result == 0, "%s", what);
    is_string(call_body(&c), "same");
    if (c.error)
        printf("# %s\n", c.error);
    call_deinit(&c);
}

static void test_bodies(void)
{
    enum { SIZE = 300000 };
    _cleanup_free_ char *large = malloc(SIZE);

    test_like_bytesio("lines", "one\ntwo\n\nfour", 13, 65536);
    test_like_bytesio("no newline", "abc", 3, 65536);
    test_like_bytesio("only newlines", "\n\n\n", 3, 65536);
    test_like_bytesio("partly in a file", "one\ntwo\n\nfour", 13, 5);
    for (size_t i = 0; i < SIZE; i++)
        large[i] = i % 5003 == 0 ? '\n' : (char)(i % 251);
    test_like_bytesio("large", large, SIZE, SIZE);
    test_like_bytesio("large, mostly in a file", large, SIZE, 1000);
}

static void test_no_body(void)
{
    Call c;

    call_init(&c, "GET / HTTP/1.1\r\nHost: a");
    do
        call_run(&c, app);
    while (strcmp(call_body(&c), "more") == 0);
    is_string(call_body(&c), "same");
    call_deinit(&c);
}

/* An input that was kept reads as empty afterwards, and the next request has another one. */
static void test_kept(void)
{
    Call c;
    WsgiApp *keep = harness_app("keep");

    call_init(&c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5");
    call_set_body(&c, "12345", 5);
    call_run(&c, keep);
    harness_exec("keep", "kept = environ['wsgi.input']");
    is_string(harness_string("keep", "kept.read()"), "b''");
    call_run(&c, keep);
    is_string(harness_string("keep", "kept is environ['wsgi.input']"), "False");
    harness_exec("keep", "kept = environ = start_response = write = None");
    call_deinit(&c);
    wsgi_app_free(keep);
}

static void test_reused(void)
{
    Call c;
    WsgiApp *ids;

    harness_exec("ids", "ids = set()\n"
                        "def application(environ, start_response):\n"
                        "    ids.add(id(environ['wsgi.input']))\n"
                        "    start_response('200 OK', [])\n"
                        "    return []\n");
    ids = harness_app("ids");
    call_init(&c, "GET / HTTP/1.1\r\nHost: a");
    for (int i = 0; i < 5; i++)
        call_run(&c, ids);
    is_int(harness_int("ids", "len(ids)"), 1);
    call_deinit(&c);
    wsgi_app_free(ids);
}

static void test_closed_is_renewed(void)
{
    Call c;
    WsgiApp *closer;

    harness_exec("closer", "def application(environ, start_response):\n"
                           "    f = environ['wsgi.input']\n"
                           "    assert not f.closed and f.tell() == 0\n"
                           "    data = f.read()\n"
                           "    f.close(); f.close()\n"
                           "    assert f.closed\n"
                           "    start_response('200 OK', [])\n"
                           "    return [data]\n");
    closer = harness_app("closer");
    call_init(&c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5");
    call_set_body(&c, "12345", 5);
    for (int i = 0; i < 2; i++) {
        call_run(&c, closer);
        is_int(c.result, 0);
        is_string(call_body(&c), "12345");
    }
    call_deinit(&c);
    wsgi_app_free(closer);
}

/* A file that is shorter than it should be is an error of the read, not an endless loop or made-up octets. */
static void test_truncated(void)
{
    Call c;
    WsgiApp *reader;

    harness_exec("reader", "def application(environ, start_response):\n"
                           "    start_response('200 OK', [])\n"
                           "    return [environ['wsgi.input'].read()]\n");
    reader = harness_app("reader");
    call_init(&c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10");
    c.body.memory_max = 4;
    call_set_body(&c, "1234", 4);
    is_int(spool_append(&c.body, "567890", 6), 0);
    is_int(ftruncate(c.body.fd, 2), 0);
    call_run(&c, reader);
    is_int(c.result, WSGI_E_ERROR);
    ok(call_error_has(&c, "OSError"));
    call_deinit(&c);
    wsgi_app_free(reader);
}

int main(void)
{
    harness_start();
    app = harness_app("like_bytesio");
    test_bodies();
    test_no_body();
    test_kept();
    test_reused();
    test_closed_is_renewed();
    test_truncated();
    wsgi_app_free(app);
    interpreter_finalize();
    return tap_done();
}
