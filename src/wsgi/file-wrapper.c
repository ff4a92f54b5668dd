/* SPDX-License-Identifier: MIT */
/* FileWrapper(file, block_size=8192). Whether a file's descriptor has the octets that its read() would give
 * is not guessed from a fileno() method: gzip.GzipFile has one, of the compressed file. It is known only of
 * the io module's own classes, and of objects whose `read` is a bound method of one of these (Django's File,
 * for one). */
#include "wsgi/file-wrapper.h"

#include <stddef.h>
#include <string.h>
#include <sys/stat.h>

/* There is no __init__(), as what never changes needs no lock, nor a tp_clear, as no cycle can be made of what is there
 * before. */
static PyObject *wrapper_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {(char *)"filelike", (char *)"blksize", NULL};
    PyObject *file, *block_size = NULL;
    FileWrapper *self;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|O!:file_wrapper", names, &file, &PyLong_Type,
                                     &block_size))
        return NULL;
    self = (FileWrapper *)type->tp_alloc(type, 0);
    if (!self)
        return NULL;
    self->file = Py_NewRef(file);
    self->block_size = block_size ? Py_NewRef(block_size) : PyLong_FromLong(8192);
    if (!self->block_size)
        Py_CLEAR(self);
    return (PyObject *)self;
}

static PyObject *wrapper_next(PyObject *object)
{
    FileWrapper *self = (FileWrapper *)object;
    _cleanup_decref_ PyObject *read = python_get_attribute(self->file, "read");
    PyObject *block;
    int more;

    block = read ? PyObject_CallOneArg(read, self->block_size) : NULL;
    more = block ? PyObject_IsTrue(block) : -1;
    if (more <= 0)
        Py_CLEAR(block);
    return block;
}

int file_wrapper_close(FileWrapper *self)
{
    _cleanup_decref_ PyObject *close = NULL, *result = NULL;

    if (atomic_exchange(&self->closed, true))
        return 0;
    close = python_get_attribute(self->file, "close");
    if (!close && PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyErr_Clear();
        return 0;
    }
    result = close ? PyObject_CallNoArgs(close) : NULL;
    return result ? 0 : -1;
}

static PyObject *wrapper_close(PyObject *object, PyObject *ignored)
{
    (void)ignored;
    if (file_wrapper_close((FileWrapper *)object) < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* After a failed look at a file that is only an optimisation: the error, if there is one, will show up again
 * when the file is read. Not for what isn't an Exception. */
static int forget_error(void)
{
    if (!PyErr_ExceptionMatches(PyExc_Exception))
        return -1;
    PyErr_Clear();
    return 0;
}

/* The object of the io module that the file's read() reads; NULL without an exception: unknown. */
static PyObject *find_reader(PyObject *file)
{
    _cleanup_decref_ PyObject *read = python_get_attribute(file, "read");

    if (!read || !PyCFunction_Check(read) || strcmp(((PyCFunctionObject *)read)->m_ml->ml_name, "read") != 0)
        return NULL;
    return Py_XNewRef(PyCFunction_GET_SELF(read));
}

/* The FileIO at the bottom of reader, or NULL, possibly with an exception. */
static PyObject *find_file_io(PyObject *reader, const FileTypes *types)
{
    _cleanup_decref_ PyObject *raw = NULL, *flushed = NULL;
    PyObject *type = (PyObject *)Py_TYPE(reader);

    if (type == types->file_io)
        return Py_NewRef(reader);
    if (type != types->buffered_reader && type != types->buffered_random)
        return NULL;
    flushed = python_call_method(reader, "flush");
    raw = flushed ? python_get_attribute(reader, "raw") : NULL;
    return raw && (PyObject *)Py_TYPE(raw) == types->file_io ? TAKE_PTR(raw) : NULL;
}

static int integer_of(PyObject *object, const char *method, long long *ret)
{
    _cleanup_decref_ PyObject *number = python_call_method(object, method);

    *ret = number ? PyLong_AsLongLong(number) : -1;
    return *ret < 0 ? -1 : 0;
}

int file_wrapper_range(FileWrapper *self, const FileTypes *types, FileRange *ret)
{
    _cleanup_decref_ PyObject *reader = NULL, *file_io = NULL;
    long long fd, offset;
    struct stat st;

    reader = find_reader(self->file);
    file_io = reader ? find_file_io(reader, types) : NULL;
    /* tell() of the outer object, because it has octets in its buffer that FileIO has read already. */
    if (!file_io || integer_of(file_io, "fileno", &fd) < 0 || integer_of(reader, "tell", &offset) < 0)
        return PyErr_Occurred() ? forget_error() : 0;
    /* A size of 0 may be that of a file in /proc, which has octets all the same. */
    if (fstat((int)fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size == 0)
        return 0;
    *ret = (FileRange){.fd = (int)fd, .offset = (uint64_t)offset};
    if (st.st_size > offset)
        ret->size = (uint64_t)(st.st_size - offset);
    return 1;
}

static int wrapper_traverse(PyObject *object, visitproc visit, void *arg)
{
    FileWrapper *self = (FileWrapper *)object;

    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->file);
    Py_VISIT(self->block_size);
    return 0;
}

static void wrapper_dealloc(PyObject *object)
{
    PyObject_GC_UnTrack(object);
    Py_CLEAR(((FileWrapper *)object)->file);
    Py_CLEAR(((FileWrapper *)object)->block_size);
    python_free_instance(object);
}

static PyMethodDef wrapper_methods[] = {
    {"close", wrapper_close, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

/* By the names that wsgiref.util.FileWrapper has. */
static PyMemberDef wrapper_members[] = {
    {"filelike", T_OBJECT, offsetof(FileWrapper, file), READONLY, NULL},
    {"blksize", T_OBJECT, offsetof(FileWrapper, block_size), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyTypeObject *wrapper_type_new(void)
{
    PyType_Slot slots[] = {
        {Py_tp_new, wrapper_new},           {Py_tp_dealloc, wrapper_dealloc},
        {Py_tp_traverse, wrapper_traverse}, {Py_tp_iter, PyObject_SelfIter},
        {Py_tp_iternext, wrapper_next},     {Py_tp_methods, wrapper_methods},
        {Py_tp_members, wrapper_members},   {0, NULL},
    };
    PyType_Spec spec = {
        .name = "cgunicorn.FileWrapper",
        .basicsize = sizeof(FileWrapper),
        .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
        .slots = slots,
    };

    return (PyTypeObject *)PyType_FromSpec(&spec);
}

int file_types_init(FileTypes *types)
{
    _cleanup_decref_ PyObject *io = PyImport_ImportModule("io");

    types->wrapper = io ? wrapper_type_new() : NULL;
    if (!types->wrapper)
        return -1;
    types->buffered_reader = PyObject_GetAttrString(io, "BufferedReader");
    types->buffered_random = PyObject_GetAttrString(io, "BufferedRandom");
    types->file_io = PyObject_GetAttrString(io, "FileIO");
    return types->buffered_reader && types->buffered_random && types->file_io ? 0 : -1;
}

void file_types_clear(FileTypes *types)
{
    Py_CLEAR(types->wrapper);
    Py_CLEAR(types->buffered_reader);
    Py_CLEAR(types->buffered_random);
    Py_CLEAR(types->file_io);
}
