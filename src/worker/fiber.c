/* SPDX-License-Identifier: MIT */
/* A request from the loop to its greenlet, and back. */
#include "worker/hub-state.h"

#include "worker/alarm.h"
#include "worker/hang.h"
#include "worker/requests.h"
#include "wsgi/stack.h"

/* --- the pool --- */

static Fiber *fiber_get(Hub *h)
{
    Fiber *f = h->free;

    h->free = f->next;
    return f;
}

/* One that is in Hub.progressed still comes here once more. */
static void fiber_put(Fiber *f)
{
    f->connection = NULL;
    if (f->has_progressed)
        return;
    f->next = f->hub->free;
    f->hub->free = f;
}

/* --- running --- */

/* With the lock. */
static void fiber_end(Fiber *f)
{
    Hub *h = f->hub;
    Connection *c = f->connection;

    if (h->current == f)
        h->current = NULL;
    c->exchange->carrier = NULL;
    requests_check_in(h->loop, c);
    fiber_put(f);
}

/* In the greenlet. What is to be done with the response is done in a visit, with those of others. */
static void fiber_main(void *arg)
{
    Fiber *f = arg;
    Hub *h = f->hub;

    runner_run(&f->runner, h->loop, f->connection, h->app, f->slot, &f->greenlet);
    atomic_store_explicit(&f->slot->started_usec, 0, memory_order_relaxed);
    if (h->develop)
        develop_tell(h->develop);
    hub_enter(h);
    fiber_end(f);
    hub_leave(h);
    greenlets_call_soon();
}

/* It may not come back soon: then the guard is to wake up for its deadline, and for the answers that were kept back. */
static void fiber_watch(const Fiber *f)
{
    Loop *l = f->hub->loop;

    hang_watch(l, f->connection, f->hub->thread, f->slot);
    alarm_set(l, l->n_unsent > 0 ? l->unsent_since + GUARD_AFTER_USEC : UINT64_MAX);
}

void fiber_begin(Hub *h, Connection *c)
{
    Fiber *f = fiber_get(h);
    int r;

    f->connection = c;
    c->exchange->carrier = &f->carrier;
    requests_show(h->loop, c, f->slot);
    fiber_watch(f);
    h->current = f;
    hub_leave(h);
    r = greenlet_start(&f->greenlet, fiber_main, f);
    hub_enter(h);
    if (r < 0) {
        c->exchange->is_gone = true; /* closes the connection */
        atomic_store_explicit(&f->slot->started_usec, 0, memory_order_relaxed);
        fiber_end(f);
    } else if (h->current) {
        fiber_on_overtaken(h);
    }
}

void fiber_on_overtaken(Hub *h)
{
    runner_on_overtaken(h->loop, TAKE_PTR(h->current)->connection);
}

/* --- waiting for the client --- */

static Fiber *fiber_of(const Carrier *c)
{
    return (Fiber *)c; /* its first member */
}

static void fiber_on_progress(Carrier *c)
{
    Fiber *f = fiber_of(c);

    if (f->has_progressed)
        return;
    f->has_progressed = true;
    f->next = f->hub->progressed;
    f->hub->progressed = f;
}

void fiber_wake_progressed(Hub *h)
{
    for (Fiber *f; (f = h->progressed);) {
        h->progressed = f->next;
        f->has_progressed = false;
        if (!f->connection) {
            fiber_put(f);
            continue;
        }
        hub_leave(h);
        greenlet_wake(&f->greenlet);
        hub_enter(h);
    }
}

/* --- where it stands --- */

/* While the guard turns the loop, the main thread is in some greenlet, and nothing can be asked of Python. */
static int fiber_append_stack(const Carrier *c, Buffer *to)
{
    const Fiber *f = fiber_of(c);
    int r;

    if (!f->hub->is_guarded)
        return greenlet_append_stack(&f->greenlet, to);
    r = stack_append(to, f->hub->thread);
    return r < 0 ? r : buffer_printf(to, "\nThat greenlet, this one or another, does not let others go on.");
}

void fiber_init(Fiber *f, Hub *h, ScoreboardSlot *slot)
{
    *f = (Fiber){
        .carrier = {.on_progress = fiber_on_progress, .append_stack = fiber_append_stack},
        .hub = h,
        .slot = slot,
        .next = h->free,
    };
    h->free = f;
}
