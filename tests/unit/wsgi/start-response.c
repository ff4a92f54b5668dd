/* SPDX-License-Identifier: MIT */
/* start_response and write(): what PEP 3333 allows, and what is said of all else. */
#include "harness.h"

#include "wsgi/interpreter.h"

static Call c;

/* Runs an application with this body (of a function of environ and start_response). */
static void run(const char *statements)
{
    _cleanup_free_ char *source = NULL;
    WsgiApp *app;

    if (asprintf(&source, "import sys\ndef app(environ, start_response):\n    %s\n", statements) < 0)
        return;
    harness_exec("t", source);
    app = harness_app("t:app");
    call_run(&c, app);
    wsgi_app_free(app);
}

/* The application fails with that in the text, and nothing of a response has begun. */
static void fails(const char *statements, const char *text)
{
    run(statements);
    ok(c.result == WSGI_E_ERROR && call_error_has(&c, text), "%s", text);
    is_string(call_output(&c), "");
}

static void test_head(void)
{
    run("start_response('418 I am a teapot', [('X-A', '1'), ('Set-Cookie', 'a=1'), ('Set-Cookie', "
        "'b=\xc3\xa9')])\n"
        "    return [b'x']");
    is_int(c.result, 0);
    ok(strstr(call_output(&c), "HTTP/1.1 418 I am a teapot\r\n") == call_output(&c));
    ok(strstr(call_output(&c), "X-A: 1\r\nSet-Cookie: a=1\r\nSet-Cookie: b=\xe9\r\n"));
    run("return start_response('200 OK', [], None) and []");
    is_int(c.result, 0);
    run("return start_response('200 OK', [], exc_info=None) and [b'x']");
    is_int(c.result, 0);
}

static void test_wrong_arguments(void)
{
    fails("start_response('200 OK')", "takes two positional arguments");
    fails("start_response('200 OK', [], None, None)", "takes two positional arguments");
    fails("start_response('200 OK', headers=[])", "takes two positional arguments");
    fails("start_response('200 OK', [], None, exc_info=None)", "takes two positional arguments");
    fails("start_response(exc_info=None)", "takes two positional arguments");
    fails("start_response(200, [])", "status is a str such as '200 OK', not int");
    fails("start_response(b'200 OK', [])", "status is a str such as '200 OK', not bytes");
    fails("start_response('200', [])", "status '200': status is not three digits");
    fails("start_response('100 Continue', [])", "1xx");
    fails("start_response('200 OK\\r\\nX: y', [])", "'200 OK\\r\\nX: y'");
    fails("start_response('200 OK \\u20ac', [])", "not Latin-1");
    fails("start_response('200 OK', (('A', 'b'),))", "headers is a list of (name, value) tuples, not tuple");
    fails("start_response('200 OK', {'A': 'b'})", "not dict");
    fails("start_response('200 OK', [['A', 'b']])", "['A', 'b'] is in it");
    fails("start_response('200 OK', [('A', 'b', 'c')])", "('A', 'b', 'c') is in it");
    fails("start_response('200 OK', [('A', 1)])", "('A', 1) is in it");
    fails("start_response('200 OK', [(b'A', b'b')])", "(b'A', b'b') is in it");
    fails("start_response('200 OK', [('A', 'b\\u20ac')])", "'b\\u20ac' has characters that are not Latin-1");
    fails("start_response('200 OK', [('A', 'b\\r\\nC: d')])", "header 'A': 'b\\r\\nC: d'");
    fails("start_response('200 OK', [('A b', 'c')])", "not a token");
    fails("start_response('200 OK', [('Transfer-Encoding', 'chunked')])", "hop-by-hop");
    fails("start_response('200 OK', [('Content-Length', '-1')])", "Content-Length");
    fails("start_response('200 OK', [('Content-Length', '1'), ('content-length', '1')])", "Content-Length");
}

static void test_order(void)
{
    fails("return [b'x']", "did not call start_response()");
    fails("return []", "did not call start_response()");
    fails("start_response('200 OK', []); start_response('404 Not Found', []); return []", "a second time");
    fails("start_response('200 OK', [], 5); return []", "exc_info is the tuple");
    fails("start_response('200 OK', [], (None, None, None)); return []", "exc_info is the tuple");
    /* A call that failed set nothing, so that the next is the first. */
    run("try: start_response('200 OK', [('A', '1'), ('B', 2)])\n"
        "    except TypeError: start_response('500 No', [('C', '3')])\n"
        "    return []");
    is_int(c.result, 0);
    ok(strstr(call_output(&c), "HTTP/1.1 500 No\r\n") && strstr(call_output(&c), "C: 3") &&
       !strstr(call_output(&c), "A: 1"));
}

