/* SPDX-License-Identifier: MIT */
/* Bodies that are received into the object that the application gets. */
#include "wsgi/python.h"

#include "wsgi/body-memory.h"

void *body_memory_new(size_t size, char **ret)
{
    PyObject *bytes =
        size <= PY_SSIZE_T_MAX ? PyBytes_FromStringAndSize(NULL, (Py_ssize_t)size) : PyErr_NoMemory();

    if (!bytes) {
        PyErr_Clear();
        return NULL;
    }
    *ret = PyBytes_AS_STRING(bytes);
    return bytes;
}

void body_memory_free(void *owner)
{
    Py_DECREF((PyObject *)owner);
}
