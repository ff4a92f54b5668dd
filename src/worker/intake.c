/* SPDX-License-Identifier: MIT */
/* The way in: from octets to a complete request. */
#include "worker/intake.h"

#include "base/escape.h"
#include "base/log.h"
#include "base/message-ids.h"
#include "http/forwarder-fields.h"
#include "http/parser.h"
#include "worker/body-intake.h"
#include "worker/peer.h"
#include "worker/requests.h"
#include "wsgi/body-memory.h"

#include <errno.h>
#include <sys/socket.h>

#define INPUT_SIZE (4 * 1024) /* most heads, and small bodies; what was larger is kept */
#define INPUT_ROOM_MIN (2 * 1024)
#define BODY_PIECE_BYTES (256 * 1024)
#define BODY_PROOF_BYTES (64 * 1024)

/* --- the body --- */

static void intake_on_spool_error(Loop *l, Connection *c, int r)
{
    if (r == SPOOL_E_FULL) {
        connection_refuse(l, c, 413, "body over limits.body");
        return;
    }
    log_full(LOG_ERR, MESSAGE_SPOOL_FULL, NULL, "Cannot keep a request body in %s: %s",
             l->exchanges.directory, strerror(-r));
    connection_refuse(l, c, 503, "no room for the body");
}

/* What was received of it goes to the spool. 0: complete; HTTP_E_MORE; -1: refused. */
static int intake_spool_body(Loop *l, Connection *c)
{
    Exchange *x = c->exchange;
    Span piece;
    int r, e;

    do {
        r = body_take(x, &l->limits, SIZE_MAX, &piece);
        if (r > HTTP_E_MORE) {
            connection_refuse(l, c, (unsigned)r, x->chunked.reason);
            return -1;
        }
        e = piece.size > 0 ? spool_append(&x->body, piece.data, piece.size) : 0;
        if (e != 0) {
            intake_on_spool_error(l, c, e);
            return -1;
        }
    } while (r == HTTP_E_MORE && body_unread(x).size > 0);
    body_drop_taken(x);
    return r;
}

static void intake_body(Loop *l, Connection *c)
{
    Exchange *x = c->exchange;
    int r = intake_spool_body(l, c);

    if (r == 0)
        connection_on_request(l, c);
    else if (r == HTTP_E_MORE && body_is_too_slow(x, l->config, l->now - x->body_since_usec))
        connection_refuse(l, c, 408, "limits.body_rate");
    else if (r == HTTP_E_MORE)
        connection_set_timeout(l, c, TIMEOUT_BODY);
}

/* --- the head --- */

static int intake_parse(Loop *l, Exchange *x, size_t head_size)
{
    int r = request_parse(&x->request, &x->scan, buffer_head(&x->in), head_size, &l->limits);

    if (r != 0 || !x->request.chunked || buffer_room(&x->in) >= INPUT_ROOM_MIN)
        return r;
    /* Chunks are received behind the head, which must not move once it is parsed. */
    r = buffer_reserve(&x->in, INPUT_ROOM_MIN);
    return r < 0 ? r : request_parse(&x->request, &x->scan, buffer_head(&x->in), head_size, &l->limits);
}

/* Otherwise nobody would find out why the application does not see them. */
static void intake_note_dropped_fields(const Connection *c)
{
    const Request *r = &c->exchange->request;
    char name[64];

    escape_bytes(name, sizeof name, r->dropped_field);
    log_debug("Dropped %u fields of a request of %s for the '_' in their names or for "
              "proxy.forwarder_headers: %s%s",
              r->n_dropped_fields, peer_name(c), name, r->n_dropped_fields > 1 ? " and others" : "");
}

/* Into the spool, as it comes. */
static void intake_begin_body(Loop *l, Connection *c)
{
    Exchange *x = c->exchange;
    bool is_asked_for = x->request.expect_continue;

    c->state = CONNECTION_BODY;
    x->body_since_usec = l->now;
    if (body_continue(x) < 0) {
        connection_close(l, c);
        return;
    }
    if (is_asked_for)
        requests_keep_back(l, c);
    intake_body(l, c);
}

