/* SPDX-License-Identifier: MIT */
/* A client's connection and its states. */
#include "worker/connection.h"

#include "base/log.h"
#include "worker/body-intake.h"
#include "worker/drain.h"
#include "worker/handover.h"
#include "worker/intake.h"
#include "worker/peer.h"
#include "worker/records.h"
#include "worker/requests.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define LINGER_BYTES_MAX (64u * 1024 * 1024)
#define PIPELINE_OUTPUT_MAX (64 * 1024)

/* --- life --- */

int connection_begin_watch(Loop *l, Connection *c)
{
    bool is_ready = c->state == CONNECTION_READY;
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
    int r;

    if (c->state == CONNECTION_CLOSED || c->events != 0 || (is_ready && loop_has_slot(l)))
        return 0;
    if (epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, c->fd, &e) < 0) {
        r = -errno;
        if (is_ready)
            c->exchange->is_gone = true; /* it is in the queue, and is dropped there */
        else
            connection_close(l, c);
        return r;
    }
    c->events = EPOLLIN;
    return 0;
}

void connection_adopt(Loop *l, Connection *c, const Listener *listener, int fd)
{
    descriptors_add(&l->descriptors, fd);
    c->source.type = SOURCE_CONNECTION;
    c->fd = fd;
    c->listener = listener;
    l->n_connections++;
}

int connection_new(Loop *l, const Listener *listener, int fd, const struct sockaddr_storage *peer)
{
    Connection *c = calloc(1, sizeof *c);

    if (!c) {
        close(fd);
        return -ENOMEM;
    }
    connection_adopt(l, c, listener, fd);
    if (!peer_init(l, c, peer)) {
        connection_close(l, c);
        return 0;
    }
    connection_set_timeout(l, c, TIMEOUT_HEAD);
    if (drain_is_due(l) && handover_give(l, c) == 0)
        return 0;
    intake_on_readable(l, c); /* most clients have sent something by now */
    return connection_begin_watch(l, c);
}

void connection_release_exchange(Loop *l, Connection *c)
{
    if (!c->exchange)
        return;
    exchange_pool_put(&l->exchanges, TAKE_PTR(c->exchange));
    l->active_usec = l->now;
}

void connection_close(Loop *l, Connection *c)
{
    if (c->state == CONNECTION_CLOSED)
        return;
    c->state = CONNECTION_CLOSED;
    timeout_disarm(&c->timeout);
    connection_release_exchange(l, c);
    /* Explicitly: a child that the application forked may keep the description open, and the set with it,
     * epoll(7). */
    connection_set_events(l, c, 0);
    descriptors_remove(&l->descriptors, c->fd);
    if (close(c->fd) < 0 && descriptors_is_lost(errno))
        descriptors_give_up();
    if (c->client)
        clients_leave(&l->clients, c->client);
    l->n_connections--;
    c->next_queued = l->closed;
    l->closed = c;
}

void connection_free_closed(Loop *l)
{
    while (l->closed) {
        Connection *c = l->closed;
        l->closed = c->next_queued;
        free(c);
    }
}

void connection_set_events(Loop *l, Connection *c, uint32_t events)
{
    struct epoll_event e = {.events = events, .data.ptr = c};
    int op = c->events == 0 ? EPOLL_CTL_ADD : events == 0 ? EPOLL_CTL_DEL : EPOLL_CTL_MOD;

    if (events == c->events)
        return;
    if (epoll_ctl(l->epoll_fd, op, c->fd, &e) < 0) {
        if (descriptors_is_lost(errno))
            descriptors_give_up();
        log_error("epoll_ctl: %s", strerror(errno));
        shutdown(c->fd, SHUT_RDWR);
    }
    c->events = events;
}

void connection_set_timeout(Loop *l, Connection *c, TimeoutKind kind)
{
    c->timeout_kind = kind;
    timeout_arm(&l->timeouts[kind], &c->timeout, l->now);
}

/* --- the way out --- */

/* Closing with octets unread would make the kernel send a RST, which can overtake the answer, or take the place of what
 * of it is not sent yet (RFC 9112 §9.6). */
static bool connection_has_input(Loop *l, const Connection *c)
{
    return recv(c->fd, l->scratch, sizeof l->scratch, 0) > 0;
}

static void connection_linger(Loop *l, Connection *c)
{
    connection_release_exchange(l, c);
    c->state = CONNECTION_LINGERING;
    connection_set_timeout(l, c, TIMEOUT_LINGER);
    connection_set_events(l, c, EPOLLIN);
}

