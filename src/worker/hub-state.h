/* SPDX-License-Identifier: MIT */
/* What hub.c, where the loop is driven, and fiber.c, where requests run, share. The state machine is in
 * hub.h. */
#pragma once

#include "worker/connection.h"
#include "worker/develop.h"
#include "worker/runner.h"
#include "wsgi/greenlets.h"

#include <pthread.h>
#include <stdatomic.h>

/* Without a visit for so long, the guard takes the loop. */
#define GUARD_AFTER_USEC (5 * USEC_PER_MSEC)

typedef struct Hub Hub;
typedef struct Fiber Fiber;

/* One request in a greenlet. */
struct Fiber {
    Carrier carrier;
    Hub *hub;
    ScoreboardSlot *slot;
    Fiber *next; /* in Hub.free or Hub.progressed */
    bool has_progressed;
    Connection *connection; /* NULL: it is free, or will be once it is out of Hub.progressed */
    Runner runner;
    Greenlet greenlet;
};

struct Hub {
    Loop *loop;
    WsgiApp *app;
    Develop *develop;
    pid_t thread; /* the main one */
    int call_fd;  /* an eventfd: the main thread is to visit */

    _Atomic uint64_t n_visits; /* that were begun */
    _Atomic bool is_wanted;    /* the main thread waits for the lock */
    _Atomic bool is_over;
    pthread_mutex_t lock; /* for what follows, and the loop */
    bool is_guarded;      /* the guard turns the loop */
    Fiber *current;       /* runs for the first time, in a visit, and has not been overtaken; or NULL */
    Fiber *fibers;        /* one for each slot */
    Fiber *free;
    Fiber *progressed;
    int error;
};

/* The main thread takes the loop, and gives it back. */
void hub_enter(Hub *h);
void hub_leave(Hub *h);

void fiber_init(Fiber *f, Hub *h, ScoreboardSlot *slot);

/* In a visit, with the lock, which is given back meanwhile: runs the application for c until it waits or is
 * done. */
void fiber_begin(Hub *h, Connection *c);

/* With the lock: Hub.current goes on for longer than a moment. */
void fiber_on_overtaken(Hub *h);

/* In a visit, likewise: goes on with those whose clients have taken something. */
void fiber_wake_progressed(Hub *h);
