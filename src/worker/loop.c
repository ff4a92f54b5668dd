/* SPDX-License-Identifier: MIT */
/* The worker's event loop. */
#include "worker/loop.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/message-ids.h"
#include "config/staff.h"
#include "ipc/channel.h"
#include "worker/accept.h"
#include "worker/check.h"
#include "worker/connection.h"

#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>

#define EVENTS_PER_TURN 256
#define UNSENT_MAX_USEC 500
#define FAREWELL_USEC (1 * USEC_PER_SEC)
/* Who has just changed the code does not want one more answer of the old; sooner could lose a request on its way. */
#define DEVELOP_FAREWELL_USEC (100 * USEC_PER_MSEC)
#define LAST_CALL_USEC (100 * USEC_PER_MSEC)
#define LINGER_USEC (5 * USEC_PER_SEC)
#define FULL_LOOK_USEC (100 * USEC_PER_MSEC)

void connection_queue_push(ConnectionQueue *q, Connection *c)
{
    c->next_queued = NULL;
    if (q->last)
        q->last->next_queued = c;
    else
        q->first = c;
    q->last = c;
    q->n++;
}

Connection *connection_queue_pop(ConnectionQueue *q)
{
    Connection *c = q->first;

    if (!c)
        return NULL;
    q->first = c->next_queued;
    if (!q->first)
        q->last = NULL;
    q->n--;
    return c;
}

/* --- making one --- */

int loop_watch(Loop *l, int fd, uint32_t events, void *source)
{
    struct epoll_event e = {.events = events, .data.ptr = source};

    return epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, fd, &e) < 0 ? -errno : 0;
}

static int loop_open(Loop *l, const LoopOptions *o, char **ret_error)
{
    int r;

    l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (l->epoll_fd < 0)
        return -errno;
    descriptors_add(&l->descriptors, l->epoll_fd);
    l->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (l->wake_fd < 0)
        return -errno;
    descriptors_add(&l->descriptors, l->wake_fd);
    descriptors_add(&l->descriptors, l->channel.fd);
    r = loop_watch(l, l->wake_fd, EPOLLIN, &l->wake_source);
    if (r < 0)
        return r;
    r = loop_watch(l, l->channel.fd, EPOLLIN, &l->channel_source);
    if (r < 0)
        return r;

    return accept_open(l, o->listeners, o->n_listeners, ret_error);
}

/* The last response before the worker asks for its successor: drawn, so that siblings do not do so together. */
static uint64_t loop_draw_requests(const Config *c)
{
    uint32_t random = 0;

    if (c->workers_max_requests == 0)
        return UINT64_MAX;
    (void)!getrandom(&random, sizeof random, GRND_NONBLOCK);
    return c->workers_max_requests + random % ((uint64_t)c->workers_max_requests_jitter + 1);
}

static int loop_configure(Loop *l, const Config *c, char **ret_error)
{
    const char *bad;
    int r;

    l->limits = (HttpLimits){
        .request_line = c->limits_request_line,
        .field_size = c->limits_field_size,
        .head = c->limits_head,
        .fields = c->limits_fields,
        .body = c->limits_body ? c->limits_body : UINT64_MAX,
        .refuses_ambiguous_names = strcmp(c->request_header_map, "refuse") == 0,
        .forwarder_fields = c->proxy_forwarder_headers,
    };
    timeout_list_init(&l->timeouts[TIMEOUT_HEAD], c->timeouts_head);
    timeout_list_init(&l->timeouts[TIMEOUT_BODY], c->timeouts_body);
    timeout_list_init(&l->timeouts[TIMEOUT_WRITE], c->timeouts_write);
    timeout_list_init(&l->timeouts[TIMEOUT_KEEPALIVE], c->timeouts_keepalive);
    timeout_list_init(&l->timeouts[TIMEOUT_LINGER], LINGER_USEC);
    timeout_list_init(&l->timeouts[TIMEOUT_FAREWELL],
                      c->develop_reload ? DEVELOP_FAREWELL_USEC : FAREWELL_USEC);
    timeout_list_init(&l->timeouts[TIMEOUT_LAST_CALL], LAST_CALL_USEC);
    timeout_list_init(&l->running, c->timeouts_request);

    clients_init(&l->clients, c->limits_connections_per_ip);
    for (char **name = c->proxy_headers; name && *name; name++)
        l->believed |= (unsigned)proxy_header_from_name(*name); /* config has checked them */
    for (char **name = c->proxy_forwarder_headers; name && *name; name++)
        if (strcasecmp(*name, "SCRIPT_NAME") == 0)
            l->believed |= PROXY_SCRIPT_NAME;
    r = trusted_proxies_new(c->proxy_trusted, &l->trusted, &bad);
    if (r < 0)
        return r;
    if (strcmp(c->log_access, "off") == 0)
        return 0;
    r = access_log_new(c->log_access, c->log_access_format, &l->access_log);
    if (r < 0 && asprintf(ret_error, "log.access: cannot open %s: %s", c->log_access, strerror(-r)) < 0)
        *ret_error = NULL;
    return r;
}

