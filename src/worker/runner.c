/* SPDX-License-Identifier: MIT */
/* Runs the application for one connection and takes its response. */
#include "worker/runner.h"

#include "base/clock.h"
#include "base/escape.h"
#include "base/log.h"
#include "http/file-response.h"
#include "worker/body-intake.h"
#include "worker/peer.h"
#include "wsgi/body-memory.h"
#include "wsgi/call.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/epoll.h>

#define DIRECT_SEND_MIN (16 * 1024) /* from here on, sending without a copy pays */
#define GATHER_MAX (64 * 1024)

static Runner *runner_of(ResponseSink *sink)
{
    return (Runner *)sink; /* its first member */
}

/* --- the sink: once something was sent, the loop's thread may be sending as well --- */

/* From here on it may. With the lock, as the other thread looks whether it may. */
static void runner_share(Exchange *x)
{
    pthread_mutex_lock(&x->lock);
    x->is_streaming = true;
}

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

    if (atomic_exchange(&x->is_claimed, true))
        return;
    pthread_mutex_lock(&x->lock);
    stream_flush(l, c);
    pthread_mutex_unlock(&x->lock);
}

/* Pipelined requests are answered together, but not so that the answer to one waits for a slow one behind it. */
static void runner_send_earlier(Loop *l, Connection *c)
{
    Exchange *x = c->exchange;

    pthread_mutex_lock(&x->lock);
    if (x->is_streaming)
        stream_flush(l, c);
    pthread_mutex_unlock(&x->lock);
}

/* New connections are watched from here on, to learn of their ends: see connection_new(). */
static void runner_watch_client(Loop *l, Connection *c)
{
    pthread_mutex_lock(&c->exchange->lock);
    if (c->events == 0 && !c->exchange->is_gone)
        connection_set_events(l, c, EPOLLIN);
    pthread_mutex_unlock(&c->exchange->lock);
}

/* In the one order and in the other, at least one of the two threads sees what the other has stored. */
void runner_on_overtaken(Loop *l, Connection *c)
{
    connection_set_timeout(l, c, TIMEOUT_WRITE); /* it may stream from now on */
    runner_watch_client(l, c);
    c->exchange->is_overtaken = true;
    if (c->exchange->is_complete)
        runner_send_complete(l, c);
    else
        runner_send_earlier(l, c);
}

static void runner_complete(Runner *r)
{
    Exchange *x = r->connection->exchange;

    x->is_complete = true;
    if (x->is_overtaken)
        runner_send_complete(r->loop, r->connection);
}

/* Octets of a body that are still to come are not to be taken for the next request. */
static bool runner_keeps_alive(const Loop *l, const Exchange *x)
{
    return loop_keeps_alive(l) && (!x->is_live || body_is_here(x, &l->limits));
}

/* Where heads and last chunks go, up to runner_give_output(): the output itself, or `own` while something is in a file. */
static Buffer *runner_take_output(Exchange *x, Buffer *own)
{
    buffer_init(own);
    runner_lock(x);
    return output_is_simple(&x->output) ? output_memory(&x->output) : own;
}

/* r: of what was appended since. */
static int runner_give_output(Exchange *x, Buffer *own, int r)
{
    if (r == 0 && own->data)
        r = output_queue(&x->output, &(struct iovec){buffer_head(own), buffer_size(own)}, 1);
    runner_unlock(x);
    buffer_deinit(own);
    return r;
}

/* Unless the loop was first, and has told the client that the application takes too long. */
static bool runner_may_answer(Exchange *x)
{
    AnsweredBy by = ANSWERED_BY_NOBODY;

    return atomic_compare_exchange_strong(&x->answered_by, &by, ANSWERED_BY_RUNNER_SOON) ||
           by == ANSWERED_BY_RUNNER_SOON;
}

/* runner_give_output() for a head: where that fails, there may be another. */
static int runner_give_head(Exchange *x, Buffer *own, int r)
{
    r = runner_give_output(x, own, r);
    if (r == 0)
        atomic_store_explicit(&x->answered_by, ANSWERED_BY_RUNNER, memory_order_release);
    return r;
}

/* A response of the server's own instead of the application's, of which nothing is final yet. */
static int runner_answer_error(Loop *l, Exchange *x, unsigned status)
{
    bool close = !runner_keeps_alive(l, x) || !x->request.keep_alive;
    Buffer own, *out;

    if (!runner_may_answer(x))
        return SINK_E_GONE;
    response_reset(&x->response);
    x->status = x->response.status = status;
    x->response.close = close;
    out = runner_take_output(x, &own);
    return runner_give_head(x, &own, response_append_error(out, status, x->request.is_head, close, x->date));
}

