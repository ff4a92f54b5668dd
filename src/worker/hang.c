/* SPDX-License-Identifier: MIT */
/* Requests that stay in the application for too long. */
#include "worker/hang.h"

#include "base/log.h"
#include "base/message-ids.h"
#include "worker/connection.h"
#include "worker/drain.h"
#include "worker/records.h"
#include "worker/request-id.h"
#include "worker/requests.h"
#include "wsgi/stack.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

/* Together less than the supervisor waits for what is done here. */
#define LOOK_USEC (1 * USEC_PER_SEC)
#define UNMANNED_USEC (500 * USEC_PER_MSEC)

static Exchange *exchange_of_timeout(Timeout *t)
{
    return (Exchange *)((char *)t - offsetof(Exchange, hang.timeout));
}

void hang_watch(Loop *l, Connection *c, pid_t thread, ScoreboardSlot *slot)
{
    HangWatch *w = &c->exchange->hang;

    if (l->config->timeouts_request == 0)
        return;
    w->connection = c;
    w->thread = thread;
    w->slot = slot;
    timeout_arm(&l->running, &w->timeout, c->exchange->called_usec);
}

/* --- the log --- */

static double seconds(usec_t usec)
{
    return (double)usec / (double)USEC_PER_SEC;
}

static void hang_report(Loop *l, Connection *c, usec_t age, const char *outcome)
{
    char request[512], id[REQUEST_ID_FIELD_SIZE], limit[FORMAT_VALUE_MAX];
    const char *fields[] = {request_id_field(l, c, id), NULL};
    pid_t thread = c->exchange->hang.thread;
    const Carrier *carrier = c->exchange->carrier;
    Buffer stack;
    int r;

    buffer_init(&stack);
    r = carrier ? carrier->append_stack(carrier, &stack) : stack_append(&stack, thread);
    if (r < 0)
        (void)buffer_printf(&stack, "Where it hangs is not known: %s", strerror(-r));
    log_full(LOG_ERR, MESSAGE_WORKER_TIMEOUT, fields,
             "This worker has run %s for %.1f s, longer than timeouts.request=%s: %s; another is to take its "
             "place\n%.*s",
             record_describe_request(c, request, sizeof request), seconds(age),
             format_duration(limit, l->config->timeouts_request), outcome, (int)buffer_size(&stack),
             buffer_head(&stack));
    buffer_clear(&stack);
    if (log_shows(LOG_DEBUG) && stack_append_others(&stack, thread) == 0)
        log_full(LOG_DEBUG, NULL, fields, "The other threads:\n%.*s", (int)buffer_size(&stack),
                 buffer_head(&stack));
    buffer_deinit(&stack);
}

/* --- the client --- */

/* c stays with the thread, and so does the number of its descriptor: whatever that thread still does with it fails, and
 * meets no other client's connection. */
static void hang_take_socket(Loop *l, Connection *c)
{
    (void)dup3(l->epoll_fd, c->fd, O_CLOEXEC);
    if (c->client)
        clients_leave(&l->clients, TAKE_PTR(c->client));
}

static void hang_mark_gone(Loop *l, Connection *c)
{
    connection_set_events(l, c, 0);
    c->exchange->is_gone = true;
    exchange_announce_progress(c->exchange);
}

static void hang_cut(Loop *l, Connection *c)
{
    pthread_mutex_lock(&c->exchange->lock);
    hang_mark_gone(l, c);
    pthread_mutex_unlock(&c->exchange->lock);
    hang_take_socket(l, c);
}

/* The client's connection goes on, to its end, in a Connection of its own that has what was still to be sent. NULL:
 * without memory or descriptors it can't. */
static Connection *hang_part(Loop *l, Connection *c)
{
    Connection *heir = malloc(sizeof *heir);
    Exchange *x = exchange_pool_get(&l->exchanges);
    int fd = fcntl(c->fd, F_DUPFD_CLOEXEC, 3);
    Output output;

    if (!heir || !x || fd < 0) {
        if (x)
            exchange_pool_put(&l->exchanges, x);
        closep(&fd);
        free(heir);
        return NULL;
    }
    pthread_mutex_lock(&c->exchange->lock);
    hang_mark_gone(l, c);
    output = c->exchange->output;
    c->exchange->output = x->output;
    x->output = output;
    pthread_mutex_unlock(&c->exchange->lock);

    descriptors_add(&l->descriptors, fd);
    *heir = *c;
    heir->fd = fd;
    heir->exchange = x;
    heir->state = CONNECTION_WRITING;
    heir->is_kept_back = false;
    heir->closes = heir->must_linger = true;
    c->client = NULL;
    hang_take_socket(l, c);
    l->n_connections++;
    return heir;
}