static void test_exc_info(void)
{
    run("start_response('200 OK', [('A', '1'), ('Content-Length', '1')])\n"
        "    try: raise KeyError('k')\n"
        "    except KeyError: start_response('500 No', [('B', '2')], sys.exc_info())\n"
        "    return [b'error']");
    is_int(c.result, 0);
    ok(strstr(call_output(&c), "HTTP/1.1 500 No\r\n") == call_output(&c));
    ok(strstr(call_output(&c), "B: 2\r\n") && strstr(call_output(&c), "Content-Length: 5\r\n"));
    ok(!strstr(call_output(&c), "A: 1"));

    /* After the head went out the exception comes back, whole. */
    run("w = start_response('200 OK', [('Content-Length', '9')])\n"
        "    w(b'begun')\n"
        "    try: raise KeyError('original')\n"
        "    except KeyError:\n"
        "        try: start_response('500 No', [], exc_info=sys.exc_info())\n"
        "        except KeyError as e:\n"
        "            assert e.__traceback__.tb_next or e.__traceback__.tb_lineno == 5, "
        "e.__traceback__.tb_lineno\n"
        "            raise\n"
        "    return [b'error']");
    is_int(c.result, WSGI_E_CUT);
    ok(call_error_has(&c, "KeyError: 'original'"));
    is_string(call_body(&c), "begun");
}

static void test_write(void)
{
    run("w = start_response('200 OK', [])\n"
        "    w(b'one '); w(b''); w(b'two ')\n"
        "    return [b'three']");
    is_int(c.result, 0);
    ok(strstr(call_output(&c), "Transfer-Encoding: chunked\r\n"));
    is_string(call_body(&c), "4\r\none \r\n4\r\ntwo \r\n5\r\nthree\r\n0\r\n\r\n");
    run("start_response('200 OK', [])(b''); return [b'known']");
    ok(strstr(call_output(&c), "Content-Length: 5\r\n"));
    fails("start_response('200 OK', [])('text')", "write() takes one positional argument of bytes");
    fails("start_response('200 OK', [])()", "write() takes one positional argument of bytes");
    fails("start_response('200 OK', [])(data=b'x')", "write() takes one positional argument of bytes");
}

/* From another thread, and after the request. */
static void test_strangers(void)
{
    run("import threading\n"
        "    w = start_response('200 OK', [])\n"
        "    def f():\n"
        "        try: w(b'x')\n"
        "        except RuntimeError as e: global said; said = str(e)\n"
        "    t = threading.Thread(target=f); t.start(); t.join()\n"
        "    return [b'y']");
    is_int(c.result, 0);
    is_string(call_body(&c), "y");
    is_string(harness_string("t", "said"), "write() is for the thread that runs the application");

    run("global s, w\n    s = start_response; w = s('200 OK', []); return []");
    harness_exec("t", "said = ''\n"
                      "for f in (lambda: s('200 OK', []), lambda: w(b'x')):\n"
                      "    try: f()\n"
                      "    except RuntimeError as e: said += str(e) + '; '\n");
    is_string(harness_string("t", "said"), "start_response() was called after the end of its request; "
                                           "write() was called after the end of its request; ");
    run("start_response('200 OK', []); return [repr(start_response is s).encode()]");
    is_string(call_body(&c), "False");
    harness_exec("t", "s = w = None");
}

/* close() of the iterable comes after the response: it can't add to it. */
static void test_write_in_close(void)
{
    run("w = start_response('200 OK', [])\n"
        "    class R:\n"
        "        def __iter__(self): return iter([b'x'])\n"
        "        def close(self): w(b'late')\n"
        "    return R()");
    is_int(c.result, 0);
    is_string(call_body(&c), "x");
    ok(call_error_has(&c, "close() of the application's result failed"));
    ok(call_error_has(&c, "write() was called after the end of its request"));
}

/* Sends hints from an application that then answers, and compares all that went out before the answer. */
static void hints(const char *statements, const char *expected)
{
    _cleanup_free_ char *source = NULL;
    const char *output;

    if (asprintf(&source,
                 "hints = environ['wsgi.early_hints']\n    %s\n    start_response('200 OK', []); return []",
                 statements) < 0)
        return;
    run(source);
    output = call_output(&c);
    if (!ok(c.result == 0 && strncmp(output, expected, strlen(expected)) == 0 &&
                strncmp(output + strlen(expected), "HTTP/1.1 200 OK\r\n", 17) == 0,
            "%s", statements))
        printf("# %s\n# %s\n", c.error ? c.error : "", output);
}

