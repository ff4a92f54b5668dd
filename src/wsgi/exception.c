/* SPDX-License-Identifier: MIT */
/* Formats exceptions by the traceback module, and without it where that fails. Never prints, never exits:
 * SystemExit is an exception like others here. */
#include "wsgi/python.h"

#include "wsgi/exception.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* Lone surrogates have no UTF-8 form and are escaped. */
static char *string_to_text(PyObject *string)
{
    _cleanup_decref_ PyObject *bytes = PyUnicode_AsEncodedString(string, "utf-8", "backslashreplace");
    size_t n;

    if (!bytes)
        return NULL;
    n = (size_t)PyBytes_GET_SIZE(bytes);
    while (n > 0 && PyBytes_AS_STRING(bytes)[n - 1] == '\n')
        n--;
    return strndup(PyBytes_AS_STRING(bytes), n);
}

static PyObject *format_traceback(PyObject *exception)
{
    _cleanup_decref_ PyObject *module = PyImport_ImportModule("traceback");
    _cleanup_decref_ PyObject *format = module ? python_get_attribute(module, "format_exception") : NULL;
    _cleanup_decref_ PyObject *lines = format ? PyObject_CallOneArg(format, exception) : NULL;
    _cleanup_decref_ PyObject *empty = lines ? PyUnicode_FromStringAndSize(NULL, 0) : NULL;

    return empty ? PyUnicode_Join(empty, lines) : NULL;
}

/* "Type: message", for headlines and for what the traceback module can't format (no memory, a broken
 * __str__()). */
static PyObject *format_plain(PyObject *exception)
{
    _cleanup_decref_ PyObject *name = PyType_GetName(Py_TYPE(exception));
    _cleanup_decref_ PyObject *message = name ? PyObject_Str(exception) : NULL;

    if (!name)
        return NULL;
    if (!message) {
        PyErr_Clear();
        return Py_NewRef(name);
    }
    return PyUnicode_GET_LENGTH(message) > 0 ? PyUnicode_FromFormat("%U: %U", name, message)
                                             : Py_NewRef(name);
}

typedef PyObject *(*Format)(PyObject *exception);

static char *format_text(PyObject *exception, Format format)
{
    _cleanup_decref_ PyObject *string = format(exception);
    char *text = string ? string_to_text(string) : NULL;

    if (!text)
        PyErr_Clear();
    return text;
}

static char *traceback_text(PyObject *exception)
{
    char *text = format_text(exception, format_traceback);

    if (!text)
        text = format_text(exception, format_plain);
    return text ? text : strdup("an exception that can't be shown");
}

char *exception_take_text(void)
{
    _cleanup_decref_ PyObject *exception = python_take_exception();

    return exception ? traceback_text(exception) : strdup("an error without an exception");
}

/* Raised by Python code, or about it: a SyntaxError has no frames, its place is in the text. */
static bool is_from_python(PyObject *exception)
{
    return python_has_traceback(exception) || PyErr_GivenExceptionMatches(exception, PyExc_SyntaxError);
}

char *exception_take_report(const char *what, ...)
{
    _cleanup_decref_ PyObject *exception = python_take_exception();
    _cleanup_free_ char *subject = NULL, *headline = NULL, *text = NULL;
    char *report;
    bool foreign;
    va_list ap;
    int n;

    va_start(ap, what);
    n = vasprintf(&subject, what, ap);
    va_end(ap);
    if (n < 0)
        subject = NULL;
    if (!subject || !exception)
        return TAKE_PTR(subject);
    foreign = is_from_python(exception);
    headline = format_text(exception, foreign ? format_plain : PyObject_Str);
    text = foreign ? traceback_text(exception) : NULL;
    if (headline)
        headline[strcspn(headline, "\n")] = '\0';
    n = asprintf(&report, "%s: %s%s%s", subject, headline ? headline : Py_TYPE(exception)->tp_name,
                 text ? "\n" : "", text ? text : "");
    return n < 0 ? NULL : report;
}