int loop_new(const LoopOptions *o, Loop **ret, char **ret_error)
{
    _cleanup_(loop_freep) Loop *l = calloc(1, sizeof *l);
    int r;

    *ret_error = NULL;
    if (!l)
        return -ENOMEM;
    l->epoll_fd = l->wake_fd = -EBADF;
    l->config = o->config;
    l->channel = o->channel;
    l->channel_source.type = SOURCE_CHANNEL;
    l->wake_source.type = SOURCE_WAKE_UP;
    l->doorbell = o->doorbell;
    l->doorbell_source.type = SOURCE_DOORBELL;
    l->seat = o->seat;
    l->total = o->total;
    l->file_roots = o->file_roots;
    l->is_held = o->is_held;
    l->n_slots = o->config->workers_threads;
    l->has_siblings = config_staff(o->config).n_max > 1;
    l->n_until_replaced = loop_draw_requests(o->config);
    l->now = clock_now_usec();
    (void)!getrandom(&l->first_request, sizeof l->first_request, GRND_NONBLOCK);
    exchange_pool_init(&l->exchanges, o->config, o->directory);

    r = loop_configure(l, o->config, ret_error);
    if (r < 0)
        return r;
    r = descriptors_init(&l->descriptors);
    if (r < 0)
        return r;
    r = loop_open(l, o, ret_error);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(l);
    return 0;
}

static void loop_free_closed(Loop *l)
{
    while (l->closed) {
        Connection *c = l->closed;
        l->closed = c->next_queued;
        free(c);
    }
}

Loop *loop_free(Loop *l)
{
    if (!l)
        return NULL;
    loop_free_closed(l);
    exchange_pool_deinit(&l->exchanges);
    check_free(l->check);
    trusted_proxies_free(l->trusted);
    clients_deinit(&l->clients);
    access_log_free(l->access_log);
    free(l->listeners);
    closep(&l->epoll_fd);
    closep(&l->wake_fd);
    descriptors_deinit(&l->descriptors);
    free(l);
    return NULL;
}

/* --- a turn --- */

static void loop_on_channel(Loop *l)
{
    _cleanup_free_ Message *m = malloc(sizeof *m);
    int r;

    if (!m)
        return;
    r = channel_receive(l->channel.fd, m);
    if (r == -EAGAIN)
        return;
    if (r == 0)
        message_close_fds(m);
    l->must_trim |= r == 0 && m->type == MESSAGE_TRIM;
    if (r == 0 && m->type != MESSAGE_DRAIN && m->type != MESSAGE_STOP)
        return;
    loop_drain(l, r == 0 && m->type == MESSAGE_DRAIN);
    if (r != 0) { /* the supervisor is gone: nothing else will come from there */
        (void)epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, l->channel.fd, NULL);
        return;
    }
    (void)channel_end_say(&l->channel, MESSAGE_DRAIN,
                          ""); /* from here on no connection comes to this worker */
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

