/* SPDX-License-Identifier: MIT */
/* wsgi.input: the request body, read with the semantics of io.BytesIO, and never past its end: from a Spool,
 * when it is here as a whole, or from a BodySource, when it is on its way. */
#pragma once

#include "wsgi/python.h"

#include "base/spool.h"
#include "wsgi/live-input.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct Input {
    PyObject_HEAD const Spool *spool; /* borrowed for one request; NULL, and no live.source: reads as empty */
    LiveInput live;
    uint64_t position;
    bool closed;
} Input;

/* All: a new reference, or NULL with an exception. */
PyTypeObject *input_type_new(void);
Input *input_new(PyTypeObject *type);

/* For one request, with one of both or none; then input_detach(). */
static inline void input_attach(Input *input, const Spool *body, BodySource *source)
{
    input->spool = body;
    input->live.source = source;
    input->position = 0;
    input->closed = false;
}

static inline void input_detach(Input *input)
{
    input->spool = NULL;
    if (input->live.source)
        live_input_end(&input->live);
}
