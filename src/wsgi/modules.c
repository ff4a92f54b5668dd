/* SPDX-License-Identifier: MIT */
/* sys.modules and sys.path as directories. */
#include "wsgi/python.h"

#include "wsgi/modules.h"

#include <stdatomic.h>
#include <string.h>

struct WsgiModules {
    PyObject *told;            /* a set of bytes */
    PyObject *standard;        /* bytes: the directory of the standard library */
    _Atomic Py_ssize_t n_seen; /* of sys.modules */
};

/* Of a file, as bytes; NULL without an exception where it has none. */
static PyObject *directory_of(PyObject *file)
{
    _cleanup_decref_ PyObject *path = file && PyUnicode_Check(file) ? PyUnicode_EncodeFSDefault(file) : NULL;
    const char *slash = path ? strrchr(PyBytes_AS_STRING(path), '/') : NULL;

    return slash ? PyBytes_FromStringAndSize(PyBytes_AS_STRING(path), slash - PyBytes_AS_STRING(path)) : NULL;
}

/* Packages that are installed below the standard library are not of it (site.py). */
static bool is_standard(const WsgiModules *m, const char *directory)
{
    size_t n = m->standard ? (size_t)PyBytes_GET_SIZE(m->standard) : 0;

    if (n == 0 || strncmp(directory, PyBytes_AS_STRING(m->standard), n) != 0)
        return false;
    directory += n;
    return *directory == '\0' || (*directory == '/' && !strstr(directory, "/site-packages") &&
                                  !strstr(directory, "/dist-packages"));
}

/* Takes the reference; the rest is "<frozen …>" and the like. */
static void tell(WsgiModules *m, PyObject *directory, Buffer *to)
{
    _cleanup_decref_ PyObject *owned = directory;
    const char *text = owned ? PyBytes_AS_STRING(owned) : "";

    PyErr_Clear();
    if (*text == '/' && !strchr(text, '\n') && !is_standard(m, text) && PySet_Contains(m->told, owned) == 0 &&
        PySet_Add(m->told, owned) == 0)
        (void)buffer_printf(to, "%s\n", text);
}

static void tell_list(WsgiModules *m, PyObject *paths, Buffer *to)
{
    _cleanup_decref_ PyObject *list = paths ? PySequence_List(paths) : NULL;

    for (Py_ssize_t i = 0; list && i < PyList_GET_SIZE(list); i++) {
        PyObject *path = PyList_GET_ITEM(list, i);

        if (PyUnicode_Check(path))
            tell(m, PyUnicode_EncodeFSDefault(path), to);
    }
}

/* A new reference, or NULL: a module that is being imported changes. */
static PyObject *item_of(PyObject *dict, const char *name)
{
    PyObject *item;

    Py_BEGIN_CRITICAL_SECTION(dict);
    item = Py_XNewRef(PyDict_GetItemString(dict, name));
    Py_END_CRITICAL_SECTION();
    return item;
}

/* Asks the dictionary and not the module, which may import something to have the attribute. */
static void tell_module(WsgiModules *m, PyObject *module, Buffer *to)
{
    PyObject *names = PyModule_Check(module) ? PyModule_GetDict(module) : NULL;
    _cleanup_decref_ PyObject *file = NULL, *path = NULL;

    if (!names)
        return;
    file = item_of(names, "__file__");
    path = item_of(names, "__path__");
    tell(m, directory_of(file), to);
    tell_list(m, path, to);
    PyErr_Clear();
}

void wsgi_modules_tell(WsgiModules *m, Buffer *to)
{
    PyObject *modules = PyImport_GetModuleDict();
    _cleanup_decref_ PyObject *values = NULL, *sys = NULL, *path = NULL;
    Py_ssize_t n = PyDict_Size(modules);

    if (atomic_exchange(&m->n_seen, n) == n)
        return;
    sys = PyImport_ImportModule("sys");
    values = PyDict_Values(modules);
    for (Py_ssize_t i = 0; values && i < PyList_GET_SIZE(values); i++)
        tell_module(m, PyList_GET_ITEM(values, i), to);
    path = sys ? python_get_attribute(sys, "path") : NULL;
    tell_list(m, path, to);
    PyErr_Clear();
}

WsgiModules *wsgi_modules_free(WsgiModules *m)
{
    if (!m)
        return NULL;
    Py_XDECREF(m->told);
    Py_XDECREF(m->standard);
    free(m);
    return NULL;
}

WsgiModules *wsgi_modules_new(void)
{
    _cleanup_(wsgi_modules_freep) WsgiModules *m = calloc(1, sizeof(*m));
    _cleanup_decref_ PyObject *os = NULL, *file = NULL;

    if (!m)
        return NULL;
    m->told = PySet_New(NULL);
    os = PyImport_ImportModule("os");
    file = os ? PyObject_GetAttrString(os, "__file__") : NULL;
    m->standard = directory_of(file);
    PyErr_Clear();
    return m->told ? TAKE_PTR(m) : NULL;
}