static void connection_on_lingering(Loop *l, Connection *c)
{
    ssize_t n = recv(c->fd, l->scratch, sizeof l->scratch, 0);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    c->n_lingered += n > 0 ? (uint32_t)n : 0;
    if (n <= 0 || c->n_lingered > LINGER_BYTES_MAX)
        connection_close(l, c);
}

/* Everything is sent: the next request, or none for now. */
static void connection_on_sent(Loop *l, Connection *c)
{
    if (c->closes) {
        /* With the end of the answer, which waited for it: one packet instead of two. */
        if (shutdown(c->fd, SHUT_WR) == 0 && (c->must_linger || connection_has_input(l, c)))
            connection_linger(l, c);
        else
            connection_close(l, c);
        return;
    }
    connection_set_events(l, c, EPOLLIN);
    if (c->state != CONNECTION_WRITING)
        return;
    if (buffer_size(&c->exchange->in) > 0) {
        intake_next(l, c);
        return;
    }
    connection_release_exchange(l, c);
    c->state = CONNECTION_IDLE;
    connection_set_timeout(l, c, l->is_draining && !l->has_heirs ? TIMEOUT_FAREWELL : TIMEOUT_KEEPALIVE);
}

/* Whether the client took too little of what waited for it since it was asked last, timeouts.write ago. */
static bool connection_reader_lags(const Loop *l, Connection *c)
{
    const Config *config = l->config;
    uint64_t least = config->limits_write_rate * (config->timeouts_write / USEC_PER_MSEC) / 1000;

    return output_lags(&c->exchange->output, c->fd, least > 0 ? least : 1);
}

/* From the first octet that waits on: what the client takes meanwhile earns it no time. */
static void connection_watch_reader(Loop *l, Connection *c)
{
    if (c->timeout_kind == TIMEOUT_WRITE && timeout_is_armed(&c->timeout))
        return;
    connection_set_timeout(l, c, TIMEOUT_WRITE);
    (void)connection_reader_lags(l, c);
}

void connection_on_flush(Loop *l, Connection *c)
{
    int r;

    if (c->state == CONNECTION_RUNNING || c->state == CONNECTION_CLOSED || !c->exchange)
        return;
    r = output_flush(&c->exchange->output, c->fd, c->closes);
    if (r == 0) {
        connection_on_sent(l, c);
    } else if (r != OUTPUT_E_PENDING) {
        c->exchange->is_gone = true;
        if (c->state != CONNECTION_READY) /* else it is in the queue, and is dropped there */
            connection_close(l, c);
    } else if (c->state == CONNECTION_READY) {
        connection_set_events(l, c, EPOLLOUT);
    } else {
        c->state = CONNECTION_WRITING;
        connection_watch_reader(l, c);
        connection_set_events(l, c, EPOLLOUT);
    }
}

void connection_on_response(Loop *l, Connection *c)
{
    Exchange *x = c->exchange;
    bool is_unreceived;

    record_error(l, c);
    loop_count_request(l);
    if (--l->n_until_replaced == 0 && drain_ask_for_replacement(l, "") < 0)
        l->n_until_replaced = 1; /* the channel was full: with the next response */
    if (x->refused_status > 0 && !x->is_cut) {
        connection_refuse(l, c, x->refused_status, x->refused_reason);
        return;
    }
    if (x->refused_status > 0)
        record_refusal(l, c, x->refused_status, x->refused_reason);
    record_access(l, c, x->status == x->response.status ? &x->response : NULL);
    c->state = CONNECTION_WRITING;
    if (x->is_gone) {
        connection_close(l, c);
        return;
    }
    is_unreceived = x->is_live && !body_skip(x, &l->limits);
    c->closes = x->response.close || x->is_cut || is_unreceived;
    exchange_next_request(x);
    c->must_linger = buffer_size(&x->in) > 0 || is_unreceived;
    requests_keep_back(l, c);
    /* Pipelined requests are answered together, within reason; or by another worker. */
    if (!l->is_draining && !c->closes && c->must_linger && output_is_simple(&x->output) &&
        buffer_size(output_memory(&x->output)) < PIPELINE_OUTPUT_MAX)
        intake_advance(l, c);
}

void connection_refuse(Loop *l, Connection *c, unsigned status, const char *reason)
{
    Exchange *x = c->exchange;

    record_refusal(l, c, status, reason);
    x->status = status;
    record_access(l, c, NULL);
    c->state = CONNECTION_WRITING;
    c->closes = c->must_linger = true;
    if (response_append_error(output_memory(&x->output), status, x->request.is_head, true, l->date) < 0)
        connection_close(l, c);
    else
        connection_on_flush(l, c);
}

