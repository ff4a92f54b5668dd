/* SPDX-License-Identifier: MIT */
/* The one file that includes <Python.h>, and what differs between the supported versions of its API. Not a
 * wrapper: the C API is used by its own names. */
#pragma once

/* CPython 3.11 declares what PY_SSIZE_T_CLEAN renames twice. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wredundant-decls"
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>
#pragma GCC diagnostic pop

#include "base/cleanup.h"

#include <stdbool.h>

/* Where there is no GIL, what it was to an object of ours: one thread at a time is inside, but for the time in which
 * that one waits or runs other Python code ("Python Critical Section API"). Else nothing. */
#ifndef Py_BEGIN_CRITICAL_SECTION /* before CPython 3.13 */
#    define Py_BEGIN_CRITICAL_SECTION(object) {
#    define Py_END_CRITICAL_SECTION() }
#endif

#ifdef Py_GIL_DISABLED
#    define PYTHON_HAS_GIL false
#else
#    define PYTHON_HAS_GIL true
#endif

static inline void python_decrefp(PyObject **p)
{
    Py_XDECREF(*p);
}
#define _cleanup_decref_ _cleanup_(python_decrefp)

/* The current exception, with its traceback set, as a new reference; it is no longer current. NULL: there is
 * none. */
static inline PyObject *python_take_exception(void)
{
#if PY_VERSION_HEX >= 0x030c0000
    return PyErr_GetRaisedException();
#else
    PyObject *type, *value, *traceback;

    PyErr_Fetch(&type, &value, &traceback);
    if (!type)
        return NULL;
    PyErr_NormalizeException(&type, &value, &traceback);
    /* Also if there is none: the import system takes its frames off here, not off the exception object. */
    PyException_SetTraceback(value, traceback ? traceback : Py_None);
    Py_DECREF(type);
    Py_XDECREF(traceback);
    return value;
#endif
}

/* Whether Python code had a part in the exception. */
static inline bool python_has_traceback(PyObject *exception)
{
    _cleanup_decref_ PyObject *traceback = PyException_GetTraceback(exception);

    return traceback && !Py_IsNone(traceback);
}

/* Whether those n references are all that there are to the object. Without a GIL nobody can tell: other threads take
 * and give back theirs meanwhile. */
static inline bool python_is_held_by(PyObject *object, Py_ssize_t n)
{
    return PYTHON_HAS_GIL && Py_REFCNT(object) == n;
}

/* Like PyObject_GetAttrString(), but by an interned name: CPython's cache of methods keeps each str that it
 * is asked by, and a new one every time would fill it. */
static inline PyObject *python_get_attribute(PyObject *object, const char *name)
{
    _cleanup_decref_ PyObject *string = PyUnicode_InternFromString(name);

    return string ? PyObject_GetAttr(object, string) : NULL;
}

/* Calls object.name(). */
static inline PyObject *python_call_method(PyObject *object, const char *name)
{
    _cleanup_decref_ PyObject *method = python_get_attribute(object, name);

    return method ? PyObject_CallNoArgs(method) : NULL;
}

/* For tp_dealloc of types made by PyType_FromSpec(): their instances own a reference to them. */
static inline void python_free_instance(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);

    type->tp_free(self);
    Py_DECREF(type);
}
