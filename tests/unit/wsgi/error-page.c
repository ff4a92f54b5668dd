/* SPDX-License-Identifier: MIT */
/* The page in the place of an application that does not load. */
#include "harness.h"

#include "wsgi/error-page.h"
#include "wsgi/interpreter.h"

static void answers(WsgiApp *app, const char *head, bool has_body)
{
    Call c;

    call_init(&c, head);
    call_run(&c, app);
    is_int(c.result, 0);
    ok(strncmp(call_output(&c), "HTTP/1.1 500 Internal Server Error\r\n", 36) == 0, "%.20s", head);
    ok(strstr(call_output(&c), "\r\nContent-Type: text/html; charset=utf-8\r\n"));
    ok((strstr(call_body(&c), "<pre>a &lt;b&gt; &amp;amp; \xc3\xa9\n  c</pre>") != NULL) == has_body);
    call_deinit(&c);
}

int main(void)
{
    WsgiAppOptions options = {.errors_fd = STDERR_FILENO};
    WsgiApp *app = NULL;
    char *error = NULL;

    harness_start();
    is_int(wsgi_error_page_new("a <b> &amp; \xc3\xa9\n  c", &app), 0);
    is_int(wsgi_app_prepare(app, &options, &error), 0);
    answers(app, "GET / HTTP/1.1\r\nHost: a", true);
    answers(app, "GET /b?c HTTP/1.1\r\nHost: a", true);
    answers(app, "HEAD / HTTP/1.1\r\nHost: a", false);
    wsgi_app_free(app);
    interpreter_finalize();
    return tap_done();
}