void loop_hand_back(Loop *l, Connection *c)
{
    c->next_queued = atomic_load(&l->returned);
    while (!atomic_compare_exchange_weak(&l->returned, &c->next_queued, c))
        ;
    loop_wake_up(l);
}

static void loop_take_returned(Loop *l)
{
    Connection *next;

    if (!atomic_load_explicit(&l->returned, memory_order_relaxed))
        return;
    for (Connection *c = atomic_exchange(&l->returned, NULL); c; c = next) {
        next = c->next_queued;
        loop_check_in(l, c);
    }
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
    case SOURCE_CONNECTION:
        connection_on_event(l, (Connection *)source, e->events);
        break;
    case SOURCE_CHECK:
        check_on_event(l);
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
}

static int loop_wait_msec(const Loop *l)
{
    const Timeout *running = timeout_list_first(&l->running);
    usec_t next = running ? running->deadline : UINT64_MAX;

    for (TimeoutKind k = 0; k < N_TIMEOUTS_; k++) {
        const Timeout *t = timeout_list_first(&l->timeouts[k]);
        if (t)
            next = MIN(next, t->deadline);
    }
    if (!l->is_accepting && !l->is_draining)
        next = MIN(next, l->accept_after_usec > l->now ? l->accept_after_usec : UINT64_MAX);
    if (l->is_full && !l->is_draining)
        next = MIN(next, l->now + FULL_LOOK_USEC);
    if (l->is_draining)
        next = MIN(next, l->drain_deadline_usec);
    if (next == UINT64_MAX)
        return -1;
    return next <= l->now ? 0 : (int)MIN((next - l->now + 999) / 1000, (usec_t)3600 * 1000);
}

static void loop_update_date(Loop *l)
{
    time_t t = time(NULL);

    if (t == l->date_second)
        return;
    l->date_second = t;
    date_format(t, l->date);
}

/* How it stands while this waits. The number of exchanges comes last: who reads 0 there reads a time that holds. */
static void loop_publish(const Loop *l)
{
    ScoreboardSeat *s = l->seat;

    atomic_store_explicit(&s->connections, (uint32_t)l->n_connections, memory_order_relaxed);
    atomic_store_explicit(&s->waiting_usec, l->ready.first ? l->ready.first->exchange->ready_usec : 0,
                          memory_order_relaxed);
    atomic_store_explicit(&s->active_usec, l->active_usec, memory_order_relaxed);
    atomic_store_explicit(&s->exchanges, l->exchanges.n_used, memory_order_release);
}

static int loop_fail(int r)
{
    if (descriptors_is_lost(-r))
        descriptors_give_up();
    return r;
}

int loop_turn(Loop *l, bool may_block)
{
    struct epoll_event events[EVENTS_PER_TURN];
    int n, r;

    loop_flush(l);
    loop_free_closed(l);
    /* Here, and not at the end: a request may have gone to the application since, and its thread have been overtaken. */
    r = accept_update(l);
    if (r < 0)
        return loop_fail(r);
    accept_connections(l);
    may_block = may_block && !loop_has_work(l);
    loop_publish(l);
    n = epoll_wait(l->epoll_fd, events, EVENTS_PER_TURN, may_block ? loop_wait_msec(l) : 0);
    if (n < 0 && errno != EINTR)
        return loop_fail(-errno);
    l->now = clock_now_usec();
    loop_update_date(l);
    for (int i = 0; i < n; i++)
        loop_handle(l, &events[i]);
    loop_take_returned(l);
    if (l->ready.n == 0) /* else when it is known whether that takes long: a sibling may be idle */
        accept_connections(l);
    loop_expire(l);
    return n < 0 ? 0 : n;
}

/* --- requests --- */

