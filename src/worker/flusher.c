/* SPDX-License-Identifier: MIT */
/* The thread that sends what an application's pauses would hold back. */
#include "worker/flusher.h"

#include "base/clock.h"
#include "base/log.h"
#include "worker/connection.h"

#include <errno.h>
#include <pthread.h>
#include <sys/epoll.h>

#define LOOK_USEC 500 /* a look costs two switches of threads: as much as the gathering of a hundred blocks */
#define LOOKS_BEFORE_PARKING 10

struct Flusher {
    Loop *loop;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    pthread_t thread;
    Stream *first;
    bool is_started;
    bool is_refused; /* there is no thread to be had */
    bool is_over;
    _Atomic bool is_parked; /* sleeps until it is woken; else it looks soon */
};

void stream_flush(Loop *l, Connection *c)
{
    Exchange *x = c->exchange;
    int r = output_flush(&x->output, c->fd, false);

    atomic_store_explicit(&x->stream.waiting_since, 0, memory_order_relaxed);
    if (r < 0)
        x->is_gone = true;
    else if (r == OUTPUT_E_PENDING)
        connection_set_events(l, c, EPOLLOUT);
}

static void stream_on_dawdling(Loop *l, Connection *c)
{
    Exchange *x = c->exchange;

    pthread_mutex_lock(&x->lock);
    if (!x->is_gone && atomic_load_explicit(&x->stream.waiting_since, memory_order_relaxed) > 0) {
        stream_flush(l, c);
        x->stream.state = STREAM_DAWDLING;
        x->stream.sent_usec = clock_now_usec();
    }
    pthread_mutex_unlock(&x->lock);
}

/* Sends what is due. True: nothing waits. */
static bool flusher_look(Flusher *f, usec_t now)
{
    bool is_quiet = true;

    for (Stream *s = f->first; s; s = s->next) {
        usec_t since = atomic_load(&s->waiting_since);

        if (since == 0)
            continue;
        is_quiet = false;
        if (since + FLUSH_AFTER_USEC <= now)
            stream_on_dawdling(f->loop, s->connection);
    }
    return is_quiet;
}

static bool flusher_sees_work(const Flusher *f)
{
    for (const Stream *s = f->first; s; s = s->next)
        if (atomic_load(&s->waiting_since) > 0)
            return true;
    return false;
}

/* A runner stores waiting_since, then loads is_parked: one of the two sees the other. */
static void flusher_park(Flusher *f)
{
    atomic_store(&f->is_parked, true);
    if (!flusher_sees_work(f) && !f->is_over)
        pthread_cond_wait(&f->wake, &f->lock);
    atomic_store(&f->is_parked, false);
}

static void *flusher_main(void *arg)
{
    Flusher *f = arg;
    unsigned n_quiet = 0;

    pthread_mutex_lock(&f->lock);
    while (!f->is_over) {
        usec_t now = clock_now_usec(), next = now + LOOK_USEC;
        struct timespec until = {(time_t)(next / USEC_PER_SEC), (long)(next % USEC_PER_SEC * 1000)};

        n_quiet = flusher_look(f, now) ? n_quiet + 1 : 0;
        if (n_quiet < LOOKS_BEFORE_PARKING) {
            pthread_cond_timedwait(&f->wake, &f->lock, &until);
        } else {
            flusher_park(f);
            n_quiet = 0;
        }
    }
    pthread_mutex_unlock(&f->lock);
    return NULL;
}

/* With the lock. */
static bool flusher_start(Flusher *f)
{
    int r;

    if (f->is_started || f->is_refused)
        return f->is_started;
    r = pthread_create(&f->thread, NULL, flusher_main, f);
    if (r != 0)
        log_warning("Cannot start a thread: %s; blocks of responses are sent one by one", strerror(r));
    f->is_started = r == 0;
    f->is_refused = r != 0;
    return f->is_started;
}

void flusher_watch(Flusher *f, Connection *c)
{
    Stream *s = &c->exchange->stream;

    pthread_mutex_lock(&f->lock);
    s->is_watched = flusher_start(f);
    if (s->is_watched) {
        s->connection = c;
        s->previous = NULL;
        s->next = f->first;
        if (s->next)
            s->next->previous = s;
        f->first = s;
    }
    pthread_mutex_unlock(&f->lock);
}

void flusher_unwatch(Flusher *f, Connection *c)
{
    Stream *s = &c->exchange->stream;

    pthread_mutex_lock(&f->lock);
    if (s->previous)
        s->previous->next = s->next;
    else
        f->first = s->next;
    if (s->next)
        s->next->previous = s->previous;
    s->is_watched = false;
    pthread_mutex_unlock(&f->lock);
}

void flusher_wake(Flusher *f)
{
    if (!atomic_load(&f->is_parked))
        return;
    pthread_mutex_lock(&f->lock);
    pthread_cond_signal(&f->wake);
    pthread_mutex_unlock(&f->lock);
}

int flusher_new(Loop *loop, Flusher **ret)
{
    Flusher *f = calloc(1, sizeof *f);
    pthread_condattr_t monotonic;

    if (!f)
        return -ENOMEM;
    f->loop = loop;
    pthread_mutex_init(&f->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&f->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    *ret = f;
    return 0;
}

Flusher *flusher_free(Flusher *f)
{
    if (!f)
        return NULL;
    pthread_mutex_lock(&f->lock);
    f->is_over = true;
    pthread_cond_signal(&f->wake);
    pthread_mutex_unlock(&f->lock);
    if (f->is_started)
        pthread_join(f->thread, NULL);
    pthread_cond_destroy(&f->wake);
    pthread_mutex_destroy(&f->lock);
    free(f);
    return NULL;
}
