/* SPDX-License-Identifier: MIT */
/* Reads a body that is on its way, for wsgi.input: waits for what is asked for, raises what went wrong. */
#pragma once

#include "wsgi/python.h"

#include "base/buffer.h"
#include "wsgi/body-source.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct LiveInput {
    BodySource *source; /* borrowed for one request; NULL: there is none */
    Buffer ahead;       /* octets behind a line that was read */
    PyObject *failure;  /* what was raised when the source failed, for every later read */
    bool is_busy;       /* a thread waits in it */
} LiveInput;

/* Up to n octets, fewer at the end of the body; unless all, it waits for the first one only. NULL with an
 * exception. */
PyObject *live_input_read(LiveInput *live, uint64_t n, bool all);

/* Up to a newline and with it, n octets at most. Likewise. */
PyObject *live_input_read_line(LiveInput *live, uint64_t n);

/* The number of octets stored, or -1 with an exception. */
Py_ssize_t live_input_read_into(LiveInput *live, char *to, size_t n, bool all);

/* Whether the current exception is that of a source that failed; if so, it is cleared. */
bool live_input_take_failure(LiveInput *live);

/* The request is over. */
void live_input_end(LiveInput *live);
