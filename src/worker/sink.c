/* SPDX-License-Identifier: MIT */
/* Takes the application's response. */
#include "worker/sink.h"

#include "base/clock.h"
#include "base/escape.h"
#include "base/log.h"
#include "http/file-response.h"
#include "worker/body-intake.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>

#define DIRECT_SEND_MIN (16 * 1024) /* from here on, sending without a copy pays */
#define GATHER_MAX (64 * 1024)

static Sink *sink_of(ResponseSink *base)
{
    return (Sink *)base; /* its first member */
}

/* --- the output: once something was sent, the loop's thread may be sending as well --- */

/* From here on it may. With the lock, as the other thread looks whether it may. */
static void sink_share(Exchange *x)
{
    pthread_mutex_lock(&x->lock);
    x->is_streaming = true;
}

static void sink_lock(Exchange *x)
{
    if (x->is_streaming)
        pthread_mutex_lock(&x->lock);
}

static void sink_unlock(Exchange *x)
{
    if (x->is_streaming)
        pthread_mutex_unlock(&x->lock);
}

/* What the sink's callers are told, from what Output said. */
static int sink_result(Exchange *x, int r)
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
static void sink_arm(Sink *sink)
{
    Connection *c = sink->connection;

    if (!c->exchange->is_gone && !output_is_empty(&c->exchange->output))
        connection_set_events(sink->loop, c, EPOLLOUT);
}

void sink_send_complete(Loop *l, Connection *c)
{
    Exchange *x = c->exchange;

    if (atomic_exchange(&x->is_claimed, true))
        return;
    pthread_mutex_lock(&x->lock);
    stream_flush(l, c);
    pthread_mutex_unlock(&x->lock);
}

static void sink_complete(Sink *sink)
{
    Exchange *x = sink->connection->exchange;

    x->is_complete = true;
    if (x->is_overtaken)
        sink_send_complete(sink->loop, sink->connection);
}

/* Octets of a body that are still to come are not to be taken for the next request. */
static bool sink_keeps_alive(const Loop *l, const Exchange *x)
{
    return loop_keeps_alive(l) && (!x->is_live || body_is_here(x, &l->limits));
}

/* Where heads and last chunks go, up to sink_give_output(): the output itself, or `own` while something is in a
 * file. */
static Buffer *sink_take_output(Exchange *x, Buffer *own)
{
    buffer_init(own);
    sink_lock(x);
    return output_is_simple(&x->output) ? output_memory(&x->output) : own;
}

/* r: of what was appended since. */
static int sink_give_output(Exchange *x, Buffer *own, int r)
{
    if (r == 0 && own->data)
        r = output_queue(&x->output, &(struct iovec){buffer_head(own), buffer_size(own)}, 1);
    sink_unlock(x);
    buffer_deinit(own);
    return r;
}

/* Unless the loop was first, and has told the client that the application takes too long. */
static bool sink_may_answer(Exchange *x)
{
    AnsweredBy by = ANSWERED_BY_NOBODY;

    return atomic_compare_exchange_strong(&x->answered_by, &by, ANSWERED_BY_RUNNER_SOON) ||
           by == ANSWERED_BY_RUNNER_SOON;
}

/* sink_give_output() for a head: where that fails, there may be another. */
static int sink_give_head(Exchange *x, Buffer *own, int r)
{
    r = sink_give_output(x, own, r);
    if (r == 0)
        atomic_store_explicit(&x->answered_by, ANSWERED_BY_RUNNER, memory_order_release);
    return r;
}

int sink_answer_error(Sink *sink, unsigned status)
{
    Exchange *x = sink->connection->exchange;
    bool close = !sink_keeps_alive(sink->loop, x) || !x->request.keep_alive;
    Buffer own, *out;

    if (!sink_may_answer(x))
        return SINK_E_GONE;
    response_reset(&x->response);
    x->status = x->response.status = status;
    x->response.close = close;
    out = sink_take_output(x, &own);
    return sink_give_head(x, &own, response_append_error(out, status, x->request.is_head, close, x->date));
}

static int sink_begin(ResponseSink *base, int64_t known_length)
{
    Sink *sink = sink_of(base);
    Exchange *x = sink->connection->exchange;
    bool keep_alive = sink_keeps_alive(sink->loop, x);
    Buffer own, *out;

    if (!sink_may_answer(x))
        return SINK_E_GONE;
    x->status = x->response.status;
    out = sink_take_output(x, &own);
    return sink_give_head(x, &own,
                          response_begin(&x->response, &x->request, known_length, keep_alive, x->date, out));
}

/* The loop may send from the output from now on, if the client does not take all. */
static int sink_send_interim(ResponseSink *base, const char *data, size_t size)
{
    Sink *sink = sink_of(base);
    Exchange *x = sink->connection->exchange;
    int r;

    if (x->request.version_minor == 0) /* RFC 9110 §15.2 */
        return 0;
    sink_share(x);
    r = output_send(&x->output, sink->connection->fd, &(struct iovec){(void *)data, size}, 1);
    sink_arm(sink);
    r = sink_result(x, r);
    sink_unlock(x);
    return r;
}

