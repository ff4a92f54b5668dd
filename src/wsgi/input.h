/* SPDX-License-Identifier: MIT */
/* wsgi.input: the request body, already whole, read with the semantics of io.BytesIO; never waits. */
#pragma once

#include "wsgi/python.h"

#include "base/spool.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct Input {
    PyObject_HEAD const Spool *spool; /* borrowed for one request; NULL: reads as empty */
    uint64_t position;
    bool closed;
} Input;

/* All: a new reference, or NULL with an exception. */
PyTypeObject *input_type_new(void);
Input *input_new(PyTypeObject *type);

/* For one request; then input_detach(). */
static inline void input_attach(Input *input, const Spool *body)
{
    input->spool = body;
    input->position = 0;
    input->closed = false;
}

static inline void input_detach(Input *input)
{
    input->spool = NULL;
}
