/* SPDX-License-Identifier: MIT */
/* wsgi.input beside io.BytesIO: every method with every size gives the same. */
#include "harness.h"

#include "wsgi/body-memory.h"
#include "wsgi/interpreter.h"

#include <stdlib.h>

static WsgiApp *app;

/* What was received into memory of body-memory.h. */
static void lend_memory(Call *c)
{
    size_t size = (size_t)spool_size(&c->body);
    char *memory;
    void *owner = body_memory_new(size, &memory);

    ok(owner, "memory for %zu octets", size);
    spool_lend(&c->body, owner, memory, size);
}

static void take_memory_back(Call *c)
{
    body_memory_free(spool_take_back(&c->body));
}

static void test_like_bytesio(const char *what, const void *data, size_t size, size_t memory, bool is_lent)
{
    Call c;

    call_init(&c, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked");
    c.body.memory_max = memory;
    call_set_body(&c, data, size);
    if (is_lent)
        lend_memory(&c);
    do
        call_run(&c, app);
    while (strcmp(call_body(&c), "more") == 0);
    ok(c.result == 0, "%s", what);
    is_string(call_body(&c), "same");
    if (c.error)
        printf("# %s\n", c.error);
    if (is_lent)
        take_memory_back(&c);
    call_deinit(&c);
}

static void test_bodies(void)
{
    enum { SIZE = 300000 };
    _cleanup_free_ char *large = malloc(SIZE);

    test_like_bytesio("lines", "one\ntwo\n\nfour", 13, 65536, false);
    test_like_bytesio("lines in lent memory", "one\ntwo\n\nfour", 13, 65536, true);
    test_like_bytesio("no newline", "abc", 3, 65536, false);
    test_like_bytesio("only newlines", "\n\n\n", 3, 65536, false);
    test_like_bytesio("partly in a file", "one\ntwo\n\nfour", 13, 5, false);
    for (size_t i = 0; i < SIZE; i++)
        large[i] = i % 5003 == 0 ? '\n' : (char)(i % 251);
    test_like_bytesio("large", large, SIZE, SIZE, false);
    test_like_bytesio("large, in lent memory", large, SIZE, SIZE, true);
    test_like_bytesio("large, mostly in a file", large, SIZE, 1000, false);
}

/* Lent memory is the object that read() returns, whose the application's copy then is. */
static void test_no_copy(void)
{
    Call c;
    WsgiApp *holder;

    harness_exec("holder", "def application(environ, start_response):\n"
                           "    global whole, again\n"
                           "    f = environ['wsgi.input']\n"
                           "    whole, again = f.read(9), f.read()\n"
                           "    start_response('200 OK', [])\n"
                           "    return [whole]\n");
    holder = harness_app("holder");
    call_init(&c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9");
    call_set_body(&c, "123456789", 9);
    lend_memory(&c);
    call_run(&c, holder);
    is_string(call_body(&c), "123456789");
    is_int(harness_int("holder", "id(whole)"), (long)c.body.owner);
    is_string(harness_string("holder", "again"), "b''");
    take_memory_back(&c);
    is_string(harness_string("holder", "whole.decode()"), "123456789");
    call_deinit(&c);
    wsgi_app_free(holder);
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
    ok(harness_int("ids", "len(ids)") == 1 || !PYTHON_HAS_GIL);
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
    test_no_copy();
    test_no_body();
    test_kept();
    test_reused();
    test_closed_is_renewed();
    test_truncated();
    wsgi_app_free(app);
    interpreter_finalize();
    return tap_done();
}
