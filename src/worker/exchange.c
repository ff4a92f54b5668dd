/* SPDX-License-Identifier: MIT */
/* One request and its response under way. */
#include "worker/exchange.h"

#include "wsgi/body-memory.h"

#define POOL_MAX 64
#define KEPT_INPUT_MAX (64 * 1024)

static Exchange *exchange_free(Exchange *x)
{
    buffer_deinit(&x->in);
    request_deinit(&x->request);
    spool_deinit(&x->body);
    response_deinit(&x->response);
    output_deinit(&x->output);
    pthread_cond_destroy(&x->progress);
    pthread_mutex_destroy(&x->lock);
    free(x->error);
    free(x);
    return NULL;
}

static Exchange *exchange_new(ExchangePool *p)
{
    const Config *c = p->config;
    Exchange *x = calloc(1, sizeof *x);

    if (!x)
        return NULL;
    buffer_init(&x->in);
    request_init(&x->request);
    spool_init(&x->body, c->limits_body_memory, c->limits_body ? c->limits_body : UINT64_MAX, p->directory);
    response_init(&x->response);
    x->response.takes_file = c->app_sendfile_roots && *c->app_sendfile_roots;
    output_init(&x->output, c->limits_response_memory, c->limits_response_file, p->directory);
    x->body.budget = x->output.spool.budget = &p->budget;
    pthread_mutex_init(&x->lock, NULL);
    pthread_cond_init(&x->progress, NULL);
    return x;
}

void exchange_pool_init(ExchangePool *p, const Config *config, const char *directory)
{
    *p = (ExchangePool){.config = config, .directory = directory};
    p->budget.left = (int64_t)config->limits_memory;
}

void exchange_pool_deinit(ExchangePool *p)
{
    exchange_pool_clean(p);
    while (p->free) {
        Exchange *x = p->free;
        p->free = x->next_free;
        exchange_free(x);
    }
}

Exchange *exchange_pool_get(ExchangePool *p)
{
    Exchange *x = p->free;

    if (x) {
        p->free = x->next_free;
        p->n_free--;
    } else {
        x = exchange_new(p);
    }
    p->n_used += x != NULL;
    return x;
}

void exchange_next_request(Exchange *x)
{
    buffer_consume(&x->in, x->head_size);
    x->head_size = 0;
    request_reset(&x->request);
    head_scan_init(&x->scan);
    x->chunked = (ChunkedDecoder){0};
    x->body_received = 0;
    x->body_used = 0;
    x->is_live = x->is_received = false;
    spool_clear(&x->body);
    x->forwarded = (Forwarded){0};
    response_reset(&x->response);
    x->status = 0;
    /* Nobody else knows of it now: without the fences that each assignment to an _Atomic has. */
    atomic_store_explicit(&x->is_complete, false, memory_order_relaxed);
    atomic_store_explicit(&x->is_overtaken, false, memory_order_relaxed);
    atomic_store_explicit(&x->is_claimed, false, memory_order_relaxed);
    atomic_store_explicit(&x->answered_by, ANSWERED_BY_NOBODY, memory_order_relaxed);
    x->stream.state = STREAM_NEW;
    x->hang.is_given_up = false;
    x->is_streaming = x->is_cut = false;
    x->refused_status = 0;
    x->error = (free(x->error), NULL);
}

/* Nothing of a request was looked at, and nobody was refused, since exchange_next_request(). */
static bool exchange_is_fresh(const Exchange *x)
{
    return x->scan.position == 0 && x->status == 0;
}

void exchange_pool_put(ExchangePool *p, Exchange *x)
{
    p->n_used--;
    if (x->body.owner) {
        x->next_free = p->unclean;
        p->unclean = x;
        return;
    }
    if (p->n_free >= POOL_MAX || x->in.capacity > KEPT_INPUT_MAX) {
        exchange_free(x);
        return;
    }
    buffer_clear(&x->in);
    if (!exchange_is_fresh(x)) {
        x->head_size = 0;
        exchange_next_request(x);
    }
    output_clear(&x->output);
    atomic_store_explicit(&x->is_gone, false, memory_order_relaxed);
    x->next_free = p->free;
    p->free = x;
    p->n_free++;
}

void exchange_pool_clean(ExchangePool *p)
{
    for (Exchange *x; (x = p->unclean);) {
        p->unclean = x->next_free;
        body_memory_free(spool_take_back(&x->body));
        p->n_used++;
        exchange_pool_put(p, x);
    }
}
