/* SPDX-License-Identifier: MIT */
/* wsgi.errors: text of the application, line by line to a descriptor. */
#pragma once

#include "wsgi/python.h"

#include "base/buffer.h"

typedef struct Errors {
    PyObject_HEAD int fd; /* borrowed; blocking */
    Buffer pending;       /* of a line that is not complete yet */
} Errors;

/* Both: a new reference, or NULL with an exception. */
PyTypeObject *errors_type_new(void);
Errors *errors_new(PyTypeObject *type, int fd);

/* At the end of a request: a line without an end gets one, so that the next record doesn't run into it. */
void errors_end_line(Errors *errors);
