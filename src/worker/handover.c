/* SPDX-License-Identifier: MIT */
/* Connections that go from one worker to another. */
#include "worker/handover.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/message-ids.h"
#include "ipc/parcel.h"
#include "worker/accept.h"
#include "worker/connection.h"
#include "worker/drain.h"
#include "worker/intake.h"
#include "worker/peer.h"
#include "worker/requests.h"

#include <errno.h>
#include <sys/epoll.h>

#define NEVER UINT64_MAX
#define TAKEN_MAX 16 /* at a time, of those that have no request */
#define NOTE_EVERY_USEC (60 * USEC_PER_SEC)

void handover_open(Loop *l, const int *queue)
{
    l->handover = (Handover){.in_source.type = SOURCE_QUEUE,
                             .out_source.type = SOURCE_QUEUE_ROOM,
                             .out = queue ? queue[0] : -EBADF,
                             .in = queue ? queue[1] : -EBADF};
    if (!queue)
        return;
    descriptors_add(&l->descriptors, queue[0]);
    descriptors_add(&l->descriptors, queue[1]);
}

/* Whoever has shut it down: without it, each worker has its own queue. */
static void handover_lose(Loop *l)
{
    Handover *h = &l->handover;

    log_full(LOG_ERR, MESSAGE_NONSENSE, NULL,
             "The application has shut down the queue between the workers: requests that wait for a busy "
             "worker stay there until the site is restarted");
    (void)accept_watch_queue(l, false);
    if (h->is_full)
        (void)epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, h->out, NULL);
    h->in = h->out = -EBADF;
    h->is_full = h->is_ready = false;
    h->look_usec = 0;
}

/* --- giving --- */

/* A full queue has room again when somebody takes something out. */
static void watch_room(Loop *l, bool watch)
{
    Handover *h = &l->handover;

    if (h->is_full == watch)
        return;
    if (watch && loop_watch(l, h->out, EPOLLOUT, &h->out_source) < 0)
        return;
    if (!watch)
        (void)epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, h->out, NULL);
    h->is_full = watch;
}

void handover_on_room(Loop *l)
{
    watch_room(l, false);
}

static bool connection_is_at_rest(const Loop *l, const Connection *c)
{
    const Exchange *x = c->exchange;

    if (c->listener < l->listeners || c->listener >= l->listeners + l->n_listeners)
        return false; /* of the check */
    if (c->state != CONNECTION_IDLE && c->state != CONNECTION_HEAD && c->state != CONNECTION_READY)
        return false;
    return !x || (!c->is_kept_back && !x->is_gone && output_is_empty(&x->output));
}

static void fill_parcel(Loop *l, const Connection *c, Parcel *p)
{
    const Exchange *x = c->exchange;
    uint64_t serial = c->state == CONNECTION_IDLE ? l->n_requests++ : x->serial;

    *p = (Parcel){
        .fd = c->fd,
        .listener = (uint32_t)(c->listener - l->listeners),
        .flags = (c->https ? PARCEL_HTTPS : 0) | (c->is_nameless ? PARCEL_NAMELESS : 0) |
                 (c->awaits_proxy_header ? PARCEL_AWAITS_PROXY_HEADER : 0),
        .request_id = l->first_request + serial,
        .body_fd = -EBADF,
    };
    memcpy(p->address, c->address, sizeof p->address);
    memcpy(p->port, c->port, sizeof p->port);
    memcpy(p->server_address, c->server_address, sizeof p->server_address);
    memcpy(p->server_port, c->server_port, sizeof p->server_port);
    if (c->state != CONNECTION_READY) {
        p->deadline_usec = c->timeout.deadline;
        p->flags |= c->timeout_kind == TIMEOUT_KEEPALIVE ? PARCEL_KEPT_ALIVE : 0;
    }
    if (!x)
        return;
    p->in = x->in;
    p->started_usec = x->started_usec;
    if (c->state != CONNECTION_READY)
        return;
    p->flags |= PARCEL_READY;
    p->ready_usec = x->ready_usec;
    if (!request_has_body(&x->request) || x->is_live)
        return;
    p->flags |= PARCEL_HAS_BODY;
    p->body = x->body.memory;
    p->body_fd = x->body.fd;
    p->body_file_size = x->body.file_end;
}