/* A body that another worker has received. 0, or the status to refuse with. */
static int intake_judge_received(const Loop *l, Exchange *x)
{
    bool is_its = request_has_body(&x->request) && (x->request.chunked || body_missing(x) == 0);
    bool is_over = x->body_received > l->limits.body;

    x->request.reason = is_over ? "body over limits.body" : is_its ? NULL : "the body of another request";
    return is_over ? 413 : is_its ? 0 : 400;
}

static void intake_on_head(Loop *l, Connection *c, size_t head_size)
{
    Exchange *x = c->exchange;
    int r = intake_parse(l, x, head_size);

    if (r == 0 && l->limits.forwarder_fields)
        r = forwarder_fields_admit(&x->request, &l->limits, peer_is_trusted(c));
    if (r == 0)
        r = forwarded_memory_resolve(&l->forwarded_memory, peer_is_trusted(c) ? l->trusted : NULL,
                                     l->believed, &x->request, &x->forwarded);
    if (r == 0 && x->is_received)
        r = intake_judge_received(l, x);
    if (r != 0) {
        connection_refuse(l, c, r < 0 ? 503 : (unsigned)r, r < 0 ? "no memory" : x->request.reason);
        return;
    }
    if (x->request.n_dropped_fields > 0)
        intake_note_dropped_fields(c);
    x->head_size = head_size;
    x->is_live = !l->config->request_buffering && request_has_body(&x->request) &&
                 !x->request.is_server_options && !x->is_received;
    if (x->is_live || x->is_received || !request_has_body(&x->request))
        connection_on_request(l, c);
    else
        intake_begin_body(l, c);
}

/* False: nothing of a request is here yet, or ever. */
static bool intake_proxy_header(Loop *l, Connection *c)
{
    int r = peer_read_header(l, c);

    if (r == 0)
        return buffer_size(&c->exchange->in) > 0;
    if (r != HTTP_E_MORE)
        connection_close(l, c);
    return false;
}

static void intake_begin_head(Loop *l, Connection *c)
{
    Exchange *x = c->exchange;

    c->state = CONNECTION_HEAD;
    x->started_usec = l->now;
    x->serial = l->n_requests++;
    connection_set_timeout(l, c, TIMEOUT_HEAD);
}

void intake_next(Loop *l, Connection *c)
{
    if (l->has_heirs && c->exchange->head_size == 0)
        intake_begin_head(l, c);
    else
        intake_advance(l, c);
}

void intake_advance(Loop *l, Connection *c)
{
    Exchange *x = c->exchange;
    size_t head_size;
    int r;

    if (c->awaits_proxy_header && !intake_proxy_header(l, c))
        return;
    if (x->head_size > 0) {
        c->state = CONNECTION_BODY; /* again, where answers to earlier requests had to be sent first */
        intake_body(l, c);
        return;
    }
    if (c->state != CONNECTION_HEAD)
        intake_begin_head(l, c);
    r = head_scan(&x->scan, buffer_head(&x->in), buffer_size(&x->in), &l->limits, &head_size);
    if (r == HTTP_E_MORE) {
        buffer_trim(&x->in); /* slow clients may be many */
        return;
    }
    if (r != 0) {
        connection_refuse(l, c, (unsigned)r, x->scan.reason);
        return;
    }
    buffer_consume(&x->in, x->scan.skipped);
    intake_on_head(l, c, head_size - x->scan.skipped);
}

/* --- receiving --- */

static void intake_on_received(Loop *l, Connection *c, ssize_t n)
{
    Exchange *x = c->exchange;

    if (n > 0) {
        intake_advance(l, c);
        return;
    }
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        if (c->state == CONNECTION_IDLE && buffer_size(&x->in) == 0)
            connection_release_exchange(l, c);
        return;
    }
    if (n < 0 || c->awaits_proxy_header || (x->head_size == 0 && buffer_size(&x->in) == 0))
        connection_close(l, c);
    else
        connection_refuse(l, c, 400, "the client ended the connection within a request");
}