/* Sends what is left, or 504 where the application's response has not begun. */
static void hang_finish(Loop *l, Connection *c, bool answers)
{
    bool is_head = c->exchange->request.is_head;
    Connection *heir = hang_part(l, c);
    Buffer error;
    int r = 0;

    if (!heir) {
        hang_cut(l, c);
        return;
    }
    buffer_init(&error);
    if (answers)
        r = response_append_error(&error, 504, is_head, true, l->date);
    if (r == 0)
        r = output_queue(&heir->exchange->output, &(struct iovec){buffer_head(&error), buffer_size(&error)},
                         1);
    buffer_deinit(&error);
    if (r < 0)
        connection_close(l, heir);
    else
        connection_on_flush(l, heir);
}

/* --- giving up --- */

/* Whether that could be done now: not while the application's thread makes the head of its response. */
static bool hang_give_up(Loop *l, Connection *c, usec_t age)
{
    Exchange *x = c->exchange;
    AnsweredBy by = ANSWERED_BY_NOBODY;
    bool answers = atomic_compare_exchange_strong(&x->answered_by, &by, ANSWERED_BY_LOOP);
    bool is_complete = x->is_complete;

    if (by == ANSWERED_BY_RUNNER_SOON)
        return false;
    hang_report(l, c, age,
                answers       ? "its client gets 504"
                : is_complete ? "its response is complete"
                              : "its response is cut off");
    if (answers)
        x->status = 504;
    record_access(l, c, answers ? NULL : &x->response);
    timeout_disarm(&c->timeout);
    if (answers || is_complete)
        hang_finish(l, c, answers);
    else
        hang_cut(l, c);
    x->hang.is_given_up = true;
    loop_count_request(l);
    l->n_hung++;
    /* Where the supervisor can't be told so, it sees the request there, and kills the worker. */
    if (drain_ask_for_replacement(l, REPLACE_AFTER_HANG) == 0)
        atomic_store(&x->hang.slot->started_usec, 0);
    return true;
}

/* No thread or greenlet is left for them, here or elsewhere. */
static void hang_refuse_waiting(Loop *l)
{
    for (Connection *c; (c = connection_queue_pop(&l->ready));)
        requests_refuse(l, c, "all threads of the worker are stuck");
}

/* Whoever could begin with another request knows where this one hangs, and may be about to come: on a loaded machine,
 * that takes its time. */
usec_t hang_next_usec(const Loop *l)
{
    const Timeout *t = timeout_list_first(&l->running);

    if (!t)
        return UINT64_MAX;
    return l->unmanned_since > 0 ? MAX(t->deadline, l->unmanned_since + UNMANNED_USEC) : t->deadline;
}

void hang_expire(Loop *l)
{
    usec_t limit = l->config->timeouts_request;

    while (hang_next_usec(l) <= l->now) {
        Timeout *t = timeout_list_first(&l->running);
        HangWatch *w = &exchange_of_timeout(t)->hang;
        usec_t started = atomic_load(&w->slot->started_usec), due = started + limit;

        /* It is on its way back; or its clock stood still for a while (live-body.c), or does so now and may go on at
         * once. */
        if (started == 0 || due > l->now) {
            timeout_arm_at(&l->running, t, MIN(started > 0 ? due : UINT64_MAX, l->now + LOOK_USEC));
            continue;
        }
        timeout_disarm(t);
        if (!hang_give_up(l, w->connection, l->now - started))
            timeout_arm_at(&l->running, t, l->now + LOOK_USEC);
    }
    if (drain_is_alone(l) && loop_is_stuck(l))
        hang_refuse_waiting(l);
}

void hang_on_return(Loop *l, Connection *c)
{
    const Exchange *x = c->exchange;
    char request[512], id[REQUEST_ID_FIELD_SIZE];
    const char *fields[] = {request_id_field(l, c, id), NULL};

    l->n_hung--;
    log_full(LOG_NOTICE, NULL, fields, "The application has come back from %s after %.1f s",
             record_describe_request(c, request, sizeof request), seconds(l->now - x->called_usec));
    record_error(l, c);
    connection_close(l, c);
}
