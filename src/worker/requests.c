/* SPDX-License-Identifier: MIT */
/* The requests of a worker between the loop and the threads of the application. */
#include "worker/requests.h"

#include "base/clock.h"
#include "worker/connection.h"

#define UNSENT_MAX_USEC 500
#define USUAL_MAX_USEC (4 * USEC_PER_MSEC)

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

void connection_queue_settle_last(ConnectionQueue *q)
{
    ConnectionQueue others = *q;
    Connection *last = q->last, *c;

    *q = (ConnectionQueue){0};
    while ((c = connection_queue_pop(&others)) != last &&
           c->exchange->ready_usec <= last->exchange->ready_usec)
        connection_queue_push(q, c);
    connection_queue_push(q, last);
    for (; c != last; c = connection_queue_pop(&others))
        connection_queue_push(q, c);
}

/* --- to the application, and back --- */

Connection *requests_check_out(Loop *l)
{
    Connection *c;

    if (!loop_has_slot(l))
        return NULL;
    while ((c = connection_queue_pop(&l->ready)) && c->exchange->is_gone)
        connection_close(l, c);
    if (!c)
        return NULL;
    l->n_checked_out++;
    c->state = CONNECTION_RUNNING;
    c->exchange->is_streaming = !output_is_empty(&c->exchange->output); /* answers to earlier requests */
    c->exchange->called_usec = l->now;
    c->exchange->date_second = l->date_second;
    memcpy(c->exchange->date, l->date, sizeof l->date);
    return c;
}

void requests_show(const Loop *l, const Connection *c, ScoreboardSlot *slot)
{
    Span method = c->exchange->request.method, target = c->exchange->request.target;
    size_t n = (size_t)(target.data + target.size - method.data) + sizeof " HTTP/1.1" - 1;

    if (n < sizeof slot->request)
        *(char *)mempcpy(slot->request, method.data, n) = '\0';
    else
        memcpy(mempcpy(slot->request, method.data, sizeof slot->request - 4), "...", 4);
    atomic_store_explicit(&slot->started_usec, l->now, memory_order_release);
}

bool requests_are_ready(const Loop *l)
{
    return l->ready.n > 0 && loop_has_slot(l);
}

void requests_learn(Loop *l, usec_t usec)
{
    l->usual_usec = (l->usual_usec * 7 + MIN(usec, USUAL_MAX_USEC)) / 8;
}

void requests_check_in(Loop *l, Connection *c)
{
    l->n_checked_out--;
    l->now = clock_now_usec();
    if (c->exchange->hang.is_given_up) {
        hang_on_return(l, c);
        return;
    }
    timeout_disarm(&c->exchange->hang.timeout);
    requests_learn(l, l->now - c->exchange->called_usec);
    connection_on_response(l, c);
}

void requests_hand_back(Loop *l, Connection *c)
{
    c->next_queued = atomic_load(&l->returned);
    while (!atomic_compare_exchange_weak(&l->returned, &c->next_queued, c))
        ;
    loop_wake_up(l);
}

void requests_take_returned(Loop *l)
{
    Connection *next;

    if (!atomic_load_explicit(&l->returned, memory_order_relaxed))
        return;
    for (Connection *c = atomic_exchange(&l->returned, NULL); c; c = next) {
        next = c->next_queued;
        requests_check_in(l, c);
    }
}

void requests_refuse(Loop *l, Connection *c, const char *reason)
{
    if (c->exchange->is_gone || !output_is_simple(&c->exchange->output))
        connection_close(l, c);
    else
        connection_refuse(l, c, 503, reason);
}

/* --- answers that wait for each other --- */

bool requests_must_flush(const Loop *l)
{
    return l->n_unsent == UNSENT_MAX || (l->n_unsent > 0 && l->now - l->unsent_since >= UNSENT_MAX_USEC);
}

void requests_keep_back(Loop *l, Connection *c)
{
    if (c->is_kept_back)
        return;
    if (l->n_unsent == UNSENT_MAX)
        requests_flush(l);
    if (l->n_unsent == 0)
        l->unsent_since = l->now;
    c->is_kept_back = true;
    l->unsent[l->n_unsent++] = c;
}

/* A connection that is flushed may get to its next request, whose answer is kept back again. */
void requests_flush(Loop *l)
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
