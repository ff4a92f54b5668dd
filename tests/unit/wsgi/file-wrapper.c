/* SPDX-License-Identifier: MIT */
/* wsgi.file_wrapper: sendfile(2) where the octets are those of a regular file, iteration everywhere else;
 * close() of the file once. */
#include "harness.h"

#include "wsgi/interpreter.h"

static Call c;

/* Runs an application that returns the expression, in which wrap is wsgi.file_wrapper; each file of files.py
 * counts its close() in `closed`. */
static void run(const char *headers, const char *expression)
{
    _cleanup_free_ char *source = NULL;
    WsgiApp *app;

    if (asprintf(&source,
                 "def app(environ, start_response):\n    wrap = environ['wsgi.file_wrapper']\n"
                 "    start_response('200 OK', [%s])\n    return %s\n",
                 headers, expression) < 0)
        return;
    harness_exec("t", "files.closed = 0");
    harness_exec("t", source);
    app = harness_app("t:app");
    call_run(&c, app);
    wsgi_app_free(app);
}

static void gives(const char *headers, const char *expression, const char *events, const char *body)
{
    run(headers, expression);
    ok(c.result == 0, "%s", expression);
    if (c.error)
        printf("# %s\n", c.error);
    if (buffer_append(&c.sink.events, "", 1) < 0)
        return;
    is_string(buffer_head(&c.sink.events), events);
    is_string(call_body(&c), body);
}

static void test_sendfile(void)
{
    gives("", "wrap(opened())", "begin(10) send_file(0,10) write(10) end ", "0123456789");
    is_int(harness_int("t", "files.closed"), 1);
    ok(strstr(call_output(&c), "Content-Length: 10\r\n"));
    gives("", "wrap(opened(read=3), 4)", "begin(7) send_file(3,7) write(7) end ", "3456789");
    gives("", "wrap(opened(read=10))", "begin(0) end ", "");
    gives("", "wrap(opened(seek=99))", "begin(0) end ", "");
    gives("('Content-Length', '4')", "wrap(opened(read=1))", "begin(9) send_file(1,4) write(4) end ", "1234");
    gives("", "wrap(unbuffered())", "begin(10) send_file(0,10) write(10) end ", "0123456789");
    gives("", "wrap(temporary())", "begin(9) send_file(0,9) write(9) end ", "unflushed");
    gives("", "wrap(Proxy(opened()))", "begin(10) send_file(0,10) write(10) end ", "0123456789");

    run("('Content-Length', '11')", "wrap(opened())");
    is_int(c.result, WSGI_E_CUT);
    ok(call_error_has(&c, "1 octets shorter than its Content-Length"));
    is_int(harness_int("t", "files.closed"), 1);
}

static void test_iterated(void)
{
    gives("('Content-Length', '10')", "wrap(io.BytesIO(b'0123456789'), 4)",
          "begin(-1) write(4) write(4) write(2) end ", "0123456789");
    gives("('Content-Length', '3')", "wrap(gzipped())", "begin(-1) write(3) end ", "abc");
    gives("('Content-Length', '4')", "wrap(piped(), 2)", "begin(-1) write(2) write(2) end ", "pipe");
    gives("('Content-Length', '1')", "wrap(Minimal())", "begin(-1) write(1) end ", "m");
    gives("('Content-Length', '1')", "wrap(OwnRead(opened()))", "begin(-1) write(1) end ", "o");
    gives("('Content-Length', '10')", "list(wrap(opened(), 6))", "begin(10) write(10,last) end ",
          "0123456789");
    gives("('Content-Length', '0')", "wrap(io.BytesIO())", "begin(0) end ", "");
    gives("('Content-Length', '10')", "(b for b in wrap(opened(), 5))", "begin(-1) write(5) write(5) end ",
          "0123456789");
    run("", "wrap(open(path))");
    is_int(c.result, WSGI_E_ERROR);
    ok(call_error_has(&c, "a block of type str"));
}

static void test_attributes(void)
{
    gives("", "[f'{wrap(1).filelike} {wrap(1).blksize} {wrap(1, blksize=5).blksize}'.encode()]",
          "begin(8) write(8,last) end ", "1 8192 5");
    run("", "wrap()");
    is_int(c.result, WSGI_E_ERROR);
    ok(call_error_has(&c, "TypeError"));
    run("", "wrap(1, 'x')");
    is_int(c.result, WSGI_E_ERROR);
    run("", "wrap.__new__(wrap)");
    is_int(c.result, WSGI_E_ERROR);
    ok(call_error_has(&c, "missing required argument 'filelike'"));
}

static void test_close(void)
{
    run("", "closed_early(wrap(opened()))");
    is_int(harness_int("t", "files.closed"), 1);
    run("", "wrap(Broken())");
    is_int(c.result, WSGI_E_ERROR);
    ok(call_error_has(&c, "OSError: broken"));
    is_int(harness_int("t", "files.closed"), 1);
    run("", "wrap(BadClose())");
    is_int(c.result, 0);
    ok(call_error_has(&c, "close() of the application's result failed"));
    c.sink.gone_from = 1;
    run("", "wrap(opened())");
    is_int(c.result, WSGI_E_GONE);
    is_int(harness_int("t", "files.closed"), 1);
    c.sink.gone_from = 0;
    /* As Django has it: close is replaced on the file itself, after the wrapper was made. */
    gives("", "replaced_close(opened(), wrap)", "begin(10) send_file(0,10) write(10) end ", "0123456789");
    is_int(harness_int("t", "files.closed"), 101);
}

static void test_head(void)
{
    Call get = c;

    call_init(&c, "HEAD / HTTP/1.1\r\nHost: a");
    gives("", "wrap(opened())", "begin(10) end ", "");
    ok(strstr(call_output(&c), "Content-Length: 10\r\n"));
    is_int(harness_int("t", "files.closed"), 1);
    call_deinit(&c);
    c = get;
}

/* A wrapper in a cycle with its file is found by the collector. */
static void test_cycle(void)
{
    run("", "cycle(wrap(Minimal()))");
    is_int(harness_int("t", "gone_after_collect()"), 1);
}

int main(void)
{
    harness_start();
    harness_exec("t", "import files\nfrom files import *");
    call_init(&c, "GET / HTTP/1.1\r\nHost: a");
    test_sendfile();
    test_iterated();
    test_attributes();
    test_close();
    test_head();
    test_cycle();
    call_deinit(&c);
    harness_exec("t", "os.unlink(path)\nos.unlink(gzip_path)");
    interpreter_finalize();
    return tap_done();
}
