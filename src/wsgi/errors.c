/* SPDX-License-Identifier: MIT */
/* wsgi.errors: UTF-8, complete lines by one write(2). What can't be written is dropped: a full or closed log
 * must not fail the request that wanted to log. */
#include "wsgi/errors.h"

#include "base/fd.h"

#include <stdbool.h>

/* A line longer than this goes out in pieces. */
#define PENDING_MAX 65536

/* Without the GIL and the object's lock, because the reader of a pipe may be slow; so `data` must not be reachable for
 * others. */
static void write_out(int fd, const char *data, size_t n)
{
    Py_BEGIN_ALLOW_THREADS(void)
    fd_write_all(fd, data, n);
    Py_END_ALLOW_THREADS
}

static void write_pending(Errors *self)
{
    Buffer taken = self->pending;

    if (buffer_size(&taken) == 0)
        return;
    buffer_init(&self->pending);
    write_out(self->fd, buffer_head(&taken), buffer_size(&taken));
    buffer_deinit(&taken);
}

static int append_pending(Errors *self, const char *data, size_t n)
{
    if (buffer_append(&self->pending, data, n) < 0) {
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

/* data stays valid while other threads run. */
static int write_lines(Errors *self, const char *data, size_t n)
{
    const char *newline = memrchr(data, '\n', n);
    size_t whole = newline ? (size_t)(newline - data) + 1 : 0;

    if (whole > 0 && buffer_size(&self->pending) == 0) {
        write_out(self->fd, data, whole);
    } else if (whole > 0) {
        if (append_pending(self, data, whole) < 0)
            return -1;
        write_pending(self);
    }
    if (n > whole && append_pending(self, data + whole, n - whole) < 0)
        return -1;
    if (buffer_size(&self->pending) > PENDING_MAX)
        write_pending(self);
    return 0;
}

static int write_string(Errors *self, PyObject *string)
{
    _cleanup_decref_ PyObject *bytes = NULL;
    int r;

    if (!PyUnicode_Check(string)) {
        PyErr_Format(PyExc_TypeError,
                     "wsgi.errors takes str, not %.200s (PEP 3333, \"Input and Error Streams\")",
                     Py_TYPE(string)->tp_name);
        return -1;
    }
    bytes = PyUnicode_AsEncodedString(string, "utf-8", "backslashreplace");
    if (!bytes)
        return -1;
    Py_BEGIN_CRITICAL_SECTION(self);
    r = write_lines(self, PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes));
    Py_END_CRITICAL_SECTION();
    return r;
}

static PyObject *errors_write(PyObject *object, PyObject *string)
{
    if (write_string((Errors *)object, string) < 0)
        return NULL;
    return PyLong_FromSsize_t(PyUnicode_GET_LENGTH(string));
}

static PyObject *errors_writelines(PyObject *object, PyObject *lines)
{
    _cleanup_decref_ PyObject *iterator = PyObject_GetIter(lines);

    if (!iterator)
        return NULL;
    for (;;) {
        _cleanup_decref_ PyObject *line = PyIter_Next(iterator);

        if (!line)
            break;
        if (write_string((Errors *)object, line) < 0)
            return NULL;
    }
    if (PyErr_Occurred())
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *errors_flush(PyObject *object, PyObject *ignored)
{
    (void)ignored;
    Py_BEGIN_CRITICAL_SECTION(object);
    write_pending((Errors *)object);
    Py_END_CRITICAL_SECTION();
    Py_RETURN_NONE;
}

static void errors_dealloc(PyObject *object)
{
    Errors *self = (Errors *)object;

    if (buffer_size(&self->pending) > 0)
        (void)fd_write_all(self->fd, buffer_head(&self->pending), buffer_size(&self->pending));
    buffer_deinit(&self->pending);
    python_free_instance(object);
}

static PyMethodDef errors_methods[] = {
    {"write", errors_write, METH_O, NULL},
    {"writelines", errors_writelines, METH_O, NULL},
    {"flush", errors_flush, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

PyTypeObject *errors_type_new(void)
{
    PyType_Slot slots[] = {
        {Py_tp_dealloc, errors_dealloc},
        {Py_tp_methods, errors_methods},
        {0, NULL},
    };
    PyType_Spec spec = {
        .name = "cgunicorn.Errors",
        .basicsize = sizeof(Errors),
        .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
        .slots = slots,
    };

    return (PyTypeObject *)PyType_FromSpec(&spec);
}

Errors *errors_new(PyTypeObject *type, int fd)
{
    Errors *self = PyObject_New(Errors, type);

    if (!self)
        return NULL;
    self->fd = fd;
    buffer_init(&self->pending);
    return self;
}

void errors_end_line(Errors *errors)
{
    Py_BEGIN_CRITICAL_SECTION(errors);
    if (buffer_size(&errors->pending) > 0) {
        (void)buffer_append(&errors->pending, "\n", 1);
        write_pending(errors);
    }
    Py_END_CRITICAL_SECTION();
}
