/* SPDX-License-Identifier: MIT */
/* The page and the callable that answers with it. */
#include "wsgi/python.h"

#include "wsgi/error-page.h"

#include "base/buffer.h"
#include "wsgi/app-state.h"

#include <stdlib.h>

static int append_escaped(Buffer *to, const char *text)
{
    int r = 0;

    for (; r == 0 && *text; text++)
        r = *text == '<'   ? buffer_append_string(to, "&lt;")
            : *text == '>' ? buffer_append_string(to, "&gt;")
            : *text == '&' ? buffer_append_string(to, "&amp;")
                           : buffer_append(to, text, 1);
    return r;
}

static PyObject *make_page(const char *text)
{
    _cleanup_(buffer_deinit) Buffer page = {0};
    int r = buffer_append_string(&page, "<!DOCTYPE html>\n"
                                        "<html lang=\"en\">\n"
                                        "<meta charset=\"utf-8\">\n"
                                        "<title>The application does not load</title>\n"
                                        "<h1>The application does not load</h1>\n"
                                        "<p>It is loaded again when a file changes.</p>\n"
                                        "<pre>");

    if (r == 0)
        r = append_escaped(&page, text);
    if (r == 0)
        r = buffer_append_string(&page, "</pre>\n</html>\n");
    return r == 0 ? PyBytes_FromStringAndSize(buffer_head(&page), (Py_ssize_t)buffer_size(&page)) : NULL;
}

/* PEP 3333's application(environ, start_response). */
static PyObject *answer(PyObject *page, PyObject *const *args, Py_ssize_t n_args)
{
    _cleanup_decref_ PyObject *fields = NULL, *write = NULL;

    (void)n_args; /* the server calls it, with two */
    fields = Py_BuildValue("[(ss)(ss)(sN)]", "Content-Type", "text/html; charset=utf-8", "Cache-Control",
                           "no-store", "Content-Length", PyUnicode_FromFormat("%zd", PyBytes_GET_SIZE(page)));
    write = fields ? PyObject_CallFunction(args[1], "sO", "500 Internal Server Error", fields) : NULL;
    return write ? Py_BuildValue("[O]", page) : NULL;
}

int wsgi_error_page_new(const char *text, WsgiApp **ret)
{
    static PyMethodDef method = {"error_page", (PyCFunction)(void (*)(void))answer, METH_FASTCALL, NULL};
    _cleanup_decref_ PyObject *page = make_page(text);
    WsgiApp *app = page ? calloc(1, sizeof(*app)) : NULL;

    if (app)
        app->callable = PyCFunction_New(&method, page);
    if (app && app->callable) {
        *ret = app;
        return 0;
    }
    PyErr_Clear();
    free(app);
    return -1;
}
