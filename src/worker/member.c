/* SPDX-License-Identifier: MIT */
/* A member of the crew that does not drive: it waits, or watches whether the one that drives is held up. */
#include "worker/member.h"

#include "base/clock.h"
#include "base/log.h"
#include "worker/hang.h"
#include "worker/runner.h"

#include <errno.h>
#include <time.h>

#define LOOKS_BEFORE_PARKING 50

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

/* One look of the watcher at the token. True: m drives now. *seen: the token at the last look; *n_quiet:
 * looks since an application was seen running. */
static bool member_look(Member *m, uint64_t *seen, unsigned *n_quiet)
{
    Crew *w = m->crew;
    uint64_t token = atomic_load(&w->token);
    bool is_running = token_state(token) == TOKEN_RUNNING;

    if (token_state(token) == TOKEN_FREE || (is_running && (token == *seen || w->is_urgent))) {
        m->overtaken = is_running ? &w->members[token_member(token)] : NULL;
        if (atomic_compare_exchange_strong(&w->token, &token, token_make(TOKEN_DRIVING, m->index, 0)))
            return true;
        is_running = token_state(token) == TOKEN_RUNNING;
    }
    if (!is_running)
        w->is_urgent = false;
    *seen = token;
    *n_quiet = is_running ? 0 : *n_quiet + 1;
    if (*n_quiet < LOOKS_BEFORE_PARKING) {
        member_wait(m, HANDOFF_USEC);
        return false;
    }
    /* The driver stores RUNNING, then loads is_parked: one of the two sees the other. */
    atomic_store(&w->is_parked, true);
    if (token_state(atomic_load(&w->token)) == TOKEN_DRIVING)
        member_wait(m, 0);
    if (w->watcher == m) /* else it is for the next one to say, who may have parked meanwhile */
        atomic_store(&w->is_parked, false);
    *n_quiet = 0;
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
    uint64_t seen = 0;
    unsigned n_quiet = 0;
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
            drives = member_look(m, &seen, &n_quiet);
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
