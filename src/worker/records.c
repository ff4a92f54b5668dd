/* SPDX-License-Identifier: MIT */
/* What is written down of a request. */
#include "worker/records.h"

#include "base/escape.h"
#include "base/log.h"
#include "base/message-ids.h"
#include "worker/peer.h"
#include "worker/request-id.h"

char *record_describe_request(const Connection *c, char *to, size_t size)
{
    const Exchange *x = c->exchange;
    Span in = buffer_span(&x->in);
    const char *end = in.size > 0 ? memchr(in.data, '\r', in.size) : NULL;
    size_t n;

    if (x->request.method.size == 0) {
        escape_bytes(to, size, (Span){in.data, end ? (size_t)(end - in.data) : in.size});
        return to;
    }
    n = escape_bytes(to, size / 2, x->request.method);
    to[n++] = ' ';
    escape_bytes(to + n, size - n, x->request.target);
    return to;
}

void record_access(Loop *l, const Connection *c, const Response *response)
{
    const Exchange *x = c->exchange;
    char id[REQUEST_ID_FIELD_SIZE] = "";
    uint64_t body_size;
    WsgiPeer peer;

    if (!l->access_log)
        return;
    peer = peer_of_request(c);
    body_size = response ? atomic_load_explicit(&response->body_size, memory_order_relaxed) : 0;
    if (access_log_is_journal(l->access_log))
        request_id_field(l, c, id);
    access_log_add(l->access_log, &(AccessEntry){
                                      .request = &x->request,
                                      .response = response,
                                      .status = x->status,
                                      .body_size = body_size,
                                      .peer = &peer,
                                      .request_id = id,
                                      .duration_usec = l->now - x->started_usec,
                                  });
}

void record_error(const Loop *l, const Connection *c)
{
    char request[512], id[REQUEST_ID_FIELD_SIZE];

    if (!c->exchange->error)
        return;
    log_full(LOG_ERR, MESSAGE_APP_ERROR, (const char *[]){request_id_field(l, c, id), NULL},
             "Error in the application, %s\n%s", record_describe_request(c, request, sizeof request),
             c->exchange->error);
}

void record_refusal(const Loop *l, const Connection *c, unsigned status, const char *reason)
{
    char request[512], id[REQUEST_ID_FIELD_SIZE];

    log_full(LOG_INFO, NULL, (const char *[]){request_id_field(l, c, id), NULL},
             "Refused a request of %s: %u, %s: %s", peer_name(c), status, reason,
             record_describe_request(c, request, sizeof request));
}