Connection *loop_check_out(Loop *l)
{
    Connection *c;

    if (l->n_checked_out >= l->n_slots)
        return NULL;
    while ((c = connection_queue_pop(&l->ready)) && c->exchange->is_gone)
        connection_close(l, c);
    if (!c)
        return NULL;
    l->n_checked_out++;
    c->state = CONNECTION_RUNNING;
    c->exchange->is_streaming = !output_is_empty(&c->exchange->output); /* answers to earlier requests */
    c->exchange->called_usec = l->now;
    memcpy(c->exchange->date, l->date, sizeof l->date);
    return c;
}

bool loop_has_work(const Loop *l)
{
    return l->ready.n > 0 && l->n_checked_out < l->n_slots;
}

void loop_check_in(Loop *l, Connection *c)
{
    l->n_checked_out--;
    l->now = clock_now_usec();
    if (c->exchange->hang.is_given_up) {
        hang_on_return(l, c);
        return;
    }
    timeout_disarm(&c->exchange->hang.timeout);
    l->usual_usec = (l->usual_usec * 7 + (l->now - c->exchange->called_usec)) / 8;
    connection_on_response(l, c);
}

bool loop_must_flush(const Loop *l)
{
    return l->n_unsent == UNSENT_MAX || (l->n_unsent > 0 && l->now - l->unsent_since >= UNSENT_MAX_USEC);
}

void loop_keep_back(Loop *l, Connection *c)
{
    if (c->is_kept_back)
        return;
    if (l->n_unsent == UNSENT_MAX)
        loop_flush(l);
    if (l->n_unsent == 0)
        l->unsent_since = l->now;
    c->is_kept_back = true;
    l->unsent[l->n_unsent++] = c;
}

/* A connection that is flushed may get to its next request, whose answer is kept back again. */
void loop_flush(Loop *l)
{
    Connection *batch[UNSENT_MAX];

    while (l->n_unsent > 0) {
        size_t n = l->n_unsent;

        memcpy(batch, l->unsent, n * sizeof *batch);
        l->n_unsent = 0;
        for (size_t i = 0; i < n; i++) {
            batch[i]->is_kept_back = false;
            connection_on_flush(l, batch[i]);
        }
    }
    if (l->access_log)
        access_log_flush(l->access_log);
}

/* --- the end --- */

int loop_ask_for_replacement(Loop *l, const char *reason)
{
    int r;

    if (l->is_held || l->is_replacement_asked)
        return 0;
    r = channel_end_say(&l->channel, MESSAGE_REPLACE, reason);
    l->is_replacement_asked = r == 0;
    return r;
}

void loop_on_forked_child(void *loop)
{
    const Loop *l = loop;

    descriptors_close(&l->descriptors);
}

/* A client may have sent a request just now on a connection that is idle for us: closing it at once would
 * lose that. One that was quiet for as long as a farewell takes gets the time that a network takes, so that a worker with
 * none but such does not keep its successor waiting. */
static void loop_bid_farewell(Loop *l, TimeoutKind kind)
{
    Timeout *anchor = &l->timeouts[kind].anchor;
    usec_t idle_usec;

    for (Timeout *t = anchor->next, *next; t != anchor; t = next) {
        next = t->next;
        if (connection_of_timeout(t)->state != CONNECTION_IDLE)
            continue;
        idle_usec = l->now + l->timeouts[kind].span_usec - t->deadline;
        timeout_arm(&l->timeouts[idle_usec < FAREWELL_USEC ? TIMEOUT_FAREWELL : TIMEOUT_LAST_CALL], t,
                    l->now);
    }
}

void loop_drain(Loop *l, bool takes_waiting)
{
    if (l->is_draining)
        return;
    l->is_draining = true;
    if (takes_waiting)
        accept_stop(l);
    else
        (void)accept_set(l, false);
    l->drain_deadline_usec = l->now + l->config->timeouts_graceful;
    loop_bid_farewell(l, TIMEOUT_HEAD);
    loop_bid_farewell(l, TIMEOUT_KEEPALIVE);
}

bool loop_is_finished(const Loop *l)
{
    if (!l->is_draining)
        return false;
    return (l->n_connections == l->n_hung && l->n_checked_out == l->n_hung) ||
           l->now >= l->drain_deadline_usec;
}