static int runner_begin(ResponseSink *sink, int64_t known_length)
{
    Runner *r = runner_of(sink);
    Exchange *x = r->connection->exchange;
    bool keep_alive = runner_keeps_alive(r->loop, x);
    Buffer own, *out;

    if (!runner_may_answer(x))
        return SINK_E_GONE;
    x->status = x->response.status;
    out = runner_take_output(x, &own);
    return runner_give_head(
        x, &own, response_begin(&x->response, &x->request, known_length, keep_alive, x->date, out));
}

/* The loop may send from the output from now on, if the client does not take all. */
static int runner_send_interim(ResponseSink *sink, const char *data, size_t size)
{
    Runner *runner = runner_of(sink);
    Exchange *x = runner->connection->exchange;
    int r;

    if (x->request.version_minor == 0) /* RFC 9110 §15.2 */
        return 0;
    runner_share(x);
    r = output_send(&x->output, runner->connection->fd, &(struct iovec){(void *)data, size}, 1);
    runner_arm(runner);
    r = runner_result(x, r);
    runner_unlock(x);
    return r;
}

/* With the lock: whether the block is to be kept for others, and not sent. */
static bool runner_gathers(const Runner *r, size_t size)
{
    Exchange *x = r->connection->exchange;
    Stream *s = &x->stream;

    if (s->state == STREAM_NEW) {
        s->state = STREAM_GATHERING;
        return false;
    }
    if (!s->is_watched || size >= DIRECT_SEND_MIN || !output_is_simple(&x->output) ||
        buffer_size(output_memory(&x->output)) + size + RESPONSE_PREFIX_MAX > GATHER_MAX)
        return false;
    if (s->state == STREAM_DAWDLING) {
        usec_t now = clock_now_usec(), before = s->sent_usec;

        s->sent_usec = now;
        s->state = now - before < FLUSH_AFTER_USEC ? STREAM_GATHERING : STREAM_DAWDLING;
    }
    return s->state == STREAM_GATHERING;
}

/* A block that others follow, perhaps: see flusher.h. */
static int runner_stream(Runner *runner, const struct iovec *iov, int n, size_t size)
{
    Connection *c = runner->connection;
    Exchange *x = c->exchange;
    Stream *s = &x->stream;
    Flusher *flusher = runner->loop->flusher;
    bool is_first = false;
    int r;

    if (!s->is_watched && x->response.body_size > size) /* the second block */
        flusher_watch(flusher, c);                      /* without it, each block is sent */
    runner_share(x);
    if (runner_gathers(runner, size)) {
        r = output_queue(&x->output, iov, n);
        is_first = atomic_load_explicit(&s->waiting_since, memory_order_relaxed) == 0;
        if (is_first)
            atomic_store(&s->waiting_since, clock_now_usec());
    } else {
        r = output_send(&x->output, c->fd, iov, n);
        atomic_store_explicit(&s->waiting_since, 0, memory_order_relaxed);
        runner_arm(runner);
    }
    r = runner_result(x, r);
    runner_unlock(x);
    if (is_first)
        flusher_wake(flusher);
    return r;
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
    struct iovec iov[] = {{prefix, n_prefix}, {(void *)data, take}, {(void *)"\r\n", has_crlf ? 2 : 0}};

    if (!last && !is_all)
        return runner_stream(runner, iov, ELEMENTSOF(iov), take);
    runner_lock(x);
    if (take < DIRECT_SEND_MIN)
        r = output_queue(&x->output, iov, ELEMENTSOF(iov));
    else
        r = output_send(&x->output, c->fd, iov, ELEMENTSOF(iov));
    r = runner_result(x, r);
    runner_unlock(x);
    if (r == 0 && is_all)
        runner_complete(runner);
    return r;
}

/* Takes fd over. */
static int runner_hand_file(Exchange *x, int fd, uint64_t offset, uint64_t size)
{
    char prefix[RESPONSE_PREFIX_MAX];
    size_t n_prefix, take;
    bool has_crlf;

    response_frame(&x->response, (size_t)size, &take, prefix, &n_prefix, &has_crlf);
    runner_lock(x);
    output_queue_file(&x->output, fd, offset, take);
    runner_unlock(x);
    return x->is_gone ? SINK_E_GONE : 0;
}

static int runner_send_file(ResponseSink *sink, int fd, uint64_t offset, uint64_t size)
{
    int own = fcntl(fd, F_DUPFD_CLOEXEC, 3);

    return own < 0 ? -errno : runner_hand_file(runner_of(sink)->connection->exchange, own, offset, size);
}

