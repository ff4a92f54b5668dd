/* SPDX-License-Identifier: MIT */
/* Where the application's response goes: implemented by the worker, used by wsgi/, which knows no socket. All
 * calls come from the thread that runs the application. */
#pragma once

#include "http/response.h"
#include "wsgi/greenlets.h"

#include <stddef.h>
#include <stdint.h>

enum {
    SINK_E_WAIT = 1, /* taken, but the client is behind: call wait() before giving more */
    SINK_E_GONE,     /* the client went away or does not take it: stop, call close() of the iterable */
};

typedef struct ResponseSink ResponseSink;
struct ResponseSink {
    /* Filled by start_response through response_set_status() and response_add_field(). */
    Response *response;

    /* The greenlet that runs the application; NULL: a thread of its own does. */
    Greenlet *greenlet;

    /* Sends an interim response (1xx), whole, at once; before begin(), any number of times. Nothing to a
     * client that does not know them. 0, SINK_E_WAIT, SINK_E_GONE, negative errno. */
    int (*send_interim)(ResponseSink *sink, const char *data, size_t size);

    /* Instead of begin(), where response->file_naming is set: makes that file the whole response, or refuses.
     * Called without the GIL, since opening a file may take time. write() and end() do nothing from then on.
     * 0, SINK_E_GONE, negative errno. */
    int (*send_named_file)(ResponseSink *sink);

    /* The head is final. known_length: octets of the whole body if known, else -1. 0, SINK_E_GONE, negative
     * errno. */
    int (*begin)(ResponseSink *sink, int64_t known_length);

    /* Takes all of the block (copied or sent before it returns). last: no other block follows for sure, so
     * that it may wait for end(); otherwise it is on its way when this returns (PEP 3333, "Buffering and
     * Streaming"). 0, SINK_E_WAIT, SINK_E_GONE, negative errno. */
    int (*write)(ResponseSink *sink, const char *data, size_t size, bool last);

    /* Sends size octets of a regular file from offset; keeps a duplicate of fd. Same results as write(). */
    int (*send_file)(ResponseSink *sink, int fd, uint64_t offset, uint64_t size);

    /* Blocks until the client has caught up; called without the GIL. 0 or SINK_E_GONE. Does not block, and
     * may return SINK_E_WAIT, where there is a greenlet: it is to ask again when it was woken. */
    int (*wait)(ResponseSink *sink);

    /* The body is complete. 0, RESPONSE_E_SHORT, SINK_E_GONE, negative errno. */
    int (*end)(ResponseSink *sink);
};