#define WITHIN(statement) "hints = environ['wsgi.early_hints']; " statement

static void test_early_hints(void)
{
    hints("hints([('Link', '</a.css>; rel=preload'), ('X', '\xc3\xa9')])",
          "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nX: \xe9\r\n\r\n");
    hints("hints([('A', '1')]); hints([('B', '2')])",
          "HTTP/1.1 103 Early Hints\r\nA: 1\r\n\r\nHTTP/1.1 103 Early Hints\r\nB: 2\r\n\r\n");
    hints("assert hints([('A', '1')]) is None; start_response('500 No', []); hints([('B', '2')])\n"
          "    try: raise KeyError\n"
          "    except KeyError: start_response('200 OK', [], sys.exc_info()); return []",
          "HTTP/1.1 103 Early Hints\r\nA: 1\r\n\r\nHTTP/1.1 103 Early Hints\r\nB: 2\r\n\r\n");
    fails(WITHIN("hints()"), "takes one positional argument");
    fails(WITHIN("hints(headers=[])"), "takes one positional argument");
    fails(WITHIN("hints((('A', 'b'),))"), "wsgi.early_hints(headers) (RFC 8297): headers is a list");
    fails(WITHIN("hints([('A', b'b')])"), "('A', b'b') is in it");
    fails(WITHIN("hints([('A', 'b\\u20ac')])"), "not Latin-1");
    fails(WITHIN("hints([('A', 'b'), ('A', 'b\\r\\nC: d')])"), "control character");
    fails(WITHIN("hints([('A', 'b'), ('B c', 'd')])"), "not a token");
    fails(WITHIN("hints([('Link', 'b'), ('Content-Length', '0')])"), "belongs to the final response");
    fails(WITHIN("hints([('Link', 'b'), ('Set-Cookie', 'a=b')])"), "belongs to the final response");
    fails(WITHIN("hints([('Transfer-Encoding', 'chunked')])"), "hop-by-hop");
    fails(WITHIN("hints([('Connection', 'close')])"), "hop-by-hop");
}

static void test_early_hints_too_late(void)
{
    run(WITHIN("start_response('200 OK', [])(b'x'); hints([('A', '1')])"));
    is_int(c.result, WSGI_E_CUT);
    ok(call_error_has(&c, "the response has begun"));
    run("import threading\n    hints = environ['wsgi.early_hints']\n"
        "    def f():\n"
        "        try: hints([('A', '1')])\n"
        "        except RuntimeError as e: global said; said = str(e)\n"
        "    t = threading.Thread(target=f); t.start(); t.join()\n"
        "    start_response('200 OK', []); return []");
    ok(c.result == 0 && !strstr(call_output(&c), "103"));
    is_string(harness_string("t", "said"), "wsgi.early_hints() is for the thread that runs the application");
    run("global hints; hints = environ['wsgi.early_hints']; start_response('200 OK', []); return []");
    harness_exec("t", "said = ''\n"
                      "try: hints([('A', '1')])\n"
                      "except RuntimeError as e: said = str(e)\n"
                      "hints = None");
    is_string(harness_string("t", "said"), "wsgi.early_hints() was called after the end of its request");
}

/* A client that is behind is waited for before the next hint, one that is gone is not sent any. */
static void test_early_hints_to_slow_clients(void)
{
    c.sink.wait_from = 1;
    run(WITHIN("hints([('A', '1')]); hints([('B', '2')]); start_response('200 OK', []); return []"));
    is_int(c.result, 0);
    ok(strncmp(buffer_head(&c.sink.events), "interim(34) wait interim(34) begin(0) end ", 42) == 0);
    c.sink.wait_from = 0;
    c.sink.gone_from = 1;
    run(WITHIN("hints([('A', '1')]); start_response('200 OK', []); return []"));
    is_int(c.result, WSGI_E_GONE);
    c.sink.gone_from = 0;
}

int main(void)
{
    harness_start();
    call_init(&c, "GET / HTTP/1.1\r\nHost: a");
    test_head();
    test_wrong_arguments();
    test_order();
    test_exc_info();
    test_write();
    test_strangers();
    test_write_in_close();
    test_early_hints();
    test_early_hints_too_late();
    test_early_hints_to_slow_clients();
    call_deinit(&c);
    interpreter_finalize();
    return tap_done();
}
