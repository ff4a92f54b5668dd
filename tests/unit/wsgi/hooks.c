/* SPDX-License-Identifier: MIT */
/* Which functions of a module are hooks, with what they are called, and what comes of their failures. */
#include "harness.h"

#include "wsgi/hooks.h"

#include <stdlib.h>
#include <unistd.h>

static const WsgiWorker worker = {.site = "shop", .seat = 3, .generation = 7};

static WsgiHooks *load(const char *module)
{
    _cleanup_free_ char *error = NULL;
    WsgiHooks *hooks = NULL;

    if (!ok(wsgi_hooks_load(module, &hooks, &error) == 0 && !error, "%s loads", module))
        printf("# %s\n", error);
    return hooks;
}

/* source: of the module of that name. */
static void fails(const char *module, const char *source, const char *text)
{
    _cleanup_free_ char *error = NULL;
    WsgiHooks *hooks = NULL;

    if (source)
        harness_exec(module, source);
    is_int(wsgi_hooks_load(module, &hooks, &error), -1);
    ok(!hooks && !PyErr_Occurred());
    if (!ok(error && strstr(error, text), "%s", text))
        printf("# %s\n", error);
}

#define CANNOT(module) "cannot load the hooks of the module '" module "': "

static void test_modules_that_do_not_load(void)
{
    fails("absent.hooks", NULL, CANNOT("absent.hooks") "No module named 'absent'");
    fails("bad_import", NULL, CANNOT("bad_import") "ModuleNotFoundError: ");
    fails("bad_syntax", NULL, CANNOT("bad_syntax") "SyntaxError: ");
    fails("bad_exit", NULL, CANNOT("bad_exit") "SystemExit");
    fails("empty", "", CANNOT("empty") "it has none of worker_start, ");
    fails("gunicorns", "def post_fork(server, worker): pass", CANNOT("gunicorns") "it has none of ");
    fails("number", "worker_ready = 1",
          CANNOT("number") "its worker_ready is no function, but an object of type int");
    fails("few", "def request_started(worker): pass",
          CANNOT("few") "it has a function request_started() that can't be called as request_started(worker, "
                        "environ): "
                        "too many positional arguments");
    fails("many", "def worker_exit(server, worker): pass",
          CANNOT("many") "it has a function worker_exit() that can't be called as worker_exit(worker): "
                         "missing a required argument: 'worker'");
    fails("lazy", "def __getattr__(name): raise RuntimeError(name)",
          CANNOT("lazy") "RuntimeError: worker_start\nTraceback");
}

static void test_strangers(void)
{
    _cleanup_free_ char *text = NULL;
    WsgiHooks *hooks;

    harness_exec("own", "def worker_start(worker): pass\non_exit = None\n");
    hooks = load("own");
    is_string(wsgi_hooks_describe_strangers(hooks), NULL);
    wsgi_hooks_free(hooks);

    harness_exec("mix",
                 "def worker_start(worker): pass\ndef pre_request(w, r): pass\ndef on_starting(s): pass\n");
    hooks = load("mix");
    text = wsgi_hooks_describe_strangers(hooks);
    is_string(text, "on_starting() has no equivalent, pre_request() is request_started() here");
    wsgi_hooks_free(hooks);
}

/* --- workers --- */

static void test_worker(void)
{
    _cleanup_free_ char *error = NULL;
    char expected[128];
    WsgiHooks *hooks;

    harness_exec("life", "seen = []\n"
                         "def worker_start(worker): seen.append(worker)\n"
                         "def worker_exit(worker): seen.append(worker)\n");
    hooks = load("life");
    is_int(wsgi_hooks_worker_start(hooks, &worker, &error), 0);
    is_int(wsgi_hooks_worker_ready(hooks, &error), 0);
    is_int(wsgi_hooks_worker_exit(hooks, &error), 0);
    is_int(harness_int("life", "len(seen) == 2 and seen[0] is seen[1]"), 1);
    snprintf(expected, sizeof expected, "cgunicorn.Worker(seat=3, generation=7, pid=%d, site='shop')",
             (int)getpid());
    is_string(harness_string("life", "seen[0]"), expected);
    wsgi_hooks_free(hooks);

    is_int(wsgi_hooks_worker_start(NULL, &worker, &error), 0);
    is_int(wsgi_hooks_worker_ready(NULL, &error), 0);
    is_int(wsgi_hooks_worker_exit(NULL, &error), 0);
    wsgi_hooks_free(NULL);
}

static void raises(int (*call)(WsgiHooks *, char **), WsgiHooks *hooks, const char *headline,
                   const char *frame)
{
    _cleanup_free_ char *error = NULL;

    is_int(call(hooks, &error), -1);
    if (!ok(error && strstr(error, headline) == error && strstr(error, frame), "%s", headline))
        printf("# %s\n", error);
    ok(!PyErr_Occurred());
}

static int start(WsgiHooks *hooks, char **ret_error)
{
    return wsgi_hooks_worker_start(hooks, &worker, ret_error);
}

