/* SPDX-License-Identifier: MIT */
/* Whole requests through wsgi_call(): outcomes, wsgiref.validate, several threads, nothing kept and nothing
 * lost. */
#include "harness.h"

#include "wsgi/interpreter.h"

#include <pthread.h>

static void test_hello(void)
{
    WsgiApp *app = harness_app("mixed:hello");
    Call c;

    call_get(&c, app);
    is_int(c.result, 0);
    is_string(c.error, NULL);
    ok(strstr(call_output(&c), "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n") == call_output(&c));
    ok(strstr(call_output(&c), "\r\nContent-Length: 12\r\n"));
    is_string(call_body(&c), "Hello, world");
    call_deinit(&c);
    wsgi_app_free(app);
}

static void test_exception(void)
{
    static const char *const kinds[] = {"ValueError",     "SystemExit",  "KeyboardInterrupt", "GeneratorExit",
                                        "RecursionError", "MemoryError", "StopIteration"};
    WsgiApp *app = harness_app("mixed:raising");
    Call c;

    call_init(&c, "GET / HTTP/1.1\r\nHost: a");
    for (size_t i = 0; i < ELEMENTSOF(kinds); i++) {
        char source[64];

        snprintf(source, sizeof(source), "exception = %s('reason')", kinds[i]);
        harness_exec("mixed", source);
        call_run(&c, app);
        is_int(c.result, WSGI_E_ERROR);
        ok(call_error_has(&c, kinds[i]) && call_error_has(&c, "in raising"), "%s", kinds[i]);
        is_string(call_output(&c), "");
    }
    call_deinit(&c);
    wsgi_app_free(app);
}

/* Every kind of request through the validator, which raises where the protocol is broken on either side. */
static void test_validator(void)
{
    static const char *const heads[] = {
        "GET / HTTP/1.1\r\nHost: a",
        "GET /a%20b?c=d HTTP/1.1\r\nHost: a\r\nAccept: x\r\nCookie: a=1\r\nCookie: b=2",
        "HEAD / HTTP/1.1\r\nHost: a",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Type: text/plain",
        "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked",
        "GET / HTTP/1.0",
    };
    static const char *const kinds[] = {"one", "list", "generator", "empty", "write", "file", "read"};
    WsgiApp *app = harness_app("mixed:validated");

    for (size_t i = 0; i < ELEMENTSOF(heads); i++) {
        for (size_t j = 0; j < ELEMENTSOF(kinds); j++) {
            char source[64];
            Call c;

            snprintf(source, sizeof(source), "kind = '%s'", kinds[j]);
            harness_exec("mixed", source);
            call_init(&c, heads[i]);
            if (request_has_body(&c.request))
                call_set_body(&c, "12345", 5);
            call_run(&c, app);
            ok(c.result == 0 && !c.error, "request %zu, %s", i, kinds[j]);
            if (c.error)
                printf("# %s\n", c.error);
            call_deinit(&c);
        }
    }
    is_string(harness_string("mixed", "complaints()"), "");
    wsgi_app_free(app);
}

/* --- several threads in the application --- */

enum { N_THREADS = 4, N_CALLS = 300 };

typedef struct Thread {
    pthread_t thread;
    WsgiApp *app;
    int number;
    int n_wrong;
} Thread;

static void *run_calls(void *arg)
{
    Thread *t = arg;
    InterpreterThread *python = interpreter_thread_new("other");
    char head[128], expected[128];

    if (!python)
        return NULL;
    for (int i = 0; i < N_CALLS; i++) {
        Call c;

        snprintf(head, sizeof(head), "POST /%d/%d HTTP/1.1\r\nHost: h%d\r\nContent-Length: 1\r\nX-N: %d",
                 t->number, i, t->number, i);
        snprintf(expected, sizeof(expected), "/%d/%d h%d %d %d", t->number, i, t->number, i, t->number);
        interpreter_acquire(python);
        call_init(&c, head);
        call_set_body(&c, &"0123456789"[t->number], 1);
        call_run(&c, t->app);
        t->n_wrong += c.result != 0 || strcmp(call_body(&c), expected) != 0;
        call_deinit(&c);
        interpreter_release(python);
    }
    t->n_wrong += 1000000;
    return NULL;
}

