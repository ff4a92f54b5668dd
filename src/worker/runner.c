/* SPDX-License-Identifier: MIT */
/* Runs the application for one connection and takes its response. */
#include "worker/runner.h"

#include "base/clock.h"
#include "wsgi/call.h"

#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>

#define DIRECT_SEND_MIN (16 * 1024) /* from here on, sending without a copy pays */

typedef struct Runner {
    ResponseSink sink;
    Loop *loop;
    Connection *connection;
} Runner;

static Runner *runner_of(ResponseSink *sink)
{
    return (Runner *)sink; /* its first member */
}

/* --- the sink: once something was sent, the loop's thread may be sending as well --- */

static void runner_lock(Exchange *x)
{
    if (x->is_streaming)
        pthread_mutex_lock(&x->lock);
}

static void runner_unlock(Exchange *x)
{
    if (x->is_streaming)
        pthread_mutex_unlock(&x->lock);
}

/* What the sink's callers are told, from what Output said. */
static int runner_result(Exchange *x, int r)
{
    if (r == -ENOMEM)
        return r;
    if (r < 0)
        x->is_gone = true;
    if (x->is_gone)
        return SINK_E_GONE;
    return output_is_behind(&x->output) ? SINK_E_WAIT : 0;
}

/* With the lock: the loop sends what is left, while the application goes on. */
static void runner_arm(Runner *r)
{
    Connection *c = r->connection;

    if (!c->exchange->is_gone && !output_is_empty(&c->exchange->output))
        connection_set_events(r->loop, c, EPOLLOUT);
}

/* Sends a complete response, unless the other thread does. */
static void runner_send_complete(Loop *l, Connection *c)
{
    Exchange *x = c->exchange;
    int r;

    if (atomic_exchange(&x->is_claimed, true))
        return;
    pthread_mutex_lock(&x->lock);
    r = output_flush(&x->output, c->fd);
    if (r < 0)
        x->is_gone = true;
    else if (r == OUTPUT_E_PENDING)
        connection_set_events(l, c, EPOLLOUT);
    pthread_mutex_unlock(&x->lock);
}

/* In the one order and in the other, at least one of the two threads sees what the other has stored. */
void runner_on_overtaken(Loop *l, Connection *c)
{
    c->exchange->is_overtaken = true;
    if (c->exchange->is_complete)
        runner_send_complete(l, c);
}

static void runner_complete(Runner *r)
{
    Exchange *x = r->connection->exchange;

    x->is_complete = true;
    if (x->is_overtaken)
        runner_send_complete(r->loop, r->connection);
}

static int runner_begin(ResponseSink *sink, int64_t known_length)
{
    Runner *r = runner_of(sink);
    Exchange *x = r->connection->exchange;
    bool keep_alive = !r->loop->is_draining && r->loop->config->timeouts_keepalive > 0;

    x->status = x->response.status;
    return response_begin(&x->response, &x->request, known_length, keep_alive, x->date,
                          output_memory(&x->output));
}

static int runner_write(ResponseSink *sink, const char *data, size_t size, bool last)
{
    Runner *runner = runner_of(sink);
    Connection *c = runner->connection;
    Exchange *x = c->exchange;
    char prefix[RESPONSE_PREFIX_MAX];
    size_t n_prefix, take;
    bool has_crlf, is_all;
    int r;

    if (x->is_complete)
        return 0;
    response_frame(&x->response, size, &take, prefix, &n_prefix, &has_crlf);
    is_all = x->response.framing == BODY_LENGTH && x->response.remaining == 0;
    last = last || is_all;
    struct iovec iov[] = {{prefix, n_prefix}, {(void *)data, take}, {(void *)"\r\n", has_crlf ? 2 : 0}};

    if (!last)
        x->is_streaming = true;
    runner_lock(x);
    if (last && take < DIRECT_SEND_MIN)
        r = output_queue(&x->output, iov, 3);
    else
        r = output_send(&x->output, c->fd, iov, 3);
    if (!last)
        runner_arm(runner);
    r = runner_result(x, r);
    runner_unlock(x);
    if (r == 0 && is_all)
        runner_complete(runner);
    return r;
}

