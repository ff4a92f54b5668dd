/* SPDX-License-Identifier: MIT */
/* Receives a body by the thread of the application that reads it. */
#include "worker/live-body.h"

#include "base/clock.h"
#include "worker/body-intake.h"

#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>

static LiveBody *live_body_of(BodySource *source)
{
    return (LiveBody *)source; /* its first member */
}

static ssize_t live_fail(LiveBody *b, int error, unsigned status, const char *reason)
{
    b->error = error;
    b->status = status;
    b->source.reason = reason;
    return error;
}

/* --- waiting --- */

static void live_wait(BodyWait *w)
{
    struct pollfd p = {.fd = w->fd, .events = POLLIN};
    usec_t start = clock_now_usec();

    (void)poll(&p, 1, (int)((w->timeout_usec + USEC_PER_MSEC - 1) / USEC_PER_MSEC));
    w->elapsed_usec = clock_now_usec() - start;
}

/* What the client may wait for itself: answers to earlier requests, and to be asked for the body. */
static void live_send(LiveBody *b)
{
    Connection *c = b->connection;
    Exchange *x = c->exchange;
    int r;

    pthread_mutex_lock(&x->lock);
    r = x->status == 0 ? body_continue(x) : 0; /* a response that has begun needs none */
    if (r == 0)
        r = output_flush(&x->output, c->fd, false);
    if (r < 0)
        x->is_gone = true;
    if (r == OUTPUT_E_PENDING) {
        x->is_streaming = true;
        connection_set_events(b->loop, c, EPOLLOUT);
    }
    pthread_mutex_unlock(&x->lock);
}

/* Not where it is 0: the loop has given the request up, and nobody else is to think that it runs. */
static void live_move_clock(LiveBody *b, usec_t ahead, usec_t back)
{
    usec_t started = atomic_load(&b->slot->started_usec);

    while (started > 0 &&
           !atomic_compare_exchange_weak(&b->slot->started_usec, &started, started + ahead - back))
        ;
}

/* The clock of timeouts.request stands still from here to live_end_wait(): it runs from a later time. */
static ssize_t live_begin_wait(LiveBody *b, BodyWait *w)
{
    const Config *config = b->loop->config;

    if (b->silent_usec >= config->timeouts_body)
        return live_fail(b, -ETIMEDOUT, 408, "the client sent nothing of the request body for timeouts.body");
    if (body_is_too_slow(b->connection->exchange, config, b->waited_usec))
        return live_fail(b, -ETIMEDOUT, 408,
                         "the client sent the request body more slowly than limits.body_rate");
    live_send(b);
    w->fd = b->connection->fd;
    w->timeout_usec = config->timeouts_body - b->silent_usec;
    live_move_clock(b, w->timeout_usec, 0);
    return -EAGAIN;
}

static void live_end_wait(BodySource *source, BodyWait *w)
{
    LiveBody *b = live_body_of(source);

    live_move_clock(b, w->elapsed_usec, w->timeout_usec);
    b->waited_usec += w->elapsed_usec;
    b->silent_usec += w->elapsed_usec;
    *w = (BodyWait){0};
}

/* --- receiving --- */

/* As much as there is of what was received before, into to. HTTP_E_MORE: *ret octets, and more is to come; 0: the same,
 * and it is the end; or the status to refuse with. */
static int live_take(LiveBody *b, char *to, size_t size, size_t *ret)
{
    Exchange *x = b->connection->exchange;
    Span piece;
    int r;

    *ret = 0;
    do {
        r = body_take(x, &b->loop->limits, size - *ret, &piece);
        if (piece.size > 0)
            memcpy(to + *ret, piece.data, piece.size);
        *ret += piece.size;
    } while (r == HTTP_E_MORE && *ret < size && body_unread(x).size > 0);
    return r;
}

/* A sized body goes straight to where it is wanted, and no octet of the next request comes with it; chunks go where the
 * buffered ones do. 0: the client has ended the connection. */
static ssize_t live_recv(Connection *c, char *to, size_t size, size_t *ret_body)
{
    Exchange *x = c->exchange;
    ssize_t n;

    if (!x->request.chunked) {
        n = recv(c->fd, to, (size_t)MIN(body_missing(x), (uint64_t)size), 0);
        *ret_body = n > 0 ? (size_t)n : 0;
        x->body_received += *ret_body;
        return n;
    }
    body_drop_taken(x);
    n = recv(c->fd, buffer_tail(&x->in), buffer_room(&x->in), 0);
    *ret_body = 0;
    if (n > 0)
        x->in.end += (size_t)n;
    return n;
}

static ssize_t live_receive(BodySource *source, char *to, size_t size, BodyWait *w)
{
    LiveBody *b = live_body_of(source);
    Exchange *x = b->connection->exchange;
    size_t n_body;
    ssize_t n;
    int r;

    if (b->error)
        return b->error;
    for (;;) {
        r = live_take(b, to, size, &n_body);
        if (r > HTTP_E_MORE)
            return live_fail(b, r == 413 ? -EFBIG : -EPROTO, (unsigned)r, x->chunked.reason);
        if (n_body > 0 || r == 0)
            return (ssize_t)n_body;
        n = live_recv(b->connection, to, size, &n_body);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return live_begin_wait(b, w);
        if (n <= 0)
            return live_fail(b, -ECONNRESET, 400, "the client ended the connection within the request body");
        b->silent_usec = 0;
        if (n_body > 0)
            return (ssize_t)n_body;
    }
}

void live_body_init(LiveBody *b, Loop *l, Connection *c, ScoreboardSlot *slot)
{
    *b = (LiveBody){
        .source = {.receive = live_receive, .wait = live_wait, .end_wait = live_end_wait},
        .loop = l,
        .connection = c,
        .slot = slot,
    };
}
