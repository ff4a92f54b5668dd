/* SPDX-License-Identifier: MIT */
/* A member of the crew that does not drive: it waits, or watches whether the one that drives is held up. */
#include "worker/member.h"

#include "base/clock.h"
#include "base/log.h"
#include "worker/hang.h"
#include "worker/runner.h"

#include <errno.h>
#include <time.h>

#define PARK_AFTER_USEC (50 * USEC_PER_MSEC)
#define PACE_MAX_USEC (4 * USEC_PER_MSEC)

/* --- with the lock --- */

/* Whoever can run the application is preferred to the spare. */
static void crew_choose_watcher(Crew *w)
{
    Member *chosen = NULL;

    for (unsigned i = 0; i <= w->n_threads && !chosen; i++)
        if (w->members[i].is_idle)
            chosen = &w->members[i];
    if (chosen == w->watcher)
        return;
    if (w->watcher)
        pthread_cond_signal(&w->watcher->wake);
    w->watcher = chosen;
    atomic_store(&w->is_parked, false);
    if (chosen)
        pthread_cond_signal(&chosen->wake);
}

bool crew_start_member(Crew *w, Member *m)
{
    int r = pthread_create(&m->thread, NULL, member_main, m);

    if (r != 0)
        log_warning("Cannot start a thread: %s", strerror(r));
    m->is_started = r == 0;
    w->n_started += m->is_started;
    return m->is_started;
}

/* The spare drives because all members that are started are in the application: time for another one. */
static void crew_grow(Crew *w)
{
    for (unsigned i = 0; i < w->n_threads; i++)
        if (!w->members[i].is_started) {
            crew_start_member(w, &w->members[i]);
            return;
        }
}

static void member_wait(Member *m, usec_t usec)
{
    usec_t until = clock_now_usec() + usec;
    struct timespec ts = {(time_t)(until / USEC_PER_SEC), (long)(until % USEC_PER_SEC * 1000)};

    if (usec == 0)
        pthread_cond_wait(&m->wake, &m->crew->lock);
    else
        pthread_cond_timedwait(&m->wake, &m->crew->lock, &ts);
}

/* Between two looks. Each takes a thread's wake-up, 1000 a second up to 5 % of a core in a virtual machine: fewer where
 * nobody was held up for seconds. */
static usec_t crew_pace(const Crew *w, usec_t now)
{
    return MAX(HANDOFF_USEC, MIN((now - w->overtook_usec) / 1024, PACE_MAX_USEC));
}

/* One look of the watcher at the token. True: m drives now. *running_usec: when an application was seen running,
 * last. */
static bool member_look(Member *m, usec_t *running_usec)
{
    Crew *w = m->crew;
    usec_t now = clock_now_usec();
    uint64_t token = atomic_load(&w->token);
    bool is_running = token_state(token) == TOKEN_RUNNING;
    bool is_late = is_running && now >= atomic_load(&w->left_usec) + HANDOFF_USEC;

    if (token_state(token) == TOKEN_FREE || is_late || (is_running && w->is_urgent)) {
        m->overtaken = is_running ? &w->members[token_member(token)] : NULL;
        if (atomic_compare_exchange_strong(&w->token, &token, token_make(TOKEN_DRIVING, m->index, 0))) {
            if (is_late)
                w->overtook_usec = now;
            return true;
        }
        is_running = token_state(token) == TOKEN_RUNNING;
    }
    if (is_running)
        *running_usec = now;
    else
        w->is_urgent = false;
    if (now - *running_usec < PARK_AFTER_USEC) {
        member_wait(m, crew_pace(w, now));
        return false;
    }
    /* The driver stores RUNNING, then loads is_parked: one of the two sees the other. */
    atomic_store(&w->is_parked, true);
    if (token_state(atomic_load(&w->token)) == TOKEN_DRIVING)
        member_wait(m, 0);
    if (w->watcher == m) /* else it is for the next one to say, who may have parked meanwhile */
        atomic_store(&w->is_parked, false);
    *running_usec = clock_now_usec();
    return false;
}

/* Another member drives now, while the application runs for this one, or it trims. */
static void member_on_overtaken(const Member *m)
{
    Crew *w = m->crew;

    if (!m->connection)
        return;
    runner_on_overtaken(w->loop, m->connection);
    hang_watch(w->loop, m->connection, m->tid, &w->slots[m->index]);
}

bool member_idle(Member *m)
{
    Crew *w = m->crew;
    usec_t running_usec = clock_now_usec();
    bool drives = false;

    pthread_mutex_lock(&w->lock);
    m->is_idle = true;
    if (!member_is_spare(m) && token_member(atomic_load(&w->token)) == w->n_threads) {
        atomic_store(&w->is_wanted, true);
        loop_wake_up(w->loop);
    }
    crew_choose_watcher(w);
    while (!drives && !w->is_over) {
        if (w->watcher == m)
            drives = member_look(m, &running_usec);
        else
            member_wait(m, 0);
    }
    m->is_idle = false;
    if (drives)
        w->is_urgent = false;
    if (drives && member_is_spare(m))
        crew_grow(w);
    crew_choose_watcher(w);
    pthread_mutex_unlock(&w->lock);
    if (drives && m->overtaken)
        member_on_overtaken(m->overtaken);
    return drives;
}

void crew_wake_watcher(Crew *w, bool is_urgent)
{
    pthread_mutex_lock(&w->lock);
    w->is_urgent = w->is_urgent || is_urgent;
    if (w->watcher)
        pthread_cond_signal(&w->watcher->wake);
    pthread_mutex_unlock(&w->lock);
}
