/* SPDX-License-Identifier: MIT */
/* wsgi.input: its methods, and reading from a Spool, which it only looks at. There the GIL is held throughout, or,
 * where there is none, the object is locked, so that a thread that outlives its request finds either the body or, after
 * input_detach(), none. */
#include "wsgi/input.h"

static bool input_is_open(const Input *self)
{
    bool is_closed = input_is_closed(self);

    if (is_closed)
        PyErr_SetString(PyExc_ValueError, "I/O operation on closed file.");
    return !is_closed;
}

static uint64_t bytes_left(const Input *self)
{
    uint64_t size = self->spool ? spool_size(self->spool) : 0;

    return size > self->position ? size - self->position : 0;
}

/* The optional size argument of the read methods: None and negative numbers mean all there is. */
static int parse_size_argument(const char *method, PyObject *const *args, Py_ssize_t n_args, uint64_t *ret)
{
    Py_ssize_t size;

    if (n_args > 1) {
        PyErr_Format(PyExc_TypeError, "%s() takes at most 1 argument (%zd given)", method, n_args);
        return -1;
    }
    *ret = UINT64_MAX;
    if (n_args == 0 || Py_IsNone(args[0]))
        return 0;
    size = PyNumber_AsSsize_t(args[0], NULL);
    if (size == -1 && PyErr_Occurred())
        return -1;
    if (size >= 0)
        *ret = (uint64_t)size;
    return 0;
}

/* Copies n bytes, which are known to be there, without moving on. */
static int copy_bytes(const Input *self, char *to, size_t n)
{
    uint64_t from = self->position;

    while (n > 0) {
        ssize_t k = spool_peek(self->spool, from, to, n);

        if (k <= 0) {
            errno = k < 0 ? (int)-k : EIO;
            PyErr_SetFromErrno(PyExc_OSError);
            return -1;
        }
        from += (uint64_t)k;
        to += k;
        n -= (size_t)k;
    }
    return 0;
}

static PyObject *take_spooled(const Input *self, uint64_t n)
{
    PyObject *bytes;

    n = MIN(n, bytes_left(self));
    if (n > 0 && self->spool->owner && n == spool_size(self->spool)) /* see body-memory.h */
        return Py_NewRef((PyObject *)self->spool->owner);
    if (n > PY_SSIZE_T_MAX)
        return PyErr_NoMemory();
    bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)n);
    if (!bytes)
        return NULL;
    if (copy_bytes(self, PyBytes_AS_STRING(bytes), (size_t)n) < 0) {
        Py_DECREF(bytes);
        return NULL;
    }
    return bytes;
}

/* Length of the line that comes next, with its newline, max at most. 0 or -1. */
static int measure_line(const Input *self, uint64_t max, uint64_t *ret)
{
    uint64_t length = 0;

    max = MIN(max, bytes_left(self));
    while (length < max) {
        char block[4096], *newline;
        ssize_t n = spool_peek(self->spool, self->position + length, block,
                               (size_t)MIN(max - length, (uint64_t)sizeof(block)));

        if (n <= 0) {
            errno = n < 0 ? (int)-n : EIO;
            PyErr_SetFromErrno(PyExc_OSError);
            return -1;
        }
        newline = memchr(block, '\n', (size_t)n);
        length += newline ? (uint64_t)(newline - block) + 1 : (uint64_t)n;
        if (newline)
            break;
    }
    *ret = length;
    return 0;
}

static PyObject *take_spooled_line(const Input *self, uint64_t max)
{
    uint64_t length;

    return measure_line(self, max, &length) < 0 ? NULL : take_spooled(self, length);
}

/* --- from either --- */

/* bytes: what was taken, or NULL with an exception. */
static PyObject *move_on(Input *self, PyObject *bytes)
{
    if (bytes)
        self->position += (uint64_t)PyBytes_GET_SIZE(bytes);
    return bytes;
}

