/* SPDX-License-Identifier: MIT */
/* The worker's event loop. */
#include "worker/loop.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "ipc/channel.h"
#include "worker/accept.h"
#include "worker/alarm.h"
#include "worker/check.h"
#include "worker/connection.h"
#include "worker/drain.h"
#include "worker/handover.h"
#include "worker/requests.h"

#include <errno.h>
#include <sys/epoll.h>

#define EVENTS_PER_TURN 256
#define FULL_LOOK_USEC (100 * USEC_PER_MSEC)

int loop_watch(Loop *l, int fd, uint32_t events, void *source)
{
    struct epoll_event e = {.events = events, .data.ptr = source};

    return epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, fd, &e) < 0 ? -errno : 0;
}

/* --- a turn --- */

static void loop_on_channel(Loop *l)
{
    _cleanup_free_ Message *m = malloc(sizeof *m);
    bool has_said_so = l->is_draining;
    int r;

    if (!m)
        return;
    r = channel_receive(l->channel.fd, m);
    if (r == -EAGAIN)
        return;
    if (r == 0)
        message_close_fds(m);
    l->must_trim |= r == 0 && m->type == MESSAGE_TRIM;
    if (r == 0 && m->type == MESSAGE_GO)
        l->is_held = false;
    if (r == 0 && m->type != MESSAGE_DRAIN && m->type != MESSAGE_STOP)
        return;
    drain_begin(l, r == 0 && m->type == MESSAGE_DRAIN,
                r == 0 && m->type == MESSAGE_DRAIN && strcmp(m->text, CHANNEL_DRAIN_LAST) != 0);
    if (r != 0) { /* the supervisor is gone: nothing else will come from there */
        (void)epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, l->channel.fd, NULL);
        return;
    }
    if (!has_said_so) /* from here on no connection comes to this worker */
        (void)channel_end_say(&l->channel, MESSAGE_DRAIN, "");
}

static void loop_on_wake_up(Loop *l)
{
    uint64_t n;

    (void)!read(l->wake_fd, &n, sizeof n);
}

void loop_wake_up(Loop *l)
{
    uint64_t one = 1;

    if (write(l->wake_fd, &one, sizeof one) < 0 && errno != EAGAIN) /* EAGAIN: it was rung often enough */
        descriptors_give_up();
}

static void loop_handle(Loop *l, const struct epoll_event *e)
{
    Source *source = e->data.ptr;

    switch (source->type) {
    case SOURCE_LISTENER:
        ((Listener *)source)->is_ready = true;
        break;
    case SOURCE_CHANNEL:
        loop_on_channel(l);
        break;
    case SOURCE_WAKE_UP:
        loop_on_wake_up(l);
        break;
    case SOURCE_DOORBELL:
        accept_on_doorbell(l);
        break;
    case SOURCE_QUEUE:
        l->handover.is_ready = true;
        break;
    case SOURCE_QUEUE_ROOM:
        handover_on_room(l);
        break;
    case SOURCE_CONNECTION:
        connection_on_event(l, (Connection *)source, e->events);
        break;
    case SOURCE_CHECK:
        check_on_event(l);
        break;
    case SOURCE_ALARM:
        alarm_on_event(l);
        break;
    }
}

static void loop_expire(Loop *l)
{
    for (TimeoutKind k = 0; k < N_TIMEOUTS_; k++)
        for (Timeout *t; (t = timeout_list_first(&l->timeouts[k])) && t->deadline <= l->now;) {
            timeout_disarm(t);
            connection_on_timeout(l, connection_of_timeout(t));
        }
    hang_expire(l);
    handover_expire(l);
}

usec_t loop_next_usec(const Loop *l)
{
    usec_t next = MIN(handover_due(l), hang_next_usec(l));

    for (TimeoutKind k = 0; k < N_TIMEOUTS_; k++) {
        const Timeout *t = timeout_list_first(&l->timeouts[k]);
        if (t)
            next = MIN(next, t->deadline);
    }
    if (!l->is_accepting && !l->is_draining)
        next = MIN(next, accept_next_usec(l));
    if (l->is_full && !l->is_draining)
        next = MIN(next, l->now + FULL_LOOK_USEC);
    if (l->is_draining)
        next = MIN(next, l->drain_deadline_usec);
    if (drain_is_last(l) && !drain_is_alone(l))
        next = MIN(next, l->alone_usec);
    return next;
}

static void loop_update_date(Loop *l)
{
    time_t t = time(NULL);

    if (t == l->date_second)
        return;
    l->date_second = t;
    date_format(t, l->date);
}

/* Shows in the scoreboard how it stands. The number of exchanges comes last: who reads 0 there reads a time that
 * holds. */