/* OPTIONS * asks the server, not a resource (RFC 9110 §9.3.7). */
static void connection_answer_options(Loop *l, Connection *c)
{
    Exchange *x = c->exchange;
    bool keep_alive = !l->is_draining || l->has_heirs;

    x->status = 200;
    if (response_set_status(&x->response, "200 OK", 6) != 0 ||
        response_begin(&x->response, &x->request, 0, keep_alive, l->date, output_memory(&x->output)) != 0)
        x->is_gone = true;
    connection_on_response(l, c);
}

void connection_on_request(Loop *l, Connection *c)
{
    timeout_disarm(&c->timeout);
    if (c->exchange->request.is_server_options) {
        connection_answer_options(l, c);
        return;
    }
    c->state = CONNECTION_READY;
    c->exchange->ready_usec = l->now;
    connection_queue_push(&l->ready, c);
}

/* --- events --- */

/* The application of another thread runs for it, and may be sending. */
static void connection_on_event_running(Loop *l, Connection *c, uint32_t events)
{
    Exchange *x = c->exchange;
    uint32_t wanted;
    int r;

    pthread_mutex_lock(&x->lock);
    wanted = c->events & ~(uint32_t)EPOLLIN; /* a next request, or its end: later */
    r = events & EPOLLOUT ? output_flush(&x->output, c->fd, false) : OUTPUT_E_PENDING;
    if (r == 0)
        wanted &= ~(uint32_t)EPOLLOUT;
    if (r < 0 || events & (EPOLLERR | EPOLLHUP)) {
        x->is_gone = true;
        wanted = 0;
    }
    connection_set_events(l, c, wanted);
    exchange_announce_progress(x);
    pthread_mutex_unlock(&x->lock);
}

/* In the queue for the application: of interest are its end, and answers to earlier requests. */
static void connection_on_event_ready(Loop *l, Connection *c, uint32_t events)
{
    bool is_gone = events & (EPOLLERR | EPOLLHUP);

    if (is_gone)
        c->exchange->is_gone = true;
    if (!is_gone && events & EPOLLOUT)
        connection_on_flush(l, c);
    else
        connection_set_events(l, c, 0);
}

void connection_on_event(Loop *l, Connection *c, uint32_t events)
{
    switch (c->state) {
    case CONNECTION_IDLE:
        if ((l->has_heirs || drain_is_due(l)) && handover_give(l, c) == 0)
            break;
        __attribute__((__fallthrough__));
    case CONNECTION_HEAD:
    case CONNECTION_BODY:
        intake_on_readable(l, c);
        break;
    case CONNECTION_READY:
        connection_on_event_ready(l, c, events);
        break;
    case CONNECTION_RUNNING:
        connection_on_event_running(l, c, events);
        break;
    case CONNECTION_WRITING:
        connection_on_flush(l, c);
        break;
    case CONNECTION_LINGERING:
        connection_on_lingering(l, c);
        break;
    case CONNECTION_CLOSED:
        break;
    }
}

/* WRITING or RUNNING; then events for EPOLLOUT say that the output is shared already, and something waits in it. Who
 * lags is reset: the kernel would go on for hours with the megabytes that it has, tcp(7). */
static void connection_on_write_timeout(Loop *l, Connection *c)
{
    const struct linger now = {.l_onoff = 1, .l_linger = 0};
    Exchange *x = c->exchange;
    bool lags;

    pthread_mutex_lock(&x->lock);
    lags = c->events & EPOLLOUT && connection_reader_lags(l, c);
    if (lags) {
        setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
        x->is_gone = true;
        connection_set_events(l, c, 0);
        exchange_announce_progress(x);
    }
    pthread_mutex_unlock(&x->lock);
    if (!lags) {
        connection_set_timeout(l, c, TIMEOUT_WRITE);
        return;
    }
    log_info("%s takes its response more slowly than limits.write_rate: closing",
             c->address[0] ? c->address : "A local client");
    if (c->state != CONNECTION_RUNNING)
        connection_close(l, c);
}

void connection_on_timeout(Loop *l, Connection *c)
{
    bool is_refusable =
        c->state == CONNECTION_BODY || (c->state == CONNECTION_HEAD && buffer_size(&c->exchange->in) > 0);

    if (c->timeout_kind == TIMEOUT_WRITE) {
        connection_on_write_timeout(l, c);
        return;
    }
    if (is_refusable && output_is_simple(&c->exchange->output))
        connection_refuse(l, c, 408, c->state == CONNECTION_BODY ? "timeouts.body" : "timeouts.head");
    else
        connection_close(l, c);
}