/* With the lock: whether the block is to be kept for others, and not sent. */
static bool sink_gathers(const Sink *sink, size_t size)
{
    Exchange *x = sink->connection->exchange;
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
static int sink_stream(Sink *sink, const struct iovec *iov, int n, size_t size)
{
    Connection *c = sink->connection;
    Exchange *x = c->exchange;
    Stream *s = &x->stream;
    Flusher *flusher = sink->loop->flusher;
    bool is_first = false;
    int r;

    if (!s->is_watched && x->response.body_size > size) /* the second block */
        flusher_watch(flusher, c);                      /* without it, each block is sent */
    sink_share(x);
    if (sink_gathers(sink, size)) {
        r = output_queue(&x->output, iov, n);
        is_first = atomic_load_explicit(&s->waiting_since, memory_order_relaxed) == 0;
        if (is_first)
            atomic_store(&s->waiting_since, clock_now_usec());
    } else {
        r = output_send(&x->output, c->fd, iov, n);
        atomic_store_explicit(&s->waiting_since, 0, memory_order_relaxed);
        sink_arm(sink);
    }
    r = sink_result(x, r);
    sink_unlock(x);
    if (is_first)
        flusher_wake(flusher);
    return r;
}

static int sink_write(ResponseSink *base, const char *data, size_t size, bool last)
{
    Sink *sink = sink_of(base);
    Connection *c = sink->connection;
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
        return sink_stream(sink, iov, ELEMENTSOF(iov), take);
    sink_lock(x);
    if (take < DIRECT_SEND_MIN)
        r = output_queue(&x->output, iov, ELEMENTSOF(iov));
    else
        r = output_send(&x->output, c->fd, iov, ELEMENTSOF(iov));
    r = sink_result(x, r);
    sink_unlock(x);
    if (r == 0 && is_all)
        sink_complete(sink);
    return r;
}

/* Takes fd over. */
static int sink_hand_file(Exchange *x, int fd, uint64_t offset, uint64_t size)
{
    char prefix[RESPONSE_PREFIX_MAX];
    size_t n_prefix, take;
    bool has_crlf;

    response_frame(&x->response, (size_t)size, &take, prefix, &n_prefix, &has_crlf);
    sink_lock(x);
    output_queue_file(&x->output, fd, offset, take);
    sink_unlock(x);
    return x->is_gone ? SINK_E_GONE : 0;
}

static int sink_send_file(ResponseSink *base, int fd, uint64_t offset, uint64_t size)
{
    int own = fcntl(fd, F_DUPFD_CLOEXEC, 3);

    return own < 0 ? -errno : sink_hand_file(sink_of(base)->connection->exchange, own, offset, size);
}

/* The loop watches the client meanwhile, and gives it up when it lags. */
static int sink_wait(ResponseSink *base)
{
    Sink *sink = sink_of(base);
    Exchange *x = sink->connection->exchange;
    bool is_behind;

    sink_share(x);
    sink_arm(sink);
    while ((is_behind = !x->is_gone && !output_has_caught_up(&x->output)) && !base->greenlet)
        pthread_cond_wait(&x->progress, &x->lock);
    pthread_mutex_unlock(&x->lock);
    return is_behind ? SINK_E_WAIT : x->is_gone ? SINK_E_GONE : 0;
}

static int sink_end(ResponseSink *base)
{
    Exchange *x = sink_of(base)->connection->exchange;
    Buffer own, *out;
    int r;

    if (x->is_complete)
        return 0;
    out = sink_take_output(x, &own);
    r = sink_give_output(x, &own, response_end(&x->response, out));
    if (r == 0)
        sink_complete(sink_of(base));
    return r;
}

/* --- files by their names --- */

static int sink_refuse_file(Sink *sink, unsigned status, const char *reason)
{
    Exchange *x = sink->connection->exchange;
    bool is_path = x->response.file_naming == FILE_BY_PATH;
    char name[512];
    int e;

    escape_bytes(name, sizeof name, buffer_span(&x->response.file));
    log_warning("Cannot send the file of %s \"%s\": %u, %s", is_path ? "X-Sendfile" : "X-Accel-Redirect",
                name, status, reason);
    e = sink_answer_error(sink, status);
    if (e == 0)
        sink_complete(sink);
    return e;
}

static int sink_send_named_file(ResponseSink *base)
{
    Sink *sink = sink_of(base);
    Exchange *x = sink->connection->exchange;
    _cleanup_close_ int fd = -EBADF;
    uint64_t offset, size;
    const char *reason;
    struct stat st;
    unsigned status = file_roots_open(sink->loop->file_roots, x->response.file_naming,
                                      buffer_span(&x->response.file), &fd, &st, &reason);
    int r;

    if (status != 0)
        return sink_refuse_file(sink, status, reason);
    r = file_response_prepare(&x->response, &x->request,
                              &(FileVersion){
                                  .size = (uint64_t)st.st_size,
                                  .modified = st.st_mtim.tv_sec,
                                  .now = x->date_second, /* the file may have been made since */
                              },
                              &offset, &size);
    if (r == 0)
        r = sink_begin(base, (int64_t)size);
    if (r == 0)
        r = sink_hand_file(x, TAKE_FD(fd), offset, size);
    return r == 0 ? sink_end(base) : r;
}

/* --- life --- */

void sink_init(Sink *sink, Loop *l, Connection *c, Greenlet *greenlet)
{
    sink->base = (ResponseSink){
        .response = &c->exchange->response,
        .greenlet = greenlet,
        .send_interim = sink_send_interim,
        .send_named_file = sink_send_named_file,
        .begin = sink_begin,
        .write = sink_write,
        .send_file = sink_send_file,
        .wait = sink_wait,
        .end = sink_end,
    };
    sink->loop = l;
    sink->connection = c;
}

void sink_deinit(Sink *sink)
{
    if (sink->connection->exchange->stream.is_watched)
        flusher_unwatch(sink->loop->flusher, sink->connection);
}
