/* SPDX-License-Identifier: MIT */
/* The threads of a worker, and which of them drives the loop. */
#include "worker/crew.h"

#include "base/clock.h"
#include "base/log.h"
#include "worker/accept.h"
#include "worker/connection.h"
#include "worker/drain.h"
#include "worker/hang.h"
#include "worker/member.h"
#include "worker/requests.h"
#include "worker/runner.h"
#include "wsgi/interpreter.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

/* --- the GIL --- */

static void member_acquire(Member *m)
{
    if (!m->has_gil)
        interpreter_acquire(m->python);
    m->has_gil = true;
}

static void member_release(Member *m)
{
    if (m->has_gil)
        interpreter_release(m->python);
    m->has_gil = false;
}

/* --- driving --- */

static void crew_finish(Crew *w, int error)
{
    drain_cut_off(w->loop);
    pthread_mutex_lock(&w->lock);
    w->is_over = true;
    w->error = error;
    for (unsigned i = 0; i <= w->n_threads; i++)
        pthread_cond_signal(&w->members[i].wake);
    pthread_mutex_unlock(&w->lock);
}

/* From here on m can be overtaken; when it is urgent, at once. c: whom it runs the application for, or NULL. Returns
 * the token. */
static uint64_t member_leave(Member *m, Connection *c, bool is_urgent)
{
    Crew *w = m->crew;
    uint64_t token = token_make(TOKEN_RUNNING, m->index, ++w->serial);

    m->connection = c;
    atomic_store_explicit(&w->left_usec, w->loop->now, memory_order_relaxed);
    atomic_store(&w->token, token);
    if (is_urgent || atomic_load(&w->is_parked))
        crew_wake_watcher(w, is_urgent);
    return token;
}

/* False: it was overtaken. */
static bool member_come_back(Member *m, uint64_t token)
{
    return atomic_compare_exchange_strong(&m->crew->token, &token, token_make(TOKEN_DRIVING, m->index, 0));
}

/* The application; with the GIL from here on. */
static void member_call(Member *m, Connection *c)
{
    Crew *w = m->crew;

    member_acquire(m);
    runner_run(&m->runner, w->loop, c, w->app, &w->slots[m->index], NULL);
    atomic_store_explicit(&w->slots[m->index].started_usec, 0, memory_order_relaxed);
    if (w->develop)
        develop_tell(w->develop);
}

/* Whether m may go on by itself: not where the application is usually fast, so that m gets to drive; nor where others
 * wait to be accepted, which the driver does while a thread is free. */
static bool member_may_go_on(const Loop *l)
{
    return l->usual_usec >= HANDOFF_USEC && !accept_is_waited_for(l);
}

/* m was overtaken while the application ran for c. The next one that has waited for a thread, while the driver waits
 * for events. NULL: m idles. */
static Connection *member_change(Member *m, Connection *c)
{
    Loop *l = m->crew->loop;
    ScoreboardSlot *slot = &m->crew->slots[m->index];
    Connection *next = NULL;
    bool was_stuck;

    if (!loop_enter(l)) {
        requests_hand_back(l, c);
        return NULL;
    }
    was_stuck = loop_is_stuck(l);
    requests_check_in(l, c);
    requests_flush(l);
    if (member_may_go_on(l))
        next = requests_check_out(l);
    if (next) {
        requests_show(l, next, slot);
        runner_on_overtaken(l, next);
        hang_watch(l, next, m->tid, slot);
    }
    loop_leave(l, !next || l->ready.n == 0 || was_stuck);
    return next;
}

/* Runs one request. True: m still drives, and has checked the connection in. False: m was overtaken, and has gone on
 * with others as long as there were any. */
static bool member_run(Member *m, Connection *c)
{
    Crew *w = m->crew;
    Loop *l = w->loop;
    bool is_slow = l->usual_usec >= HANDOFF_USEC;
    uint64_t token;

    if (is_slow || requests_must_flush(l))
        requests_flush(l);
    requests_show(l, c, &w->slots[m->index]);
    token = member_leave(m, c, is_slow);

    member_call(m, c);
    if (member_come_back(m, token)) {
        requests_check_in(l, c);
        return true;
    }
    while ((c = member_change(m, c)))
        member_call(m, c);
    member_release(m);
    return false;
}

/* Requests that are ready, for a slice of time: clients that pipeline would keep the others from being accepted and
 * read for ever. True: m still drives. */
static bool member_run_ready(Member *m)
{
    Loop *l = m->crew->loop;
    usec_t until;
    Connection *c;

    if (member_is_spare(m) || !requests_are_ready(l))
        return true;
    l->now = clock_now_usec(); /* what came with them may have taken long to receive */
    until = l->now + REQUESTS_SLICE_USEC;
    while (l->now < until && (c = requests_check_out(l))) {
        if (!member_run(m, c))
            return false;
        if (l->n_checked_out > 0) /* others are in the application and want the GIL */
            member_release(m);
    }
    return true;
}

