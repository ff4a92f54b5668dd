/* SPDX-License-Identifier: MIT */
/* start_response(status, headers[, exc_info]) → write(data), and wsgi.early_hints(headers), which sends a 103 before
 * that (RFC 8297). What is wrong with their arguments is raised to the application that gave them. */
#include "wsgi/start-response.h"

#include <stddef.h>

#define WANTED "start_response(status, headers, exc_info=None) (PEP 3333): "
#define HINTS_WANTED "wsgi.early_hints(headers) (RFC 8297): "

/* The octets of a native string (PEP 3333, "A Note On String Types"), borrowed; NULL and an exception if it
 * has others. */
static const char *latin1_of(PyObject *string, size_t *ret_size, const char *wanted)
{
    if (PyUnicode_KIND(string) != PyUnicode_1BYTE_KIND) {
        PyErr_Format(PyExc_ValueError, "%s%A has characters that are not Latin-1", wanted, string);
        return NULL;
    }
    *ret_size = (size_t)PyUnicode_GET_LENGTH(string);
    return (const char *)PyUnicode_1BYTE_DATA(string);
}

/* r: what one of the Response setters returned for name (NULL: the status) and value. */
static int raise_response_error(int r, const char *wanted, PyObject *name, PyObject *value)
{
    if (r == -ENOMEM)
        PyErr_NoMemory();
    else if (!name)
        PyErr_Format(PyExc_ValueError, "%sstatus %A: %s", wanted, value, response_error_text(r));
    else
        PyErr_Format(PyExc_ValueError, "%sheader %A: %A: %s", wanted, name, value, response_error_text(r));
    return -1;
}

static int set_status(Response *response, PyObject *status)
{
    const char *data;
    size_t size;
    int r;

    if (!PyUnicode_Check(status)) {
        PyErr_Format(PyExc_TypeError, WANTED "status is a str such as '200 OK', not %.200s",
                     Py_TYPE(status)->tp_name);
        return -1;
    }
    data = latin1_of(status, &size, WANTED);
    if (!data)
        return -1;
    r = response_set_status(response, data, size);
    return r == 0 ? 0 : raise_response_error(r, WANTED, NULL, status);
}

/* What the fields of a list are added to: a response, or the head of a hint. */
typedef struct HeaderTarget {
    const char *wanted;
    Response *response;
    Buffer *hint;
} HeaderTarget;

static int add_header(const HeaderTarget *to, PyObject *pair)
{
    const char *name, *value;
    size_t name_size, value_size;
    int r;

    if (!PyTuple_Check(pair) || PyTuple_GET_SIZE(pair) != 2 || !PyUnicode_Check(PyTuple_GET_ITEM(pair, 0)) ||
        !PyUnicode_Check(PyTuple_GET_ITEM(pair, 1))) {
        PyErr_Format(PyExc_TypeError, "%sheaders is a list of (name, value) tuples of str; %R is in it",
                     to->wanted, pair);
        return -1;
    }
    name = latin1_of(PyTuple_GET_ITEM(pair, 0), &name_size, to->wanted);
    value = name ? latin1_of(PyTuple_GET_ITEM(pair, 1), &value_size, to->wanted) : NULL;
    if (!value)
        return -1;
    r = to->response ? response_add_field(to->response, name, name_size, value, value_size)
                     : response_add_hint(to->hint, name, name_size, value, value_size);
    if (r == 0)
        return 0;
    return raise_response_error(r, to->wanted, PyTuple_GET_ITEM(pair, 0), PyTuple_GET_ITEM(pair, 1));
}

static int add_list(const HeaderTarget *to, PyObject *list)
{
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list); i++)
        if (add_header(to, PyList_GET_ITEM(list, i)) < 0)
            return -1;
    return 0;
}

static int add_headers(const HeaderTarget *to, PyObject *headers)
{
    int r;

    if (!PyList_Check(headers)) {
        PyErr_Format(PyExc_TypeError, "%sheaders is a list of (name, value) tuples, not %.200s", to->wanted,
                     Py_TYPE(headers)->tp_name);
        return -1;
    }
    Py_BEGIN_CRITICAL_SECTION(headers);
    r = add_list(to, headers);
    Py_END_CRITICAL_SECTION();
    return r;
}

