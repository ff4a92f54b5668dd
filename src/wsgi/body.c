/* SPDX-License-Identifier: MIT */
/* The iterable in its kinds. A list or tuple is known as a whole, a file is left to the sink, all else is asked for its
 * blocks one by one, unless start_response has named a file instead, and a block is given to the sink before the next
 * is asked for (PEP 3333, "Buffering and Streaming"). */
#include "wsgi/body.h"

#include <string.h>

/* Blocks of a list up to this size in all are joined: one copy costs less than a pass through the sink for
 * each. */
#define JOIN_MAX 65536

static int check_block(PyObject *block)
{
    if (PyBytes_Check(block))
        return 0;
    PyErr_Format(PyExc_TypeError, "the application's body has a block of type %.200s; PEP 3333 wants bytes",
                 Py_TYPE(block)->tp_name);
    return -1;
}

/* A block of at least one octet. known_length: of the whole body, if this is the first block. */
static int send_block(Delivery *x, PyObject *block, int64_t known_length, bool last)
{
    if (delivery_begin(x, known_length) < 0)
        return -1;
    return delivery_write(x, PyBytes_AS_STRING(block), (size_t)PyBytes_GET_SIZE(block), last);
}

static int finish(Delivery *x)
{
    return delivery_begin(x, 0) < 0 ? -1 : delivery_end(x);
}

/* --- list and tuple --- */

/* The macros of PySequence_Fast() look at the type again and are right for exact and derived lists and
 * tuples. */
static Py_ssize_t measure_sequence(PyObject *sequence)
{
    Py_ssize_t total = 0;

    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(sequence); i++) {
        PyObject *block = PySequence_Fast_GET_ITEM(sequence, i);

        if (check_block(block) < 0)
            return -1;
        if (PyBytes_GET_SIZE(block) > PY_SSIZE_T_MAX - total) {
            PyErr_NoMemory();
            return -1;
        }
        total += PyBytes_GET_SIZE(block);
    }
    return total;
}

static int send_joined(Delivery *x, PyObject *sequence, Py_ssize_t total)
{
    _cleanup_decref_ PyObject *joined = PyBytes_FromStringAndSize(NULL, total);
    char *to;

    if (!joined)
        return -1;
    to = PyBytes_AS_STRING(joined);
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(sequence); i++) {
        PyObject *block = PySequence_Fast_GET_ITEM(sequence, i);

        to = mempcpy(to, PyBytes_AS_STRING(block), (size_t)PyBytes_GET_SIZE(block));
    }
    return send_block(x, joined, total, true);
}

/* While the sink waits, and the GIL is released, another thread may change the list: so each block is held, and checked
 * again. */
static int send_in_turn(Delivery *x, PyObject *sequence, Py_ssize_t total)
{
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(sequence); i++) {
        _cleanup_decref_ PyObject *block = Py_NewRef(PySequence_Fast_GET_ITEM(sequence, i));
        bool last = i == PySequence_Fast_GET_SIZE(sequence) - 1;

        if (check_block(block) < 0)
            return -1;
        if (PyBytes_GET_SIZE(block) == 0)
            continue;
        if (x->begun && !delivery_takes_more(x))
            break;
        if (send_block(x, block, total, last) < 0)
            return -1;
    }
    return finish(x);
}

static int send_unchanging(Delivery *x, PyObject *sequence)
{
    Py_ssize_t total = measure_sequence(sequence);
    int r = 0;

    if (total < 0)
        return -1;
    if (total > JOIN_MAX || PySequence_Fast_GET_SIZE(sequence) == 1)
        return send_in_turn(x, sequence, total);
    if (total > 0)
        r = send_joined(x, sequence, total);
    return r < 0 ? -1 : finish(x);
}

/* A list that others may change at any time is sent as it is now. */
static int send_sequence(Delivery *x, PyObject *sequence)
{
    _cleanup_decref_ PyObject *copy = NULL;

    if (PYTHON_HAS_GIL || PyTuple_CheckExact(sequence))
        return send_unchanging(x, sequence);
    copy = PyList_AsTuple(sequence);
    return copy ? send_unchanging(x, copy) : -1;
}

/* --- files --- */

static int send_range(Delivery *x, const FileRange *range)
{
    const Response *response = x->sink->response;
    uint64_t size = range->size;

    if (delivery_begin(x, (int64_t)range->size) < 0)
        return -1;
    if (response->framing == BODY_LENGTH)
        size = MIN(size, response->remaining);
    if (size > 0 && delivery_takes_more(x) && delivery_send_file(x, range->fd, range->offset, size) < 0)
        return -1;
    return delivery_end(x);
}