/* Offers the loop to a member that can run the application. */
static bool member_hands_over(Member *m)
{
    Crew *w = m->crew;

    if (!member_is_spare(m) || !atomic_exchange(&w->is_wanted, false))
        return false;
    atomic_store(&w->token, token_make(TOKEN_FREE, 0, 0));
    crew_wake_watcher(w, false);
    return true;
}

/* Python's garbage, then what malloc() keeps. Neither that nor the wait for the GIL is the loop's to wait for. True: m
 * still drives. */
static bool member_trim(Member *m)
{
    uint64_t token;

    m->crew->loop->must_trim = false;
    token = member_leave(m, NULL, true);
    member_acquire(m);
    interpreter_collect();
    member_release(m);
    malloc_trim(0);
    return member_come_back(m, token);
}

/* True: m still drives. */
static bool member_fetch_gil(Member *m)
{
    uint64_t token = member_leave(m, NULL, false);

    member_acquire(m);
    return member_come_back(m, token);
}

static LoopGil member_gil(const Member *m)
{
    return m->has_gil ? GIL_HELD : member_is_spare(m) ? GIL_OUT_OF_REACH : GIL_WITHIN_REACH;
}

/* Drives until the loop is somebody else's, or done. */
static void member_drive(Member *m)
{
    Crew *w = m->crew;
    bool may_block;
    int n = 0;

    w->loop->is_spared = member_is_spare(m);
    for (;;) {
        if (!member_run_ready(m))
            return;
        requests_flush(w->loop);
        if (drain_is_finished(w->loop)) {
            crew_finish(w, 0);
            return;
        }
        if (member_hands_over(m))
            return;
        /* The GIL is kept through turns that find work: giving it back and taking it again costs more than
         * the wait. */
        if (w->loop->must_trim && !member_is_spare(m) && !requests_are_ready(w->loop) && !member_trim(m))
            return;
        may_block = !m->has_gil && (member_is_spare(m) || !requests_are_ready(w->loop));
        w->loop->gil = member_gil(m);
        n = loop_turn(w->loop, may_block);
        if (n < 0) {
            crew_finish(w, n);
            return;
        }
        if (loop_wants_gil(w->loop) && w->loop->gil == GIL_WITHIN_REACH) {
            if (!member_fetch_gil(m))
                return;
        } else if (!requests_are_ready(w->loop)) {
            member_release(m);
        }
    }
}

void *member_main(void *arg)
{
    Member *m = arg;
    char name[16]; /* pthread_setname_np(3) */

    m->tid = gettid();
    snprintf(name, sizeof name, member_is_spare(m) ? "spare" : "runner-%u", m->index);
    if (m->index > 0) /* the main thread's name is the process's */
        pthread_setname_np(pthread_self(), name);
    if (!m->python && !member_is_spare(m)) {
        m->python = interpreter_thread_new(name);
        if (!m->python) {
            log_error("No memory for a thread of the application");
            return NULL;
        }
    }
    while (member_idle(m)) {
        member_drive(m);
        member_release(m);
    }
    return NULL;
}

/* --- the whole --- */

static int crew_init(Crew *w, const CrewOptions *o)
{
    pthread_condattr_t monotonic;

    *w = (Crew){
        .loop = o->loop, .app = o->app, .slots = o->slots, .develop = o->develop, .n_threads = o->n_threads};
    w->members = calloc(o->n_threads + 1, sizeof *w->members);
    if (!w->members)
        return -ENOMEM;
    pthread_mutex_init(&w->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    for (unsigned i = 0; i <= o->n_threads; i++) {
        w->members[i].crew = w;
        w->members[i].index = i;
        pthread_cond_init(&w->members[i].wake, &monotonic);
    }
    pthread_condattr_destroy(&monotonic);
    return 0;
}

static Crew *crew_free(Crew *w)
{
    for (unsigned i = 0; i <= w->n_threads; i++)
        pthread_cond_destroy(&w->members[i].wake);
    pthread_mutex_destroy(&w->lock);
    free(w->members);
    free(w);
    return NULL;
}

int crew_run(const CrewOptions *o)
{
    Crew *w = malloc(sizeof *w);
    Member *main_member;
    int r = w ? crew_init(w, o) : -ENOMEM;

    if (r < 0) {
        free(w);
        return r;
    }
    main_member = &w->members[0];
    main_member->python = interpreter_main_thread();
    main_member->is_started = main_member->has_gil = true;
    member_release(main_member);

    pthread_mutex_lock(&w->lock);
    r = crew_start_member(w, &w->members[w->n_threads]) ? 0 : -EAGAIN;
    pthread_mutex_unlock(&w->lock);
    if (r == 0) {
        member_main(main_member);
        r = w->error;
    }
    for (unsigned i = 1; i <= w->n_threads; i++)
        if (w->members[i].is_started)
            pthread_join(w->members[i].thread, NULL);
    crew_free(w);
    interpreter_acquire(interpreter_main_thread());
    return r;
}