static void test_failures_of_workers(void)
{
    WsgiHooks *hooks;

    harness_exec("broken", "import sys\n"
                           "def worker_start(worker): return 1 / 0\n"
                           "def worker_ready(worker): sys.exit(3)\n"
                           "def worker_exit(worker): raise KeyboardInterrupt\n");
    hooks = load("broken");
    raises(start, hooks, "worker_start() of app.hooks failed: ZeroDivisionError: division by zero\nTraceback",
           "in worker_start");
    raises(wsgi_hooks_worker_ready, hooks, "worker_ready() of app.hooks failed: SystemExit: 3\nTraceback",
           "in worker_ready");
    raises(wsgi_hooks_worker_exit, hooks, "worker_exit() of app.hooks failed: KeyboardInterrupt\nTraceback",
           "in worker_exit");
    wsgi_hooks_free(hooks);
}

/* --- requests --- */

#define REQUESTS                                                                                     \
    "log = []\n"                                                                                     \
    "fault = None\n"                                                                                 \
    "def note(*words):\n"                                                                            \
    "    log.append(' '.join(map(str, words)))\n"                                                    \
    "    if fault: raise fault\n"                                                                    \
    "def request_started(worker, environ):\n"                                                        \
    "    environ['note'] = worker.seat\n"                                                            \
    "    note('started')\n"                                                                          \
    "def request_finished(worker, environ, status, duration):\n"                                     \
    "    assert environ['note'] == worker.seat and 0 <= duration < 60 and type(duration) is float\n" \
    "    note('finished', status)\n"                                                                 \
    "class Result(list):\n"                                                                          \
    "    def close(self): log.append('close')\n"                                                     \
    "def fail(): raise ValueError('of the application')\n"                                           \
    "def late():\n"                                                                                  \
    "    yield b'x'\n"                                                                               \
    "    fail()\n"                                                                                   \
    "kind = ''\n"                                                                                    \
    "def app(environ, start_response):\n"                                                            \
    "    log.append('called')\n"                                                                     \
    "    assert environ['note'] == 3\n"                                                              \
    "    if kind == 'raise': fail()\n"                                                               \
    "    start_response('201 Created', [('Content-Type', 'text/plain')])\n"                          \
    "    return late() if kind == 'late' else Result([b'hello'])\n"

static WsgiApp *app_with_hooks(const WsgiHooks *hooks)
{
    WsgiAppOptions options = {.errors_fd = STDERR_FILENO, .hooks = hooks};
    _cleanup_free_ char *error = NULL;
    WsgiApp *app = NULL;

    is_int(wsgi_app_load("requests:app", &app, &error), 0);
    is_int(wsgi_app_prepare(app, &options, &error), 0);
    return app;
}

static void runs(WsgiApp *app, const char *kind, int result, const char *log)
{
    char source[64];
    Call c;

    snprintf(source, sizeof source, "log.clear(); kind = '%s'", kind);
    harness_exec("requests", source);
    call_get(&c, app);
    is_int(c.result, result);
    is_string(harness_string("requests", "', '.join(log)"), log);
    is_string(kind[0] ? "" : call_body(&c), kind[0] ? "" : "hello");
    ok(kind[0] ? call_error_has(&c, "of the application") : !c.error, "%s", kind);
    call_deinit(&c);
}

static void test_gone(WsgiApp *app)
{
    Call c;

    harness_exec("requests", "log.clear(); kind = ''");
    call_init(&c, "GET / HTTP/1.1\r\nHost: a");
    c.sink.begin_fails = true;
    c.sink.error = SINK_E_GONE;
    call_run(&c, app);
    is_int(c.result, WSGI_E_GONE);
    is_string(harness_string("requests", "', '.join(log)"), "started, called, close, finished None");
    ok(!c.error);
    call_deinit(&c);
}

/* What fails is said in its order; the response is that of the application. */
static void test_failures_of_requests(WsgiApp *app)
{
    const char *started, *finished;
    Call c;

    harness_exec("requests", "log.clear(); kind = ''; fault = SystemExit('of a hook')");
    call_get(&c, app);
    is_int(c.result, 0);
    is_string(call_body(&c), "hello");
    is_string(harness_string("requests", "', '.join(log)"), "started, called, close, finished 201");
    started = c.error ? strstr(c.error, "request_started() of app.hooks failed:\nTraceback") : NULL;
    finished =
        c.error ? strstr(c.error, "SystemExit: of a hook\nrequest_finished() of app.hooks failed:\nTraceback")
                : NULL;
    ok(started == c.error && finished > started, "both are said");
    call_deinit(&c);

    harness_exec("requests", "kind = 'raise'");
    call_get(&c, app);
    is_int(c.result, WSGI_E_ERROR);
    ok(call_error_has(&c, "request_started() of app.hooks failed:\n") &&
       call_error_has(&c, "of the application\n") &&
       call_error_has(&c, "request_finished() of app.hooks failed:\n"));
    call_deinit(&c);
}

static void test_requests(void)
{
    _cleanup_free_ char *error = NULL;
    WsgiHooks *hooks;
    WsgiApp *app;

    harness_exec("requests", REQUESTS);
    hooks = load("requests");
    is_int(wsgi_hooks_worker_start(hooks, &worker, &error), 0);
    app = app_with_hooks(hooks);
    runs(app, "", 0, "started, called, close, finished 201");
    runs(app, "raise", WSGI_E_ERROR, "started, called, finished 500");
    runs(app, "late", WSGI_E_CUT, "started, called, finished 201");
    test_gone(app);
    test_failures_of_requests(app);
    wsgi_app_free(app);
    wsgi_hooks_free(hooks);
}

int main(void)
{
    harness_start();
    test_modules_that_do_not_load();
    test_strangers();
    test_worker();
    test_failures_of_workers();
    test_requests();
    return tap_done();
}
