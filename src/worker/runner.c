/* SPDX-License-Identifier: MIT */
/* Runs the application for one connection. */
#include "worker/runner.h"

#include "worker/peer.h"
#include "wsgi/body-memory.h"
#include "wsgi/call.h"

#include <sys/epoll.h>

/* The application gave up, as the client did not send its body: connection_on_response() says so. */
static void runner_take_refusal(Exchange *x, const LiveBody *body)
{
    x->refused_status = body->status;
    x->refused_reason = body->source.reason;
    x->is_cut = x->status != 0;
}

void runner_run(Runner *r, Loop *l, Connection *c, WsgiApp *app, ScoreboardSlot *slot, Greenlet *greenlet)
{
    Exchange *x = c->exchange;
    const Spool *body = request_has_body(&x->request) && !x->is_live ? &x->body : NULL;
    WsgiPeer peer = peer_of_request(c);

    sink_init(&r->sink, l, c, greenlet);
    if (x->is_live)
        live_body_init(&r->live, l, c, slot);
    switch (wsgi_call(app, &x->request, body, x->is_live ? &r->live.source : NULL, &peer, &r->sink.base,
                      &x->error)) {
    case 0:
        break;
    case WSGI_E_ERROR:
        x->is_cut = sink_answer_error(&r->sink, 500) < 0;
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
    sink_deinit(&r->sink);
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
        sink_send_complete(l, c);
    else
        runner_send_earlier(l, c);
}