static void test_threads(void)
{
    Thread threads[N_THREADS] = {0};
    WsgiApp *app = harness_app("mixed:echo");

    interpreter_release(interpreter_main_thread());
    for (int i = 0; i < N_THREADS; i++) {
        threads[i].app = app;
        threads[i].number = i;
        ok(pthread_create(&threads[i].thread, NULL, run_calls, &threads[i]) == 0);
    }
    for (int i = 0; i < N_THREADS; i++)
        pthread_join(threads[i].thread, NULL);
    interpreter_acquire(interpreter_main_thread());
    for (int i = 0; i < N_THREADS; i++)
        is_int(threads[i].n_wrong, 1000000);
    wsgi_app_free(app);
}

/* --- leaks --- */

static long resident_pages(void)
{
    long size = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "re");

    if (!f || fscanf(f, "%ld %ld", &size, &resident) != 2)
        resident = -1;
    if (f)
        fclose(f);
    return resident;
}

/* Requests of every kind and outcome. */
static void run_mixture(WsgiApp *app, int n)
{
    static const char *const heads[] = {
        "GET /%d HTTP/1.1\r\nHost: a\r\nX-Name-%d: 1\r\nAccept: %d\r\nAccept: again",
        "POST /%%2%d HTTP/1.1\r\nHost: a\r\nContent-Length: 5",
        "HEAD /%d HTTP/1.1\r\nHost: b",
        "PUT /?%d HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked",
        "GET /%d HTTP/1.0",
    };

    for (int i = 0; i < n; i++) {
        char head[256];
        Call c;

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(head, sizeof(head), heads[i % ELEMENTSOF(heads)], i % 7, i % 50, i);
#pragma GCC diagnostic pop
        call_init(&c, head);
        c.sink.gone_from = i % 11 == 0;
        c.sink.wait_from = i % 5 == 0;
        if (request_has_body(&c.request))
            call_set_body(&c, "12345", 5);
        call_run(&c, app);
        call_deinit(&c);
    }
}

static void test_leaks(void)
{
    WsgiApp *app = harness_app("mixed:mixture");
    long objects, blocks, references, pages;

    /* The first round fills caches: CPython's of methods, the allocators'. */
    run_mixture(app, 20000);
    harness_exec("mixed", "gc.collect()");
    objects = harness_int("mixed", "len(gc.get_objects())");
    blocks = harness_int("mixed", "sys.getallocatedblocks()");
    references = harness_int("mixed", "references()");
    pages = resident_pages();
    run_mixture(app, 20000);
    harness_exec("mixed", "gc.collect()");
    objects = harness_int("mixed", "len(gc.get_objects())") - objects;
    blocks = harness_int("mixed", "sys.getallocatedblocks()") - blocks;
    references = harness_int("mixed", "references()") - references;
    pages = resident_pages() - pages;
    printf("# after 20000 requests: %+ld objects, %+ld blocks, %+ld references, %+ld pages\n", objects,
           blocks, references, pages);
    is_int(harness_int("mixed", "len(outcomes)"), harness_int("mixed", "len(KINDS)"));
    ok(objects < 20);
    ok(references < 100);
    ok(blocks < 100);
#if !defined(__SANITIZE_ADDRESS__) /* which keeps freed memory for a while */
    ok(pages < 64 || !PYTHON_HAS_GIL, "without a GIL, CPython keeps freed memory for a while, too");
#endif
    wsgi_app_free(app);
}

int main(void)
{
    harness_start();
    test_hello();
    test_exception();
    test_validator();
    test_threads();
    test_leaks();
    interpreter_finalize();
    return tap_done();
}