/* The next n bytes at most; without `all`, what is there will do. */
static PyObject *take_bytes(Input *self, uint64_t n, bool all)
{
    PyObject *bytes;

    Py_BEGIN_CRITICAL_SECTION(self);
    bytes = move_on(self, self->live.source ? live_input_read(&self->live, n, all) : take_spooled(self, n));
    Py_END_CRITICAL_SECTION();
    return bytes;
}

static PyObject *take_line(Input *self, uint64_t max)
{
    PyObject *line;

    Py_BEGIN_CRITICAL_SECTION(self);
    line = move_on(self,
                   self->live.source ? live_input_read_line(&self->live, max) : take_spooled_line(self, max));
    Py_END_CRITICAL_SECTION();
    return line;
}

static Py_ssize_t take_spooled_into(const Input *self, char *to, size_t size)
{
    size_t n = (size_t)MIN((uint64_t)size, bytes_left(self));

    return copy_bytes(self, to, n) < 0 ? -1 : (Py_ssize_t)n;
}

static Py_ssize_t take_into(Input *self, char *to, size_t size, bool all)
{
    Py_ssize_t n;

    Py_BEGIN_CRITICAL_SECTION(self);
    n = self->live.source ? live_input_read_into(&self->live, to, size, all)
                          : take_spooled_into(self, to, size);
    self->position += n > 0 ? (uint64_t)n : 0;
    Py_END_CRITICAL_SECTION();
    return n;
}

/* --- methods --- */

static PyObject *read_bytes(const char *method, PyObject *object, PyObject *const *args, Py_ssize_t n_args,
                            bool all)
{
    Input *self = (Input *)object;
    uint64_t size;

    if (parse_size_argument(method, args, n_args, &size) < 0 || !input_is_open(self))
        return NULL;
    return take_bytes(self, size, all);
}

static PyObject *input_read(PyObject *object, PyObject *const *args, Py_ssize_t n_args)
{
    return read_bytes("read", object, args, n_args, true);
}

static PyObject *input_read1(PyObject *object, PyObject *const *args, Py_ssize_t n_args)
{
    return read_bytes("read1", object, args, n_args, false);
}

static PyObject *input_readline(PyObject *object, PyObject *const *args, Py_ssize_t n_args)
{
    Input *self = (Input *)object;
    uint64_t size;

    if (parse_size_argument("readline", args, n_args, &size) < 0 || !input_is_open(self))
        return NULL;
    return take_line(self, size);
}

/* The hint is a number of bytes after which no further line is read; 0, like None, is no hint. */
static PyObject *input_readlines(PyObject *object, PyObject *const *args, Py_ssize_t n_args)
{
    Input *self = (Input *)object;
    _cleanup_decref_ PyObject *lines = NULL;
    uint64_t hint, total = 0;

    if (parse_size_argument("readlines", args, n_args, &hint) < 0 || !input_is_open(self))
        return NULL;
    lines = PyList_New(0);
    if (!lines)
        return NULL;
    if (hint == 0)
        hint = UINT64_MAX;
    while (total < hint) {
        _cleanup_decref_ PyObject *line = take_line(self, UINT64_MAX);

        if (line && PyBytes_GET_SIZE(line) == 0)
            break;
        if (!line || PyList_Append(lines, line) < 0)
            return NULL;
        total += (uint64_t)PyBytes_GET_SIZE(line);
    }
    return TAKE_PTR(lines);
}

static PyObject *read_into(PyObject *object, PyObject *argument, bool all)
{
    Input *self = (Input *)object;
    Py_buffer buffer;
    Py_ssize_t n;

    if (!input_is_open(self))
        return NULL;
    if (!PyArg_Parse(argument, "w*:readinto", &buffer))
        return NULL;
    n = take_into(self, buffer.buf, (size_t)buffer.len, all);
    PyBuffer_Release(&buffer);
    return n < 0 ? NULL : PyLong_FromSsize_t(n);
}

