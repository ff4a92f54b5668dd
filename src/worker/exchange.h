/* SPDX-License-Identifier: MIT */
/* One request and its response under way. A connection has an exchange only while there is something to do,
 * so that an idle one costs little; exchanges are used again with the memory that they grew. */
#pragma once

#include "base/cleanup.h"
#include "base/spool.h"
#include "config/config.h"
#include "http/chunked.h"
#include "http/forwarded.h"
#include "http/head.h"
#include "http/request.h"
#include "http/response.h"
#include "worker/flusher.h"
#include "worker/hang.h"
#include "worker/output.h"

#include <pthread.h>
#include <stdatomic.h>

/* Whose response the client gets. Settled once; the one or the other leaves ANSWERED_BY_NOBODY. */
typedef enum AnsweredBy {
    ANSWERED_BY_NOBODY,
    ANSWERED_BY_RUNNER_SOON, /* the application, or an error of its thread: the head is being made, unseen */
    ANSWERED_BY_RUNNER,      /* … the head is final */
    ANSWERED_BY_LOOP,        /* the request was given up */
} AnsweredBy;

/* What runs the application where that is no thread: a greenlet, see hub.h. For the driver of the loop. */
typedef struct Carrier Carrier;
struct Carrier {
    void (*on_progress)(Carrier *c);
    int (*append_stack)(const Carrier *c, Buffer *to); /* see wsgi/stack.h */
};

typedef struct Exchange {
    struct Exchange *next_free;

    Buffer in;        /* head_size octets of the current request's head, then what came after it */
    size_t head_size; /* 0 until the head is complete */
    HeadScan scan;
    Request request;
    ChunkedDecoder chunked;
    uint64_t body_received; /* octets of the body, decoded */
    size_t body_used;       /* octets behind the head that were taken from the input, see body-intake.h */
    Spool body;             /* empty where the application receives it: is_live */
    bool is_live;
    bool is_received; /* all of it came with the request, from another worker */
    Forwarded forwarded;

    Response response;
    unsigned status;        /* of the response, once there is one */
    uint64_t serial;        /* of the request, in this worker */
    usec_t started_usec;    /* first octet of the request */
    usec_t body_since_usec; /* the head was complete */
    usec_t ready_usec;      /* the request was complete */
    usec_t called_usec;     /* the application was called */
    time_t date_second;     /* for the response: the runner must not read the loop's */
    char date[DATE_SIZE];   /* the same as text */
    char *error;            /* the application's, for the log; owned */
    bool is_cut;            /* the response can't be completed: close without a last chunk */
    /* The live body could not be received, and the application gave up for that: what to refuse with; 0 */
    unsigned refused_status;
    const char *refused_reason;

    /* While the application runs and something was sent or waits to be, its thread and the loop's share what
     * follows. */
    pthread_mutex_t lock;
    pthread_cond_t progress; /* of output, or the client went away: exchange_announce_progress() */
    Carrier *carrier;        /* that waits for it; NULL: a thread does */
    bool is_streaming;       /* written by the application's thread, with the lock; by the loop's before */
    /* The thread that runs the application adds nothing more to output; whoever of it and of the thread that
     * overtakes it claims it first, sends it. */
    _Atomic bool is_complete;
    _Atomic bool is_overtaken;
    _Atomic bool is_claimed;
    _Atomic bool is_gone; /* the client went away */
    _Atomic AnsweredBy answered_by;
    Stream stream;
    HangWatch hang;
    Output output;
} Exchange;

typedef struct ExchangePool {
    const Config *config;
    const char *directory; /* of temporary files; borrowed */
    SpoolBudget budget;    /* of all bodies and responses */
    Exchange *free;
    Exchange *unclean; /* have memory of body-memory.h: exchange_pool_clean() */
    unsigned n_free;
    unsigned n_used;
} ExchangePool;

void exchange_pool_init(ExchangePool *p, const Config *config, const char *directory);
void exchange_pool_deinit(ExchangePool *p); /* as exchange_pool_clean() */

/* An exchange with empty buffers, or NULL: no memory. exchange_pool_put() takes it back. */
Exchange *exchange_pool_get(ExchangePool *p);
void exchange_pool_put(ExchangePool *p, Exchange *x);

/* What was put back with a body that no application got is free from here on. With the GIL, unless there is nothing
 * like that. */
void exchange_pool_clean(ExchangePool *p);

/* With the lock: output shrank, or the client went away. */
static inline void exchange_announce_progress(Exchange *x)
{
    if (x->carrier)
        x->carrier->on_progress(x->carrier);
    else
        pthread_cond_signal(&x->progress);
}

/* The request was answered: forgets it, keeps what came in after it and what is still to go out. */
void exchange_next_request(Exchange *x);