/* --- other iterables --- */

/* How many blocks there will be, where that is certain: what len() says, and the rest of a list's own
 * iterator (that is what Django's HttpResponse gives). -1: unknown. -2: an exception. */
static Py_ssize_t count_blocks(PyObject *result, PyObject *iterator)
{
    PySequenceMethods *sequence = Py_TYPE(result)->tp_as_sequence;
    PyMappingMethods *mapping = Py_TYPE(result)->tp_as_mapping;
    Py_ssize_t n = -1;

    if (Py_IS_TYPE(iterator, &PyListIter_Type))
        n = PyObject_LengthHint(iterator, -1);
    else if ((sequence && sequence->sq_length) || (mapping && mapping->mp_length))
        n = PyObject_Size(result);
    if (n >= 0 || !PyErr_Occurred())
        return n > 0 ? n : -1;
    if (!PyErr_ExceptionMatches(PyExc_Exception))
        return -2;
    PyErr_Clear();
    return -1;
}

static PyObject *iterator_of(PyObject *result)
{
    PyObject *iterator;

    if (!PyBytes_Check(result) && !PyUnicode_Check(result)) {
        iterator = PyObject_GetIter(result);
        if (iterator || !PyErr_ExceptionMatches(PyExc_TypeError) || Py_TYPE(result)->tp_iter)
            return iterator;
    }
    PyErr_Format(PyExc_TypeError,
                 "the application returned %.200s; PEP 3333 wants an iterable of bytes, such as [data]",
                 Py_TYPE(result)->tp_name);
    return NULL;
}

/* One block of an iterable that has n_left more of them (negative: unknown). 1: goes on; 0: no more can be
 * sent; -1. */
static int send_next(Delivery *x, PyObject *block, Py_ssize_t n_left)
{
    if (check_block(block) < 0)
        return -1;
    if (delivery_names_file(x))
        return 0;
    if (PyBytes_GET_SIZE(block) == 0)
        return 1;
    if (x->begun && !delivery_takes_more(x))
        return 0;
    return send_block(x, block, n_left == 0 ? PyBytes_GET_SIZE(block) : -1, n_left == 0) < 0 ? -1 : 1;
}

/* An octet too many ends the iteration; until it comes, the iterable runs to its end, like any generator
 * expects. */
static int send_iterable(Body *body, Delivery *x)
{
    _cleanup_decref_ PyObject *iterator = iterator_of(body->result);
    Py_ssize_t n_left = iterator ? count_blocks(body->result, iterator) : -2;
    int r = 1;

    if (n_left == -2)
        return -1;
    while (r > 0) {
        _cleanup_decref_ PyObject *block = PyIter_Next(iterator);

        if (!block) {
            if (PyErr_Occurred())
                return -1;
            body->exhausted = true;
            break;
        }
        n_left -= n_left > 0;
        r = send_next(x, block, n_left);
    }
    return r < 0 ? -1 : finish(x);
}

/* --- all kinds --- */

int body_send(Body *body, Delivery *x, const FileTypes *files)
{
    PyObject *result = body->result;
    FileRange range = {0};
    int r;

    if (delivery_names_file(x))
        return finish(x);
    if (PyList_CheckExact(result) || PyTuple_CheckExact(result))
        return send_sequence(x, result);
    if (!Py_IS_TYPE(result, files->wrapper))
        return send_iterable(body, x);
    r = file_wrapper_range((FileWrapper *)result, files, &range);
    if (r == 0)
        return send_iterable(body, x);
    return r < 0 ? -1 : send_range(x, &range);
}

int body_close(const Body *body, const FileTypes *files)
{
    _cleanup_decref_ PyObject *close = NULL, *ignored = NULL;
    PyObject *result = body->result;

    /* They have no close(), or one that does nothing any more; a failing look-up is dear. */
    if (PyList_CheckExact(result) || PyTuple_CheckExact(result) ||
        (body->exhausted && PyGen_CheckExact(result)))
        return 0;
    if (Py_IS_TYPE(result, files->wrapper))
        return file_wrapper_close((FileWrapper *)result);
    close = python_get_attribute(result, "close");
    if (!close && PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyErr_Clear();
        return 0;
    }
    ignored = close ? PyObject_CallNoArgs(close) : NULL;
    return ignored ? 0 : -1;
}