static void intake_receive(Loop *l, Connection *c)
{
    Buffer *in = &c->exchange->in;
    size_t enough = buffer_size(in) > 0 ? 1 : INPUT_SIZE;
    ssize_t n;

    if (buffer_room(in) < enough &&
        buffer_reserve(in, c->exchange->head_size > 0 ? INPUT_ROOM_MIN : INPUT_SIZE) < 0) {
        connection_refuse(l, c, 503, "no memory");
        return;
    }
    n = recv(c->fd, buffer_tail(in), buffer_room(in), 0);
    if (n > 0)
        in->end += (size_t)n;
    intake_on_received(l, c, n);
}

/* The memory of a body that has begun to come: that of the object which the application will get. Not for what no
 * application gets, nor where the GIL is out of reach; what is announced, and does not come, gets none. False: it is to
 * be tried again with the GIL, and nothing received until then. */
static bool intake_take_memory(Loop *l, Exchange *x)
{
    Spool *body = &x->body;
    size_t size = (size_t)x->request.content_length;
    char *memory;
    void *owner;

    if (x->body_received < BODY_PROOF_BYTES || body->memory.capacity >= size || l->gil == GIL_OUT_OF_REACH ||
        x->request.is_server_options || !spool_may_hold(body, size))
        return true;
    l->wants_gil |= l->gil != GIL_HELD;
    if (l->gil != GIL_HELD)
        return false;
    owner = body_memory_new(size, &memory);
    if (owner)
        spool_lend(body, owner, memory, size);
    return true;
}

/* Room for the next piece of a sized body, *ret_size octets, or NULL: not in memory. A body that has begun to come gets
 * room for all of it, so that its memory grows once; what is only announced costs no more than what would prove it. */
static char *intake_body_room(Exchange *x, size_t *ret_size)
{
    uint64_t missing = body_missing(x);
    char *room;

    if (x->body_received < BODY_PROOF_BYTES) {
        *ret_size = (size_t)MIN(missing, BODY_PROOF_BYTES - x->body_received);
        return spool_reserve(&x->body, *ret_size);
    }
    *ret_size = (size_t)MIN(missing, (uint64_t)BODY_PIECE_BYTES);
    room = spool_reserve(&x->body, (size_t)MIN(missing, (uint64_t)SIZE_MAX));
    return room ? room : spool_reserve(&x->body, *ret_size);
}

/* A body of known length goes straight into the spool's memory, and no octet of the next request comes with
 * it. */
static void intake_receive_sized_body(Loop *l, Connection *c)
{
    Exchange *x = c->exchange;
    size_t n_wanted;
    char *to;
    ssize_t n;
    int r = 0;

    if (!intake_take_memory(l, x))
        return;
    to = intake_body_room(x, &n_wanted);
    if (!to)
        n_wanted = MIN(n_wanted, sizeof l->scratch);
    n = recv(c->fd, to ? to : l->scratch, n_wanted, 0);
    if (n > 0 && to)
        spool_commit(&x->body, (size_t)n);
    else if (n > 0)
        r = spool_append(&x->body, l->scratch, (size_t)n);
    if (r != 0) {
        intake_on_spool_error(l, c, r);
        return;
    }
    if (n > 0)
        x->body_received += (uint64_t)n;
    intake_on_received(l, c, n);
}

void intake_on_readable(Loop *l, Connection *c)
{
    if (!c->exchange)
        c->exchange = exchange_pool_get(&l->exchanges);
    if (!c->exchange) {
        log_error("No memory for a request from %s", c->address);
        connection_close(l, c);
    } else if (c->state == CONNECTION_BODY && !c->exchange->request.chunked) {
        intake_receive_sized_body(l, c);
    } else {
        intake_receive(l, c);
    }
}