static int runner_send_file(ResponseSink *sink, int fd, uint64_t offset, uint64_t size)
{
    Exchange *x = runner_of(sink)->connection->exchange;
    char prefix[RESPONSE_PREFIX_MAX];
    size_t n_prefix, take;
    bool has_crlf;
    int r;

    response_frame(&x->response, (size_t)size, &take, prefix, &n_prefix, &has_crlf);
    runner_lock(x);
    r = output_queue_file(&x->output, fd, offset, take);
    runner_unlock(x);
    return r < 0 ? r : x->is_gone ? SINK_E_GONE : 0;
}

static int runner_wait(ResponseSink *sink)
{
    Runner *r = runner_of(sink);
    Exchange *x = r->connection->exchange;
    usec_t deadline = clock_now_usec() + r->loop->config->timeouts_write;
    uint64_t left = UINT64_MAX;

    pthread_mutex_lock(&x->lock);
    x->is_streaming = true;
    runner_arm(r);
    while (!x->is_gone && !output_has_caught_up(&x->output)) {
        struct timespec until = {(time_t)(deadline / USEC_PER_SEC), (long)(deadline % USEC_PER_SEC * 1000)};
        uint64_t now_left = spool_size(&x->output.spool) + buffer_size(&x->output.overflow);

        if (now_left < left)
            deadline = clock_now_usec() + r->loop->config->timeouts_write;
        left = now_left;
        if (pthread_cond_timedwait(&x->progress, &x->lock, &until) == ETIMEDOUT &&
            clock_now_usec() >= deadline)
            x->is_gone = true;
    }
    pthread_mutex_unlock(&x->lock);
    return x->is_gone ? SINK_E_GONE : 0;
}

/* The last octets, behind what is waiting already. */
static int runner_end_behind(Exchange *x)
{
    Buffer rest;
    int r;

    buffer_init(&rest);
    r = response_end(&x->response, &rest);
    runner_lock(x);
    if (r == 0 && buffer_size(&rest) > 0)
        r = output_queue(&x->output, &(struct iovec){buffer_head(&rest), buffer_size(&rest)}, 1);
    runner_unlock(x);
    buffer_deinit(&rest);
    return r;
}

static int runner_end(ResponseSink *sink)
{
    Exchange *x = runner_of(sink)->connection->exchange;
    int r;

    if (x->is_complete)
        return 0;
    if (!x->is_streaming && output_is_simple(&x->output))
        r = response_end(&x->response, output_memory(&x->output));
    else
        r = runner_end_behind(x);
    if (r == 0)
        runner_complete(runner_of(sink));
    return r;
}

/* --- the call --- */

/* The application failed before anything of a response was final: one of the server's own. */
static void runner_answer_error(Loop *l, Exchange *x)
{
    bool close = l->is_draining || !x->request.keep_alive;

    response_reset(&x->response);
    x->status = 500;
    x->response.close = close;
    if (response_append_error(output_memory(&x->output), 500, x->request.is_head, close, x->date) < 0)
        x->is_cut = true;
}

void runner_run(Loop *l, Connection *c, WsgiApp *app)
{
    Exchange *x = c->exchange;
    Runner runner = {
        .sink =
            {
                .response = &x->response,
                .begin = runner_begin,
                .write = runner_write,
                .send_file = runner_send_file,
                .wait = runner_wait,
                .end = runner_end,
            },
        .loop = l,
        .connection = c,
    };
    WsgiPeer peer = connection_peer(c);

    switch (wsgi_call(app, &x->request, request_has_body(&x->request) ? &x->body : NULL, &peer, &runner.sink,
                      &x->error)) {
    case 0:
        break;
    case WSGI_E_ERROR:
        runner_answer_error(l, x);
        break;
    case WSGI_E_GONE:
        x->is_gone = true;
        break;
    default:
        x->is_cut = true;
    }
}