static PyObject *input_readinto(PyObject *object, PyObject *argument)
{
    return read_into(object, argument, true);
}

static PyObject *input_readinto1(PyObject *object, PyObject *argument)
{
    return read_into(object, argument, false);
}

static PyObject *input_next(PyObject *object)
{
    Input *self = (Input *)object;
    PyObject *line = input_is_open(self) ? take_line(self, UINT64_MAX) : NULL;

    if (line && PyBytes_GET_SIZE(line) == 0)
        Py_CLEAR(line);
    return line;
}

static uint64_t position_of(Input *self)
{
    uint64_t position;

    Py_BEGIN_CRITICAL_SECTION(self);
    position = self->position;
    Py_END_CRITICAL_SECTION();
    return position;
}

static PyObject *input_tell(PyObject *object, PyObject *ignored)
{
    Input *self = (Input *)object;

    (void)ignored;
    return input_is_open(self) ? PyLong_FromUnsignedLongLong(position_of(self)) : NULL;
}

static PyObject *input_close(PyObject *object, PyObject *ignored)
{
    (void)ignored;
    input_set_closed((Input *)object, true);
    Py_RETURN_NONE;
}

/* readable(), writable(), seekable() and flush() are what io.BufferedReader and io.TextIOWrapper ask of what
 * they wrap. */
static PyObject *input_answer(PyObject *object, PyObject *answer)
{
    return input_is_open((Input *)object) ? Py_NewRef(answer) : NULL;
}

static PyObject *input_readable(PyObject *object, PyObject *ignored)
{
    (void)ignored;
    return input_answer(object, Py_True);
}

static PyObject *input_no(PyObject *object, PyObject *ignored)
{
    (void)ignored;
    return input_answer(object, Py_False);
}

static PyObject *input_flush(PyObject *object, PyObject *ignored)
{
    (void)ignored;
    return input_answer(object, Py_None);
}

static PyObject *input_get_closed(PyObject *object, void *closure)
{
    (void)closure;
    return PyBool_FromLong(input_is_closed((Input *)object));
}

#define FAST(f) ((PyCFunction)(void (*)(void))(f))

static PyMethodDef input_methods[] = {
    {"read", FAST(input_read), METH_FASTCALL, NULL},
    {"read1", FAST(input_read1), METH_FASTCALL, NULL},
    {"readinto", input_readinto, METH_O, NULL},
    {"readinto1", input_readinto1, METH_O, NULL},
    {"readline", FAST(input_readline), METH_FASTCALL, NULL},
    {"readlines", FAST(input_readlines), METH_FASTCALL, NULL},
    {"tell", input_tell, METH_NOARGS, NULL},
    {"close", input_close, METH_NOARGS, NULL},
    {"readable", input_readable, METH_NOARGS, NULL},
    {"writable", input_no, METH_NOARGS, NULL},
    {"seekable", input_no, METH_NOARGS, NULL},
    {"flush", input_flush, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef input_getset[] = {
    {"closed", input_get_closed, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyTypeObject *input_type_new(void)
{
    PyType_Slot slots[] = {
        {Py_tp_dealloc, python_free_instance}, {Py_tp_iter, PyObject_SelfIter}, {Py_tp_iternext, input_next},
        {Py_tp_methods, input_methods},        {Py_tp_getset, input_getset},    {0, NULL},
    };
    PyType_Spec spec = {
        .name = "cgunicorn.Input",
        .basicsize = sizeof(Input),
        .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
        .slots = slots,
    };

    return (PyTypeObject *)PyType_FromSpec(&spec);
}

Input *input_new(PyTypeObject *type)
{
    Input *self = PyObject_New(Input, type);

    if (self) {
        self->live = (LiveInput){0};
        buffer_init(&self->live.ahead);
        input_attach(self, NULL, NULL);
    }
    return self;
}