static void loop_publish(const Loop *l)
{
    ScoreboardSeat *s = l->seat;

    atomic_store_explicit(&s->connections, (uint32_t)l->n_connections, memory_order_relaxed);
    atomic_store_explicit(&s->waiting_usec, l->ready.first ? l->ready.first->exchange->ready_usec : 0,
                          memory_order_relaxed);
    atomic_store_explicit(&s->active_usec, l->active_usec, memory_order_relaxed);
    atomic_store_explicit(&s->is_blocked, l->unmanned_since > 0, memory_order_relaxed);
    atomic_store_explicit(&s->exchanges, l->exchanges.n_used, memory_order_release);
}

/* --- the door --- */

static void loop_set_door(Loop *l, bool is_open, usec_t wakes_usec)
{
    pthread_mutex_lock(&l->door);
    l->is_open = is_open;
    l->wakes_usec = wakes_usec;
    pthread_mutex_unlock(&l->door);
}

bool loop_enter(Loop *l)
{
    pthread_mutex_lock(&l->door);
    if (!l->is_open) {
        pthread_mutex_unlock(&l->door);
        return false;
    }
    l->now = clock_now_usec();
    loop_update_date(l);
    return true;
}

void loop_leave(Loop *l, bool wakes)
{
    loop_publish(l);
    wakes |= loop_next_usec(l) < l->wakes_usec;
    pthread_mutex_unlock(&l->door);
    if (wakes)
        loop_wake_up(l);
}

/* --- waiting --- */

/* To the millisecond, and where it is less than one, more exactly. UINT64_MAX: for ever. */
static int loop_sleep(const Loop *l, struct epoll_event *events, usec_t usec)
{
    int msec = usec == UINT64_MAX ? -1 : (int)MIN((usec + 999) / 1000, (usec_t)3600 * 1000);

    if (usec > 0 && usec < USEC_PER_MSEC) {
        struct timespec ts = {.tv_nsec = (long)usec * 1000};
        int n = epoll_pwait2(l->epoll_fd, events, EVENTS_PER_TURN, &ts, NULL);
        if (n >= 0 || (errno != ENOSYS && errno != EPERM)) /* a kernel, or a filter, that does not know it */
            return n;
    }
    return epoll_wait(l->epoll_fd, events, EVENTS_PER_TURN, msec);
}

static int loop_wait(Loop *l, struct epoll_event *events, bool may_block)
{
    usec_t next = may_block ? loop_next_usec(l) : 0;
    usec_t usec = next == UINT64_MAX ? next : next > l->now ? next - l->now : 0;
    bool opens = usec > 0 && l->n_checked_out > 0 && !l->is_draining;
    int n;

    if (opens)
        loop_set_door(l, true, next);
    n = loop_sleep(l, events, usec);
    if (opens)
        loop_set_door(l, false, 0);
    return n;
}

static int loop_fail(int r)
{
    if (descriptors_is_lost(-r))
        descriptors_give_up();
    return r;
}

int loop_prepare(Loop *l)
{
    int r;

    requests_flush(l);
    connection_free_closed(l);
    l->wants_gil = false;
    if (l->gil == GIL_HELD)
        exchange_pool_clean(&l->exchanges);
    /* Here, and not at the end: a request may have gone to the application since, and its thread have been
     * overtaken. */
    r = accept_update(l);
    if (r < 0)
        return loop_fail(r);
    accept_connections(l);
    handover_offer(l);
    if (l->is_draining)
        drain_advance(l);
    loop_publish(l);
    return 0;
}

/* What accept_connections() finds may be ready, or answered already. */
bool loop_may_wait(const Loop *l)
{
    return (l->is_spared || !requests_are_ready(l)) && l->n_unsent == 0 && !drain_is_finished(l);
}

int loop_look(Loop *l, bool may_block)
{
    struct epoll_event events[EVENTS_PER_TURN];
    int n = loop_wait(l, events, may_block);

    if (n < 0 && errno != EINTR)
        return loop_fail(-errno);
    l->has_unread = n == EVENTS_PER_TURN;
    l->now = clock_now_usec();
    loop_update_date(l);
    for (int i = 0; i < n; i++)
        loop_handle(l, &events[i]);
    requests_take_returned(l);
    if (l->ready.n == 0) /* else when it is known whether that takes long: a sibling may be idle */
        accept_connections(l);
    loop_expire(l);
    return n < 0 ? 0 : n;
}

int loop_turn(Loop *l, bool may_block)
{
    int r = loop_prepare(l);

    return r < 0 ? r : loop_look(l, may_block && loop_may_wait(l));
}

/* --- in a child of the application --- */

void loop_on_forked_child(void *loop)
{
    const Loop *l = loop;

    descriptors_close(&l->descriptors);
}
