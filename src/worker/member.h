/* SPDX-License-Identifier: MIT */
/* The members of a crew: what crew.c, where they drive, and member.c, where they wait for their turn, share.
 * The state machine is in crew.h. */
#pragma once

#include "worker/connection.h"
#include "worker/crew.h"
#include "worker/runner.h"
#include "wsgi/interpreter.h"

#include <pthread.h>
#include <stdatomic.h>

#define HANDOFF_USEC (1 * USEC_PER_MSEC)

/* The token: state, member, and a serial number that tells one request from the next. */
typedef enum TokenState {
    TOKEN_FREE,
    TOKEN_DRIVING,
    TOKEN_RUNNING,
} TokenState;

static inline uint64_t token_make(TokenState state, unsigned member, uint64_t serial)
{
    return serial << 18 | (uint64_t)member << 2 | state;
}

static inline TokenState token_state(uint64_t token)
{
    return (TokenState)(token & 3);
}

static inline unsigned token_member(uint64_t token)
{
    return token >> 2 & 0xffff;
}

typedef struct Crew Crew;

typedef struct Member Member;

struct Member {
    Crew *crew;
    unsigned index;
    bool is_idle; /* guarded by Crew.lock, like what follows */
    bool is_started;
    pthread_t thread;
    pid_t tid;
    pthread_cond_t wake;
    InterpreterThread *python; /* the member's own, like what follows */
    Connection *connection;    /* the application runs for it, or NULL; for whoever takes the token, too */
    Member *overtaken;         /* whose token was taken, since the last time */
    bool has_gil;
    Runner runner;
};

struct Crew {
    Loop *loop;
    WsgiApp *app;
    ScoreboardSlot *slots;
    Develop *develop;
    unsigned n_threads;
    Member *members; /* n_threads, then the spare */

    _Atomic uint64_t token;
    _Atomic usec_t left_usec; /* when it became RUNNING */
    _Atomic bool is_parked;   /* the watcher sleeps until it is woken */
    _Atomic bool is_wanted;   /* a member that can run the application waits while the spare drives */
    uint64_t serial;          /* the driver's */

    pthread_mutex_t lock;
    unsigned n_started;
    Member *watcher;      /* one of the idle ones, or NULL */
    bool is_urgent;       /* the watcher need not wait */
    usec_t overtook_usec; /* when the watcher last found an application late */
    bool is_over;
    int error;
};

static inline bool member_is_spare(const Member *m)
{
    return m->index == m->crew->n_threads;
}

/* A thread: waits for its turn, drives, until the crew is done. arg: the Member. */
void *member_main(void *arg);

/* Waits until m is to drive. False: the crew is done. */
bool member_idle(Member *m);

/* With the lock. False: no thread can be had, and the log says so. */
bool crew_start_member(Crew *w, Member *m);

/* Whoever watches the token looks at once; is_urgent: and takes it. */
void crew_wake_watcher(Crew *w, bool is_urgent);
