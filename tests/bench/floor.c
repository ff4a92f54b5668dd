/* SPDX-License-Identifier: MIT */
/* The floor of the benchmark: what a WSGI call costs at least. The environ is complete and made anew for each request,
 * the application is the real one, but nothing is checked, logged, timed or encoded that a server has to. */
#define PY_SSIZE_T_CLEAN
#include "limit.h"

#include <Python.h>
#include <ctype.h>
#include <string.h>
#include <strings.h>

#define NAMES_MAX 256

typedef struct Name {
    char name[48];
    size_t size;
    PyObject *key;
} Name;

static PyObject *app, *base, *start_response, *bytes_io, *status, *headers;
static PyObject *key_method, *key_path, *key_query, *key_port, *key_input, *get;
static Name names[NAMES_MAX]; /* of header fields, by hash */

static void check(const void *result)
{
    if (result)
        return;
    PyErr_Print();
    exit(1);
}

/* --- start --- */

static PyObject *on_start_response(PyObject *Py_UNUSED(self), PyObject *const *args, Py_ssize_t n)
{
    if (n < 2 || !PyUnicode_Check(args[0]) || !PyList_Check(args[1])) {
        PyErr_SetString(PyExc_TypeError, "start_response(status, headers)");
        return NULL;
    }
    Py_XSETREF(status, Py_NewRef(args[0]));
    Py_XSETREF(headers, Py_NewRef(args[1]));
    Py_RETURN_NONE;
}

static PyMethodDef start_response_method = {"start_response", (PyCFunction)(void (*)(void))on_start_response,
                                            METH_FASTCALL, NULL};

/* The keys of a request are there from the start, so that the copy has room for them. */
static void make_base(int port)
{
    base = Py_BuildValue("{s:(ii),s:s,s:O,s:O,s:O,s:O,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:O}",
                         "wsgi.version", 1, 0, "wsgi.url_scheme", "http", "wsgi.errors",
                         PySys_GetObject("stderr"), "wsgi.multithread", Py_False, "wsgi.multiprocess",
                         Py_False, "wsgi.run_once", Py_False, "SERVER_SOFTWARE", "floor", "SERVER_NAME",
                         "127.0.0.1", "SERVER_PORT", "0", "SERVER_PROTOCOL", "HTTP/1.1", "SCRIPT_NAME", "",
                         "REMOTE_ADDR", "127.0.0.1", "REQUEST_METHOD", "GET", "PATH_INFO", "", "QUERY_STRING",
                         "", "REMOTE_PORT", "0", "wsgi.input", Py_None);
    check(base);
    PyDict_SetItemString(base, "SERVER_PORT", PyUnicode_FromFormat("%d", port));
}

void floor_start(const char *name, int port)
{
    const char *colon = name ? strchr(name, ':') : NULL;
    PyObject *module;

    Py_Initialize();
    if (!colon)
        Py_FatalError("no application: -a MODULE:CALLABLE");
    module = PyImport_Import(PyUnicode_FromStringAndSize(name, colon - name));
    check(module);
    app = PyObject_GetAttrString(module, colon + 1);
    check(app);
    make_base(port);
    start_response = PyCFunction_New(&start_response_method, NULL);
    module = PyImport_ImportModule("io");
    check(module);
    bytes_io = PyObject_GetAttrString(module, "BytesIO");
    key_method = PyUnicode_InternFromString("REQUEST_METHOD");
    key_path = PyUnicode_InternFromString("PATH_INFO");
    key_query = PyUnicode_InternFromString("QUERY_STRING");
    key_port = PyUnicode_InternFromString("REMOTE_PORT");
    key_input = PyUnicode_InternFromString("wsgi.input");
    get = PyUnicode_InternFromString("GET");
}

/* --- environ --- */

static void environ_set(PyObject *environ, PyObject *key, PyObject *value)
{
    PyDict_SetItem(environ, key, value);
    Py_DECREF(value);
}

static void environ_set_text(PyObject *environ, PyObject *key, const char *data, size_t size)
{
    environ_set(environ, key, PyUnicode_DecodeLatin1(data, (Py_ssize_t)size, NULL));
}

static PyObject *key_new(const char *name, size_t size)
{
    char key[64] = "HTTP_";

    for (size_t i = 0; i < size; i++)
        key[5 + i] = name[i] == '-' ? '_' : (char)toupper((unsigned char)name[i]);
    return PyUnicode_InternFromString(key);
}