static int set_head(Response *response, PyObject *status, PyObject *headers)
{
    if (set_status(response, status) < 0)
        return -1;
    return add_headers(&(HeaderTarget){.wanted = WANTED, .response = response}, headers);
}

/* Raises again what exc_info holds, because the head has gone out already. */
static void raise_exc_info(PyObject *exc_info)
{
    PyObject *value = PyTuple_GET_ITEM(exc_info, 1), *traceback = PyTuple_GET_ITEM(exc_info, 2);

    if (PyTraceBack_Check(traceback))
        PyException_SetTraceback(value, traceback);
    PyErr_SetObject((PyObject *)Py_TYPE(value), value);
}

/* Whether this call may set the head, at all or anew. */
static int check_order(Delivery *x, PyObject *exc_info)
{
    if (!exc_info) {
        if (!x->started)
            return 0;
        PyErr_SetString(PyExc_AssertionError, WANTED "called a second time without exc_info");
        return -1;
    }
    if (!PyTuple_Check(exc_info) || PyTuple_GET_SIZE(exc_info) != 3 ||
        !PyExceptionInstance_Check(PyTuple_GET_ITEM(exc_info, 1))) {
        PyErr_SetString(PyExc_TypeError, WANTED "exc_info is the tuple that sys.exc_info() gives");
        return -1;
    }
    if (!x->begun)
        return 0;
    raise_exc_info(exc_info);
    return -1;
}

/* exc_info of the call, NULL for none or None; the other arguments are args[0] and args[1]. */
static int parse_arguments(PyObject *const *args, size_t n_args, PyObject *names, PyObject **ret_exc_info)
{
    Py_ssize_t n_names = names ? PyTuple_GET_SIZE(names) : 0;
    PyObject *exc_info;

    if ((n_args != 2 && n_args != 3) || (n_args == 3 && n_names > 0) || n_names > 1 ||
        (n_names == 1 && PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(names, 0), "exc_info") != 0)) {
        PyErr_SetString(PyExc_TypeError, WANTED "takes two positional arguments, and exc_info");
        return -1;
    }
    exc_info = n_args == 3 || n_names == 1 ? args[2] : Py_None;
    *ret_exc_info = Py_IsNone(exc_info) ? NULL : exc_info;
    return 0;
}

static bool is_in_thread(PyObject *callable)
{
    return PyThread_get_thread_ident() == ((DeliveryCallable *)callable)->thread;
}

static Delivery *delivery_of(PyObject *callable, const char *name)
{
    Delivery *x;

    if (!PYTHON_HAS_GIL && !is_in_thread(callable)) {
        PyErr_Format(PyExc_RuntimeError, "%s() is for the thread that runs the application", name);
        return NULL;
    }
    x = ((DeliveryCallable *)callable)->delivery;
    if (!x)
        PyErr_Format(PyExc_RuntimeError, "%s() was called after the end of its request", name);
    return x;
}

static PyObject *start_response_call(PyObject *callable, PyObject *const *args, size_t n_args,
                                     PyObject *names)
{
    DeliveryCallable *self = (DeliveryCallable *)callable;
    Delivery *x = delivery_of(callable, "start_response");
    PyObject *exc_info;
    Response *response;

    if (!x || parse_arguments(args, (size_t)PyVectorcall_NARGS(n_args), names, &exc_info) < 0 ||
        check_order(x, exc_info) < 0)
        return NULL;
    response = x->sink->response;
    if (x->started)
        response_reset(response);
    x->started = set_head(response, args[0], args[1]) == 0;
    if (!x->started) {
        response_reset(response);
        return NULL;
    }
    return Py_NewRef((PyObject *)self->write);
}

/* Where the application was called, and not in another thread or greenlet. */
static int check_place(PyObject *callable, const Delivery *x, const char *name)
{
    if (is_in_thread(callable) && (!x->sink->greenlet || greenlet_is_current(x->sink->greenlet)))
        return 0;
    PyErr_Format(PyExc_RuntimeError, "%s() is for the %s that runs the application", name,
                 x->sink->greenlet ? "greenlet" : "thread");
    return -1;
}