int handover_give(Loop *l, Connection *c)
{
    Handover *h = &l->handover;
    Parcel p;
    int r;

    if (h->out < 0 || !connection_is_at_rest(l, c))
        return -EBUSY;
    if (h->is_full)
        return -EAGAIN;
    fill_parcel(l, c, &p);
    r = parcel_send(h->out, &p);
    if (r == -EAGAIN)
        watch_room(l, true);
    if (r == -EPIPE)
        handover_lose(l);
    if (r < 0 && descriptors_is_lost(-r))
        descriptors_give_up();
    if (r < 0)
        return r;
    if (p.flags & PARCEL_READY)
        h->look_usec = h->look_usec == 0 ? p.ready_usec : MIN(h->look_usec, p.ready_usec);
    atomic_fetch_add_explicit(&l->total->given, 1, memory_order_relaxed);
    connection_close(l, c);
    return 0;
}

/* Without siblings, only where others are to come: the worker hangs, or others have come to take its
 * place. */
static bool may_offer(const Loop *l)
{
    if (l->handover.out < 0 || l->handover.is_full || (loop_is_stuck(l) && drain_is_alone(l)))
        return false;
    return l->has_heirs || l->has_siblings || loop_is_stuck(l);
}

void handover_offer(Loop *l)
{
    if (loop_has_slot(l) || !may_offer(l))
        return;
    for (size_t n = l->ready.n; n > 0; n--) {
        Connection *c = connection_queue_pop(&l->ready);

        if (c->exchange->is_gone)
            connection_close(l, c);
        else if (handover_give(l, c) < 0)
            connection_queue_push(&l->ready, c);
    }
}

/* --- taking --- */

static void note_malformed(Loop *l)
{
    if (l->now < l->handover.next_note_usec)
        return;
    l->handover.next_note_usec = l->now + NOTE_EVERY_USEC;
    log_full(LOG_ERR, MESSAGE_NONSENSE, NULL,
             "Dropped what is no connection of this site from the queue between its workers: the application "
             "may have written to descriptors that are not its own");
}

/* The request of p, in the octets of p, as far as it is here; parsed again. */
static void take_request(Loop *l, Connection *c, Parcel *p)
{
    Exchange *x = c->exchange;
    Buffer in = p->in;

    p->in = x->in;
    x->in = in;
    if (p->flags & PARCEL_HAS_BODY) {
        x->body_received = buffer_size(&p->body) + p->body_file_size;
        x->is_received = true;
        if (x->body_received <= l->limits.body)
            spool_adopt(&x->body, &p->body, TAKE_FD(p->body_fd), p->body_file_size);
    }
    c->state = c->awaits_proxy_header ? CONNECTION_IDLE : CONNECTION_HEAD;
    intake_advance(l, c);
    if (c->state == CONNECTION_READY && p->flags & PARCEL_READY) {
        x->ready_usec = MIN(p->ready_usec, l->now);
        connection_queue_settle_last(&l->ready);
    }
}

static void take_timeout(Loop *l, Connection *c, const Parcel *p)
{
    TimeoutKind kind = TIMEOUT_HEAD;
    usec_t latest;

    if (p->flags & PARCEL_KEPT_ALIVE)
        kind = l->config->timeouts_keepalive > 0 ? TIMEOUT_KEEPALIVE : TIMEOUT_FAREWELL;
    latest = l->now + l->timeouts[kind].span_usec;
    c->timeout_kind = kind;
    timeout_arm_at(&l->timeouts[kind], &c->timeout,
                   p->deadline_usec > 0 ? MIN(p->deadline_usec, latest) : latest);
}

/* What of the exchange is here. is_cut: not its octets. */
static void take_exchange(Loop *l, Connection *c, Parcel *p, bool is_cut)
{
    Exchange *x = c->exchange;

    if (!is_cut && buffer_size(&p->in) == 0) {
        exchange_pool_put(&l->exchanges, TAKE_PTR(c->exchange));
        return;
    }
    x->started_usec = MIN(p->started_usec, l->now);
    x->serial = p->request_id - l->first_request;
    if (is_cut)
        connection_refuse(l, c, 503, "no memory or descriptors for it, of another worker");
    else
        take_request(l, c, p);
}

/* p: emptied of what is taken. */
static int take_connection(Loop *l, Connection *c, Parcel *p, bool is_cut)
{
    connection_adopt(l, c, &l->listeners[p->listener], TAKE_FD(p->fd));
    c->https = p->flags & PARCEL_HTTPS;
    c->is_nameless = p->flags & PARCEL_NAMELESS;
    c->awaits_proxy_header = p->flags & PARCEL_AWAITS_PROXY_HEADER;
    atomic_fetch_add_explicit(&l->total->taken, 1, memory_order_relaxed);
    if (!peer_adopt(l, c, p)) {
        connection_close(l, c);
        return 0;
    }
    take_timeout(l, c, p);
    take_exchange(l, c, p, is_cut);
    if (c->state <= CONNECTION_HEAD && c->timeout.deadline <= l->now)
        intake_on_readable(l, c); /* the rest may have come in time, while nobody read it */
    return connection_begin_watch(l, c);
}

