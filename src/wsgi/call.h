/* SPDX-License-Identifier: MIT */
/* One request through the application (PEP 3333): environ, call, iteration, close(). */
#pragma once

#include "base/spool.h"
#include "http/request.h"
#include "wsgi/app.h"
#include "wsgi/body-source.h"
#include "wsgi/sink.h"

/* What the environ says of the connection; spans are borrowed for the call. */
typedef struct WsgiPeer {
    Span remote_addr; /* "" on a Unix socket */
    Span remote_port; /* "" on a Unix socket */
    Span server_name;
    Span server_port;
    bool https;
    Span host;        /* for HTTP_HOST; empty: the request's own */
    Span script_name; /* raw, what PATH_INFO is relative to; a proxy may have cut it off the path already */
} WsgiPeer;

enum {
    WSGI_E_ERROR = 1, /* nothing of a response has begun: answer 500 */
    WSGI_E_CUT,       /* the head is out, the response can't be completed: close without a last chunk */
    WSGI_E_GONE,      /* the client is gone */
    WSGI_E_BODY,      /* source failed, and the application let what that raised pass: source->reason */
};

/* With the GIL; releases it only in sink->wait() and source->wait(), and to write out a line of wsgi.errors.
 * body: the whole request body, decoded; chunked ones get CONTENT_LENGTH = spool_size(body). source: in its
 * place, where a body is read while it comes. Both NULL: none. Borrowed for the call: wsgi.input, if the
 * application keeps it, reads as empty afterwards. Returns 0: sink->end() was called and went well; or
 * WSGI_E_…. *ret_error: text with the traceback for the log, to be freed, or NULL where there is nothing to
 * say; an error of close() after a complete response is returned with 0. */
int wsgi_call(WsgiApp *app, const Request *request, const Spool *body, BodySource *source,
              const WsgiPeer *peer, ResponseSink *sink, char **ret_error);
