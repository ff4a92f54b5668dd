/* SPDX-License-Identifier: MIT */
/* Who turns the loop of a worker of class gevent: visits of the main thread, and the guard. */
#include "worker/hub.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "worker/alarm.h"
#include "worker/drain.h"
#include "worker/hub-state.h"
#include "worker/requests.h"
#include "wsgi/interpreter.h"

#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

/* --- the main thread --- */

void hub_enter(Hub *h)
{
    atomic_fetch_add(&h->n_visits, 1);
    if (pthread_mutex_trylock(&h->lock) == 0)
        return;
    atomic_store(&h->is_wanted, true);
    loop_wake_up(h->loop);
    pthread_mutex_lock(&h->lock);
    atomic_store(&h->is_wanted, false);
}

void hub_leave(Hub *h)
{
    pthread_mutex_unlock(&h->lock);
}

/* For a slice of time: what else gevent's hub has to do is not to wait for ever. */
static void hub_begin_ready(Hub *h)
{
    usec_t until = h->loop->now + REQUESTS_SLICE_USEC;
    Connection *c;

    while (clock_now_usec() < until && (c = requests_check_out(h->loop))) {
        if (requests_must_flush(h->loop))
            requests_flush(h->loop);
        fiber_begin(h, c);
    }
}

static void hub_trim(Hub *h)
{
    h->loop->must_trim = false;
    requests_flush(h->loop);
    hub_leave(h);
    interpreter_collect();
    malloc_trim(0);
    hub_enter(h);
}

/* A turn that begins with its second half, as what comes before a wait comes before that of gevent's hub. 0 or negative
 * errno. */
static int hub_turn(Hub *h)
{
    Loop *l = h->loop;
    int r = loop_look(l, false);

    if (r < 0)
        return r;
    hub_begin_ready(h);
    fiber_wake_progressed(h);
    if (l->must_trim && !requests_are_ready(l))
        hub_trim(h);
    return loop_prepare(l);
}

/* True: the loop is done. */
static bool hub_drive(Hub *h)
{
    Loop *l = h->loop;

    l->gil = GIL_HELD;
    if (h->error == 0)
        h->error = hub_turn(h);
    if (h->error < 0 || drain_is_finished(l))
        return true;
    if (!loop_may_wait(l))
        greenlets_call_soon();
    alarm_set(l, UINT64_MAX);
    return false;
}

static void hub_hear_call(Hub *h)
{
    uint64_t n;

    (void)!read(h->call_fd, &n, sizeof n);
}

/* By gevent's hub. */
static void hub_visit(void *arg)
{
    Hub *h = arg;

    if (h->is_over)
        return;
    hub_hear_call(h);
    hub_enter(h);
    if (hub_drive(h)) {
        drain_cut_off(h->loop);
        h->is_over = true;
        greenlets_stop();
    }
    hub_leave(h);
}

/* --- the guard --- */

static void guard_rest(Hub *h)
{
    struct pollfd p = {.fd = h->loop->epoll_fd, .events = POLLIN};

    (void)poll(&p, 1, -1);
}

/* True: the lock is taken, and the main thread has been away for a while. */
static bool guard_look(Hub *h)
{
    const struct timespec while_ = {.tv_nsec = GUARD_AFTER_USEC * 1000};
    uint64_t n_visits = atomic_load(&h->n_visits);

    (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &while_, NULL);
    return atomic_load(&h->n_visits) == n_visits && !h->is_over && pthread_mutex_trylock(&h->lock) == 0;
}

static void guard_call(Hub *h)
{
    uint64_t one = 1;

    if (write(h->call_fd, &one, sizeof one) < 0 && errno != EAGAIN)
        descriptors_give_up();
}

/* With the lock. */
static void guard_turn(Hub *h)
{
    Loop *l = h->loop;

    h->is_guarded = true;
    l->unmanned_since = clock_now_usec();
    l->gil = GIL_OUT_OF_REACH;
    guard_call(h);
    if (h->current)
        fiber_on_overtaken(h);
    while (!atomic_load(&h->is_wanted) && h->error == 0 && !drain_is_finished(l))
        h->error = MIN(loop_turn(l, true), 0);
    if (drain_is_finished(l))
        drain_cut_off(l);
    h->is_guarded = false;
    l->unmanned_since = 0;
}

static void *guard_main(void *arg)
{
    Hub *h = arg;

    pthread_setname_np(pthread_self(), "guard");
    while (!h->is_over) {
        guard_rest(h);
        if (guard_look(h)) {
            guard_turn(h);
            pthread_mutex_unlock(&h->lock);
        }
    }
    return NULL;
}

/* --- the whole --- */

static Hub *hub_free(Hub *h)
{
    if (!h)
        return NULL;
    pthread_mutex_destroy(&h->lock);
    if (h->call_fd >= 0)
        descriptors_remove(&h->loop->descriptors, h->call_fd);
    closep(&h->call_fd);
    free(h->fibers);
    free(h);
    return NULL;
}
DEFINE_CLEANUP(Hub, hub)

static void hub_fill_pool(Hub *h, const CrewOptions *o)
{
    for (unsigned i = o->n_threads; i-- > 0;) {
        fiber_init(&h->fibers[i], h, &o->slots[i]);
    }
}

/* Not on the stack, which is that of a greenlet, too. */
static int hub_new(const CrewOptions *o, Hub **ret)
{
    _cleanup_(hub_freep) Hub *h = malloc(sizeof *h);

    if (!h)
        return -ENOMEM;
    *h = (Hub){.loop = o->loop, .app = o->app, .develop = o->develop, .thread = gettid()};
    pthread_mutex_init(&h->lock, NULL);
    h->call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (h->call_fd < 0)
        return -errno;
    descriptors_add(&o->loop->descriptors, h->call_fd);
    h->fibers = calloc(o->n_threads, sizeof *h->fibers);
    if (!h->fibers)
        return -ENOMEM;
    hub_fill_pool(h, o);
    *ret = TAKE_PTR(h);
    return 0;
}

/* libev ends a process in which a descriptor that it watches is closed; an eventfd of its own says nothing. */
static void hub_on_forked_child(void *arg)
{
    const Hub *h = arg;
    int silent = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

    descriptors_replace(&h->loop->descriptors, silent);
}

static int hub_run_with_guard(Hub *h, char **ret_error)
{
    const int fds[] = {h->loop->epoll_fd, h->call_fd};
    pthread_t guard;
    int r = -pthread_create(&guard, NULL, guard_main, h);

    if (r < 0)
        return r;
    interpreter_on_forked_child(hub_on_forked_child, h);
    greenlets_call_soon();
    r = greenlets_run(fds, ELEMENTSOF(fds), hub_visit, h, ret_error) < 0 ? -EIO : h->error;
    interpreter_on_forked_child(loop_on_forked_child, h->loop);
    hub_enter(h); /* the guard may be turning */
    h->is_over = true;
    hub_leave(h);
    loop_wake_up(h->loop);
    pthread_join(guard, NULL);
    return r;
}

int hub_run(const CrewOptions *o, char **ret_error)
{
    _cleanup_(hub_freep) Hub *h = NULL;
    int r = hub_new(o, &h);

    if (r == 0)
        r = alarm_init(o->loop);
    return r < 0 ? r : hub_run_with_guard(h, ret_error);
}
