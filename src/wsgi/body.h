/* SPDX-License-Identifier: MIT */
/* From what the application returned to the sink: the iteration of the body. */
#pragma once

#include "wsgi/python.h"

#include "wsgi/delivery.h"
#include "wsgi/file-wrapper.h"

typedef struct Body {
    PyObject *result; /* borrowed */
    bool exhausted;   /* iterated to its end without an exception */
} Body;

/* Gives the blocks of body->result to the sink and ends the response. 0, or -1 with an exception. */
int body_send(Body *body, Delivery *x, const FileTypes *files);

/* Calls close() of the result, if it has one; once, whatever became of body_send(). 0, or -1 with an
 * exception. */
int body_close(const Body *body, const FileTypes *files);
