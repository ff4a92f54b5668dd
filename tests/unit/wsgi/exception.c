/* SPDX-License-Identifier: MIT */
/* Exceptions as text: every kind, also those that can't be formatted. */
#include "harness.h"

#include "wsgi/exception.h"
#include "wsgi/interpreter.h"

/* Runs statements that raise. */
static void raise(const char *statements)
{
    _cleanup_decref_ PyObject *globals = PyDict_New(), *value = NULL;

    PyDict_SetItemString(globals, "__builtins__", PyEval_GetBuiltins());
    value = PyRun_String(statements, Py_file_input, globals, globals);
    ok(!value, "raises");
}

static void has(const char *statements, const char *start, const char *end)
{
    _cleanup_free_ char *text = NULL;

    raise(statements);
    text = exception_take_text();
    ok(text && strncmp(text, start, strlen(start)) == 0);
    ok(text && strlen(text) >= strlen(end) && strcmp(text + strlen(text) - strlen(end), end) == 0);
    ok(!PyErr_Occurred());
}

static void test_text(void)
{
    static const char traceback[] = "Traceback (most recent call last):\n  File \"<string>\", line 1";

    has("1/0", traceback, "ZeroDivisionError: division by zero");
    has("raise SystemExit(3)", traceback, "SystemExit: 3");
    has("raise KeyboardInterrupt", traceback, "KeyboardInterrupt");
    has("raise ValueError('\\u20ac \\udce9')", traceback, "ValueError: \xe2\x82\xac \\udce9");
    has("raise ValueError('two\\nlines\\n\\n')", traceback, "ValueError: two\nlines");
    has("try: 1/0\nexcept Exception as e: raise KeyError(1) from e", traceback, "KeyError: 1");
    has("class E(Exception):\n  def __str__(self): raise RuntimeError\nraise E", "Traceback",
        "<exception str() failed>");
}

/* Without the traceback module the type and the message are left. */
static void test_fallback(void)
{
    _cleanup_free_ char *text = NULL, *bad = NULL;

    harness_exec("b", "import traceback\ndef broken(*a): raise MemoryError\n"
                      "saved = traceback.format_exception\ntraceback.format_exception = broken");
    raise("raise ValueError('plain')");
    text = exception_take_text();
    is_string(text, "ValueError: plain");
    raise("class E(Exception):\n  def __str__(self): raise RuntimeError\nraise E");
    bad = exception_take_text();
    is_string(bad, "E");
    harness_exec("b", "traceback.format_exception = saved");
}

static void test_report(void)
{
    _cleanup_free_ char *own = NULL, *foreign = NULL, *syntax = NULL;

    PyErr_SetString(PyExc_ValueError, "wrong");
    own = exception_take_report("cannot do it");
    is_string(own, "cannot do it: wrong");
    raise("raise ValueError('one\\ntwo')");
    foreign = exception_take_report("cannot do it");
    ok(foreign && strncmp(foreign, "cannot do it: ValueError: one\nTraceback", 38) == 0);
    raise("x = = 1");
    syntax = exception_take_report("cannot do it");
    ok(syntax && strstr(syntax, "SyntaxError: invalid syntax") && strstr(syntax, "x = = 1"));
}

static void test_none(void)
{
    _cleanup_free_ char *text = exception_take_text(), *report = exception_take_report("what");

    is_string(text, "an error without an exception");
    is_string(report, "what");
}

int main(void)
{
    harness_start();
    test_text();
    test_fallback();
    test_report();
    test_none();
    interpreter_finalize();
    return tap_done();
}