/* The next one, with memory that was had before it leaves the queue. relays: but where it is put in again. */
static int take_next(Loop *l, bool relays)
{
    _cleanup_free_ Connection *c = calloc(1, sizeof *c);
    Exchange *x = c ? exchange_pool_get(&l->exchanges) : NULL;
    Parcel p;
    int r;

    if (!x)
        return -ENOMEM;
    r = parcel_receive(l->handover.in, &p);
    relays = relays && r == 0 && parcel_send(l->handover.out, &p) == 0;
    if (!relays && r >= 0 && p.listener < l->n_listeners) {
        c->exchange = x;
        r = take_connection(l, TAKE_PTR(c), &p, r == PARCEL_E_CUT);
        parcel_deinit(&p);
        return r;
    }
    exchange_pool_put(&l->exchanges, x);
    if (r < 0)
        return r;
    parcel_deinit(&p);
    return relays ? 0 : -EPROTO;
}

/* One of them. 0, -EAGAIN: there is none, or another negative errno. */
static int take_one(Loop *l, bool relays)
{
    Handover *h = &l->handover;
    usec_t ready;
    int r = parcel_peek(h->in, &ready);

    if (r == 0)
        r = take_next(l, relays);
    if (r == -EPROTO) {
        note_malformed(l);
        return 0;
    }
    if (r == -EAGAIN)
        h->look_usec = 0;
    if (r == -EPIPE)
        handover_lose(l);
    if (r < 0 && descriptors_is_lost(-r))
        descriptors_give_up();
    return r;
}

int handover_take(Loop *l)
{
    size_t n_ready = l->ready.n, n_max = l->config->limits_connections;
    int r = 0;

    l->handover.is_ready = false;
    if (l->handover.in < 0)
        return 0;
    for (int n = 0; r == 0 && n < TAKEN_MAX && l->ready.n == n_ready && (n == 0 || l->n_connections < n_max);
         n++)
        r = take_one(l, false);
    l->handover.is_ready = r == 0;
    return r == -EAGAIN ? 0 : r;
}

void handover_relay(Loop *l)
{
    if (l->handover.in >= 0)
        (void)take_one(l, true);
}

bool handover_is_done(const Loop *l)
{
    usec_t ready;

    return l->has_heirs || l->handover.in < 0 || parcel_peek(l->handover.in, &ready) < 0;
}

/* --- limits.queue_time --- */

/* The first request in the queue has waited longest, as who takes one that is older than his own runs it before them.
 * What is no request is taken for what is behind it. Another worker may be faster: then it is the next one that comes,
 * which is given away again. */
static void take_expired(Loop *l, usec_t limit)
{
    Handover *h = &l->handover;
    usec_t ready;

    while (h->look_usec > 0 && h->look_usec + limit <= l->now) {
        if (parcel_peek(h->in, &ready) < 0)
            h->look_usec = 0;
        else if (ready + limit > l->now)
            h->look_usec = ready;
        else if (ready == 0 && l->n_connections >= l->config->limits_connections)
            h->look_usec = l->now;
        else if (take_one(l, false) < 0)
            h->look_usec = l->now; /* there are no descriptors left for it: after another such time */
    }
}

void handover_expire(Loop *l)
{
    usec_t limit = l->config->limits_queue_time;

    if (handover_due(l) > l->now)
        return;
    take_expired(l, limit);
    for (size_t n = l->ready.n; n > 0; n--) {
        Connection *c = connection_queue_pop(&l->ready);

        if (c->exchange->ready_usec + limit > l->now) {
            connection_queue_push(&l->ready, c);
            continue;
        }
        atomic_fetch_add_explicit(&l->total->expired, 1, memory_order_relaxed);
        requests_refuse(l, c, "limits.queue_time");
    }
}

usec_t handover_due(const Loop *l)
{
    usec_t limit = l->config->limits_queue_time, next = NEVER;

    if (loop_has_slot(l) || limit == 0)
        return NEVER;
    if (l->ready.first)
        next = l->ready.first->exchange->ready_usec + limit;
    if (l->handover.look_usec > 0)
        next = MIN(next, l->handover.look_usec + limit);
    return next;
}
