/* SPDX-License-Identifier: MIT */
/* wsgi.errors: whole lines, UTF-8, from every thread, and after the request. */
#include "harness.h"

#include "wsgi/interpreter.h"

#include <fcntl.h>
#include <signal.h>

static int pipe_fds[2];
static WsgiApp *app;

/* Calls f(wsgi.errors) within a request; f is made by these statements. */
static void run(const char *statements)
{
    _cleanup_free_ char *source = NULL;
    Call c;

    if (asprintf(&source, "def f(errors):\n    %s\n", statements) < 0)
        return;
    harness_exec("e", source);
    call_get(&c, app);
    is_int(c.result, 0);
    if (c.error)
        printf("# %s\n", c.error);
    call_deinit(&c);
}

/* What came through one read(2), at most: each write(2) to a packet-mode pipe is a packet. */
static const char *next_write(void)
{
    static char text[65536];
    ssize_t n = read(pipe_fds[0], text, sizeof(text) - 1);

    text[n > 0 ? n : 0] = '\0';
    return text;
}

static void test_lines(void)
{
    run("assert errors.write('one\\n') == 4");
    is_string(next_write(), "one\n");
    is_string(next_write(), "");
    run("errors.write('a'); errors.write('b'); errors.write('c\\nd\\ne'); errors.write('f\\n')");
    is_string(next_write(), "abc\nd\n");
    is_string(next_write(), "ef\n");
    run("errors.writelines(['x', 'y\\n', 'z\\n'])");
    is_string(next_write(), "xy\n");
    is_string(next_write(), "z\n");
    run("print('printed', 1, file=errors)");
    is_string(next_write(), "printed 1\n");
    run("errors.write('partial'); errors.flush(); errors.flush(); errors.write('\\n')");
    is_string(next_write(), "partial");
    is_string(next_write(), "\n");
    run("errors.write('unfinished')");
    is_string(next_write(), "unfinished\n");
    run("errors.write('')");
    is_string(next_write(), "");
}

static void test_encoding(void)
{
    run("errors.write('\\u20ac \\xe9 \\udce9 \\U0001f600\\n')");
    is_string(next_write(), "\xe2\x82\xac \xc3\xa9 \\udce9 \xf0\x9f\x98\x80\n");
}

static void test_wrong_types(void)
{
    run("for wrong in (b'bytes', None, 5):\n"
        "        try: errors.write(wrong)\n"
        "        except TypeError as e: assert 'wsgi.errors takes str, not ' in str(e)\n"
        "        else: assert 0\n"
        "    for wrong in ([b'x'], 5):\n"
        "        try: errors.writelines(wrong)\n"
        "        except TypeError: pass\n"
        "        else: assert 0");
    is_string(next_write(), "");
}

/* It doesn't gather for ever. */
static void test_long_line(void)
{
    size_t n = 0;

    run("errors.write('l' * 40000); errors.write('l' * 40000)");
    for (const char *s = next_write(); s[0]; s = next_write())
        n += strspn(s, "l");
    is_int(n, 80000);
}

static void test_after_request(void)
{
    run("global kept; kept = errors");
    harness_exec("e", "import threading\n"
                      "def late(): kept.write('late ' * 3 + '\\n')\n"
                      "ts = [threading.Thread(target=late) for i in range(4)]\n"
                      "[t.start() for t in ts]\n"
                      "[t.join() for t in ts]\n");
    for (int i = 0; i < 4; i++)
        is_string(next_write(), "late late late \n");
    harness_exec("e", "kept.write('end')");
}

static void test_broken(void)
{
    close(pipe_fds[0]);
    run("errors.write('nobody reads this\\n'); errors.flush()");
    close(pipe_fds[1]);
    run("errors.write('nor that\\n')");
}

int main(void)
{
    WsgiAppOptions options = {0};
    _cleanup_free_ char *error = NULL;

    signal(SIGPIPE, SIG_IGN);
    harness_start();
    /* O_DIRECT: packet mode, see pipe(2). */
    if (pipe2(pipe_fds, O_DIRECT | O_CLOEXEC) < 0 || fcntl(pipe_fds[0], F_SETFL, O_NONBLOCK | O_DIRECT) < 0 ||
        fcntl(pipe_fds[0], F_SETPIPE_SZ, 1 << 20) < 0)
        return 99;
    options.errors_fd = pipe_fds[1];
    harness_exec("e", "def app(environ, start_response):\n"
                      "    start_response('200 OK', [])\n"
                      "    f(environ['wsgi.errors'])\n"
                      "    return []\n");
    if (wsgi_app_load("e:app", &app, &error) < 0 || wsgi_app_prepare(app, &options, &error) < 0)
        return 99;
    test_lines();
    test_encoding();
    test_wrong_types();
    test_long_line();
    test_after_request();
    /* The last reference goes with the slots: what is left is written. */
    harness_exec("e", "del kept");
    wsgi_app_free(app);
    is_string(next_write(), "end");
    if (wsgi_app_load("e:app", &app, &error) < 0 || wsgi_app_prepare(app, &options, &error) < 0)
        return 99;
    test_broken();
    wsgi_app_free(app);
    interpreter_finalize();
    return tap_done();
}