/* The environ's key for a field name, remembered by its octets. A new reference. */
static PyObject *key_of(const char *name, size_t size)
{
    Name *n = &names[(size * 31 + (unsigned char)name[0] * 7 + (unsigned char)name[size / 2]) % NAMES_MAX];

    if (size >= sizeof n->name)
        return key_new(name, sizeof n->name - 1);
    if (n->size != size || memcmp(n->name, name, size) != 0) {
        Py_XSETREF(n->key, key_new(name, size));
        memcpy(n->name, name, size);
        n->size = size;
    }
    return Py_NewRef(n->key);
}

static PyObject *environ_new(const Head *h)
{
    PyObject *environ = PyDict_Copy(base);
    const char *target = h->data + 4, *end = memchr(target, ' ', h->size),
               *query = memchr(target, '?', (size_t)(end - target));
    const char *path_end = query ? query : end;

    PyDict_SetItem(environ, key_method, get);
    environ_set_text(environ, key_path, target, (size_t)(path_end - target));
    environ_set_text(environ, key_query, query ? query + 1 : end, query ? (size_t)(end - query - 1) : 0);
    environ_set_text(environ, key_port, "51234", 5);
    environ_set(environ, key_input, PyObject_CallNoArgs(bytes_io));
    for (size_t i = 0; i < h->n_fields; i++) {
        const Field *f = &h->fields[i];
        PyObject *key = key_of(f->name, f->n_name);

        environ_set_text(environ, key, f->value, f->n_value);
        Py_DECREF(key);
    }
    return environ;
}

/* --- answer --- */

/* All blocks as one, and the end of the iterable. */
static PyObject *join_blocks(PyObject *blocks)
{
    PyObject *first, *more, *iterator, *end;

    if (PyList_CheckExact(blocks) && PyList_GET_SIZE(blocks) == 1)
        return Py_NewRef(PyList_GET_ITEM(blocks, 0));
    iterator = PyObject_GetIter(blocks);
    check(iterator);
    first = PyIter_Next(iterator);
    check(first);
    while ((more = PyIter_Next(iterator)))
        PyBytes_ConcatAndDel(&first, more);
    Py_DECREF(iterator);
    end = PyObject_CallMethod(blocks, "close", NULL);
    if (!end)
        PyErr_Clear();
    Py_XDECREF(end);
    return first;
}

static char *put(char *to, const char *data, size_t size)
{
    return (char *)memcpy(to, data, size) + size;
}

static char *put_text(char *to, PyObject *text)
{
    Py_ssize_t n;
    const char *data = PyUnicode_AsUTF8AndSize(text, &n);

    return put(to, data, (size_t)n);
}

static char *put_headers(char *to, bool *has_length)
{
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(headers); i++) {
        PyObject *field = PyList_GET_ITEM(headers, i);
        const char *name = to;

        to = put_text(to, PyTuple_GET_ITEM(field, 0));
        if (to - name == 14 && strncasecmp(name, "Content-Length", 14) == 0)
            *has_length = true;
        to = put(to, ": ", 2);
        to = put_text(to, PyTuple_GET_ITEM(field, 1));
        to = put(to, "\r\n", 2);
    }
    return to;
}

size_t floor_answer(const Head *h, char *answer)
{
    static const char fixed[] = "\r\nServer: floor\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n",
                      bye[] = "Connection: close\r\n";
    PyObject *environ = environ_new(h), *args[] = {NULL, environ, start_response}, *blocks, *body;
    bool has_length = false;
    char *to;

    blocks = PyObject_Vectorcall(app, args + 1, 2 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    check(blocks);
    body = join_blocks(blocks);
    to = put(answer, "HTTP/1.1 ", 9);
    to = put_text(to, status);
    to = put(to, fixed, sizeof fixed - 1);
    to = put_headers(to, &has_length);
    if (!has_length)
        to += sprintf(to, "Content-Length: %zd\r\n", PyBytes_GET_SIZE(body));
    if (h->closing)
        to = put(to, bye, sizeof bye - 1);
    to = put(to, "\r\n", 2);
    to = put(to, PyBytes_AS_STRING(body), (size_t)PyBytes_GET_SIZE(body));
    Py_DECREF(body);
    Py_DECREF(blocks);
    Py_DECREF(environ);
    return (size_t)(to - answer);
}
