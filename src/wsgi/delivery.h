/* SPDX-License-Identifier: MIT */
/* One response on its way into the sink: when its head goes out, when to wait for the client. Shared by the
 * iteration of the result, by write() and by start_response. */
#pragma once

#include "wsgi/python.h"

#include "wsgi/sink.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct Delivery {
    ResponseSink *sink; /* called only from the thread that runs the application, in sink->greenlet */
    bool started;       /* start_response was called */
    bool begun;         /* the head is final */
    bool waiting;       /* the client is behind: wait before giving more */
    bool gone;          /* the client is; what is raised from then on is a consequence */
} Delivery;

void delivery_init(Delivery *x, ResponseSink *sink);

/* All return 0, or -1 with an exception. */

/* An interim response, before delivery_begin(). */
int delivery_send_interim(Delivery *x, const char *data, size_t size);

/* Makes the head final if it isn't yet. known_length: octets of the whole body, or -1. Where the head names a
 * file, this is the whole response. */
int delivery_begin(Delivery *x, int64_t known_length);

/* After delivery_begin(). last: nothing follows for sure. */
int delivery_write(Delivery *x, const char *data, size_t size, bool last);
int delivery_send_file(Delivery *x, int fd, uint64_t offset, uint64_t size);
int delivery_end(Delivery *x);

/* Whether the body is a file of the server's, and what the application gives for it is dropped. */
static inline bool delivery_names_file(const Delivery *x)
{
    return x->sink->response->file_naming != FILE_NONE;
}

/* Whether octets given now would go out: after the head, not to HEAD, 204, 304, nor past Content-Length. */
static inline bool delivery_takes_more(const Delivery *x)
{
    const Response *r = x->sink->response;

    return r->framing != BODY_NONE && (r->framing != BODY_LENGTH || r->remaining > 0);
}
