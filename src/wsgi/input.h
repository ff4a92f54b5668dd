/* SPDX-License-Identifier: MIT */
/* wsgi.input: the request body, read with the semantics of io.BytesIO, and never past its end: from a Spool,
 * when it is here as a whole, or from a BodySource, when it is on its way. */
#pragma once

#include "wsgi/python.h"

#include "base/spool.h"
#include "wsgi/live-input.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct Input {
    PyObject_HEAD const Spool *spool; /* borrowed for one request; NULL, and no live.source: reads as empty */
    LiveInput live;
    uint64_t position;
    atomic_bool closed;
} Input;

/* All: a new reference, or NULL with an exception. */
PyTypeObject *input_type_new(void);
Input *input_new(PyTypeObject *type);

static inline bool input_is_closed(const Input *input)
{
    return atomic_load_explicit(&input->closed, memory_order_relaxed);
}

static inline void input_set_closed(Input *input, bool closed)
{
    atomic_store_explicit(&input->closed, closed, memory_order_relaxed);
}

/* For one request, with one of both or none; then input_detach(). Without a GIL, nobody else has it yet. */
static inline void input_attach(Input *input, const Spool *body, BodySource *source)
{
    input->spool = body;
    input->live.source = source;
    input->position = 0;
    input_set_closed(input, false);
}

static inline void input_detach(Input *input)
{
    Py_BEGIN_CRITICAL_SECTION(input);
    input->spool = NULL;
    if (input->live.source)
        live_input_end(&input->live);
    Py_END_CRITICAL_SECTION();
}

/* Whether the current exception is that of a live body that failed; if so, it is cleared. */
static inline bool input_take_failure(Input *input)
{
    bool is_taken;

    Py_BEGIN_CRITICAL_SECTION(input);
    is_taken = live_input_take_failure(&input->live);
    Py_END_CRITICAL_SECTION();
    return is_taken;
}