static PyObject *write_call(PyObject *callable, PyObject *const *args, size_t n_args, PyObject *names)
{
    Delivery *x = delivery_of(callable, "write");

    if (!x)
        return NULL;
    if (PyVectorcall_NARGS(n_args) != 1 || names || !PyBytes_Check(args[0])) {
        PyErr_SetString(PyExc_TypeError, "write() takes one positional argument of bytes (PEP 3333)");
        return NULL;
    }
    if (check_place(callable, x, "write") < 0)
        return NULL;
    if (PyBytes_GET_SIZE(args[0]) > 0 &&
        (delivery_begin(x, -1) < 0 ||
         delivery_write(x, PyBytes_AS_STRING(args[0]), (size_t)PyBytes_GET_SIZE(args[0]), false) < 0))
        return NULL;
    Py_RETURN_NONE;
}

static int send_hint(Delivery *x, PyObject *headers)
{
    _cleanup_(buffer_deinit) Buffer head;

    buffer_init(&head);
    if (buffer_append_string(&head, "HTTP/1.1 103 Early Hints\r\n") < 0) {
        PyErr_NoMemory();
        return -1;
    }
    if (add_headers(&(HeaderTarget){.wanted = HINTS_WANTED, .hint = &head}, headers) < 0)
        return -1;
    if (buffer_append_string(&head, "\r\n") < 0) {
        PyErr_NoMemory();
        return -1;
    }
    return delivery_send_interim(x, buffer_head(&head), buffer_size(&head));
}

static PyObject *early_hints_call(PyObject *callable, PyObject *const *args, size_t n_args, PyObject *names)
{
    Delivery *x = delivery_of(callable, "wsgi.early_hints");

    if (!x || check_place(callable, x, "wsgi.early_hints") < 0)
        return NULL;
    if (PyVectorcall_NARGS(n_args) != 1 || names) {
        PyErr_SetString(PyExc_TypeError, HINTS_WANTED "takes one positional argument");
        return NULL;
    }
    if (x->begun) {
        PyErr_SetString(PyExc_RuntimeError, HINTS_WANTED "the response has begun");
        return NULL;
    }
    if (send_hint(x, args[0]) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static void callable_dealloc(PyObject *object)
{
    Py_CLEAR(((DeliveryCallable *)object)->write);
    Py_CLEAR(((DeliveryCallable *)object)->early_hints);
    python_free_instance(object);
}

static PyMemberDef callable_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(DeliveryCallable, vectorcall), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyTypeObject *callable_type_new(const char *name)
{
    PyType_Slot slots[] = {
        {Py_tp_dealloc, callable_dealloc},
        {Py_tp_call, PyVectorcall_Call},
        {Py_tp_members, callable_members},
        {0, NULL},
    };
    PyType_Spec spec = {
        .name = name,
        .basicsize = sizeof(DeliveryCallable),
        .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE |
                 Py_TPFLAGS_HAVE_VECTORCALL,
        .slots = slots,
    };

    return (PyTypeObject *)PyType_FromSpec(&spec);
}

int start_response_types_init(StartResponseTypes *types)
{
    types->start_response = callable_type_new("cgunicorn.start_response");
    types->write = callable_type_new("cgunicorn.write");
    types->early_hints = callable_type_new("cgunicorn.early_hints");
    return types->start_response && types->write && types->early_hints ? 0 : -1;
}

void start_response_types_clear(StartResponseTypes *types)
{
    Py_CLEAR(types->start_response);
    Py_CLEAR(types->write);
    Py_CLEAR(types->early_hints);
}

static DeliveryCallable *callable_new(PyTypeObject *type, vectorcallfunc vectorcall)
{
    DeliveryCallable *self = PyObject_New(DeliveryCallable, type);

    if (!self)
        return NULL;
    self->vectorcall = vectorcall;
    self->delivery = NULL;
    self->thread = 0;
    self->write = self->early_hints = NULL;
    return self;
}

DeliveryCallable *start_response_new(const StartResponseTypes *types)
{
    DeliveryCallable *self = callable_new(types->start_response, start_response_call);

    if (!self)
        return NULL;
    self->write = callable_new(types->write, write_call);
    self->early_hints = callable_new(types->early_hints, early_hints_call);
    if (!self->write || !self->early_hints)
        Py_CLEAR(self);
    return self;
}
