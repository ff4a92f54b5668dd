/* SPDX-License-Identifier: MIT */
/* What is written down of a request. */
#include "worker/records.h"

#include "base/escape.h"
#include "base/log.h"
#include "base/message-ids.h"
#include "worker/peer.h"

/* Method and target, or what came in their place. */
static void describe_request(const Exchange *x, char *to, size_t size)
{
    Span in = buffer_span(&x->in);
    const char *end = memchr(in.data, '\r', in.size);
    size_t n;

    if (x->request.method.size == 0) {
        escape_bytes(to, size, (Span){in.data, end ? (size_t)(end - in.data) : in.size});
        return;
    }
    n = escape_bytes(to, size / 2, x->request.method);
    to[n++] = ' ';
    escape_bytes(to + n, size - n, x->request.target);
}

void record_access(Loop *l, Connection *c, const Response *response)
{
    Exchange *x = c->exchange;
    WsgiPeer peer;

    if (!l->access_log)
        return;
    peer = peer_of_request(c);
    access_log_add(l->access_log, &(AccessEntry){
                                      .request = &x->request,
                                      .response = response,
                                      .status = x->status,
                                      .body_size = response ? response->body_size : 0,
                                      .peer = &peer,
                                      .duration_usec = l->now - x->started_usec,
                                  });
}

void record_error(const Connection *c)
{
    const Exchange *x = c->exchange;
    char request[512];

    if (!x->error)
        return;
    describe_request(x, request, sizeof request);
    log_full(LOG_ERR, MESSAGE_APP_ERROR, NULL, "Error in the application, %s\n%s", request, x->error);
}

void record_refusal(const Connection *c, unsigned status, const char *reason)
{
    char request[512];

    describe_request(c->exchange, request, sizeof request);
    log_info("Refused a request of %s: %u, %s: %s", peer_name(c), status, reason, request);
}