/* The loop watches the client meanwhile, and gives it up when it lags. */
static int runner_wait(ResponseSink *sink)
{
    Runner *r = runner_of(sink);
    Exchange *x = r->connection->exchange;
    bool is_behind;

    runner_share(x);
    runner_arm(r);
    while ((is_behind = !x->is_gone && !output_has_caught_up(&x->output)) && !sink->greenlet)
        pthread_cond_wait(&x->progress, &x->lock);
    pthread_mutex_unlock(&x->lock);
    return is_behind ? SINK_E_WAIT : x->is_gone ? SINK_E_GONE : 0;
}

static int runner_end(ResponseSink *sink)
{
    Exchange *x = runner_of(sink)->connection->exchange;
    Buffer own, *out;
    int r;

    if (x->is_complete)
        return 0;
    out = runner_take_output(x, &own);
    r = runner_give_output(x, &own, response_end(&x->response, out));
    if (r == 0)
        runner_complete(runner_of(sink));
    return r;
}

/* --- files by their names --- */

static int runner_refuse_file(Runner *r, unsigned status, const char *reason)
{
    Exchange *x = r->connection->exchange;
    bool is_path = x->response.file_naming == FILE_BY_PATH;
    char name[512];
    int e;

    escape_bytes(name, sizeof name, buffer_span(&x->response.file));
    log_warning("Cannot send the file of %s \"%s\": %u, %s", is_path ? "X-Sendfile" : "X-Accel-Redirect",
                name, status, reason);
    e = runner_answer_error(r->loop, x, status);
    if (e == 0)
        runner_complete(r);
    return e;
}

static int runner_send_named_file(ResponseSink *sink)
{
    Runner *runner = runner_of(sink);
    Exchange *x = runner->connection->exchange;
    _cleanup_close_ int fd = -EBADF;
    uint64_t offset, size;
    const char *reason;
    struct stat st;
    unsigned status = file_roots_open(runner->loop->file_roots, x->response.file_naming,
                                      buffer_span(&x->response.file), &fd, &st, &reason);
    int r;

    if (status != 0)
        return runner_refuse_file(runner, status, reason);
    r = file_response_prepare(&x->response, &x->request,
                              &(FileVersion){
                                  .size = (uint64_t)st.st_size,
                                  .modified = st.st_mtim.tv_sec,
                                  .now = x->date_second, /* the file may have been made since */
                              },
                              &offset, &size);
    if (r == 0)
        r = runner_begin(sink, (int64_t)size);
    if (r == 0)
        r = runner_hand_file(x, TAKE_FD(fd), offset, size);
    return r == 0 ? runner_end(sink) : r;
}

/* --- the call --- */

/* The application gave up, as the client did not send its body: connection_on_response() says so. */
static void runner_take_refusal(Exchange *x, const LiveBody *body)
{
    x->refused_status = body->status;
    x->refused_reason = body->source.reason;
    x->is_cut = x->status != 0;
}

static void runner_init(Runner *r, Loop *l, Connection *c, Greenlet *greenlet)
{
    r->sink = (ResponseSink){
        .response = &c->exchange->response,
        .greenlet = greenlet,
        .send_interim = runner_send_interim,
        .send_named_file = runner_send_named_file,
        .begin = runner_begin,
        .write = runner_write,
        .send_file = runner_send_file,
        .wait = runner_wait,
        .end = runner_end,
    };
    r->loop = l;
    r->connection = c;
}

void runner_run(Runner *r, Loop *l, Connection *c, WsgiApp *app, ScoreboardSlot *slot, Greenlet *greenlet)
{
    Exchange *x = c->exchange;
    const Spool *body = request_has_body(&x->request) && !x->is_live ? &x->body : NULL;
    WsgiPeer peer = peer_of_request(c);

    runner_init(r, l, c, greenlet);
    if (x->is_live)
        live_body_init(&r->live, l, c, slot);
    switch (
        wsgi_call(app, &x->request, body, x->is_live ? &r->live.source : NULL, &peer, &r->sink, &x->error)) {
    case 0:
        break;
    case WSGI_E_ERROR:
        x->is_cut = runner_answer_error(l, x, 500) < 0;
        break;
    case WSGI_E_GONE:
        x->is_gone = true;
        break;
    case WSGI_E_BODY:
        runner_take_refusal(x, &r->live);
        break;
    default:
        x->is_cut = true;
    }
    if (x->body.owner)
        body_memory_free(spool_take_back(&x->body));
    if (x->stream.is_watched)
        flusher_unwatch(l->flusher, c);
}
