/* SPDX-License-Identifier: MIT */
/* Time limits of the processes of a generation. */
#include "supervisor/overdue.h"

#include "base/log.h"
#include "supervisor/children.h"

#define NEVER UINT64_MAX

static void zygote_stuck(Generation *g, usec_t now)
{
    ReportSubject who = children_subject_of_zygote(g);

    g->deadline_usec = 0;
    if (g->zygote == ZYGOTE_LOADING) {
        report_stuck(&who, NULL, "loading the application", "timeouts.load", g->config->timeouts_load, now);
        children_note_failure(g, "the application was not loaded within timeouts.load");
        g->zygote_explained = true;
        children_dismiss_zygote(g, SIGABRT, now);
    } else if (g->zygote == ZYGOTE_LEAVING)
        (void)kill(g->zygote_pid, SIGKILL);
}

static void seat_stuck(Generation *g, Seat *s, usec_t now)
{
    ReportSubject who = children_subject_of(g, s);
    SeatState state = s->state;

    if (state == SEAT_STARTING) {
        report_stuck(&who, NULL, "loading the application", "timeouts.load", g->config->timeouts_load, now);
        children_note_failure(g, "the application was not loaded within timeouts.load");
    } else if (state == SEAT_CHECKING) {
        report_stuck(&who, NULL, "answering reload.check_path", "reload.check_timeout",
                     g->config->reload_check_timeout, now);
        children_note_failure(g, "reload.check_path was not answered within reload.check_timeout");
    } else if (state == SEAT_DRAINING && s->served && !s->dismissed)
        report_nonsense(&who, "the end of its channel");
    else if (state == SEAT_DRAINING && s->served && !s->explained)
        report_stuck(&who, g->scoreboard, "draining", "timeouts.graceful", g->config->timeouts_graceful, now);
    if (seat_on_event(s, SEAT_ON_STUCK, now) == SEAT_DO_GIVE_UP) {
        log_error("The zygote of generation %u (pid %d) does not fork: killing it", g->number,
                  (int)g->zygote_pid);
        children_dismiss_zygote(g, SIGABRT, now);
    }
}

/* One that stays stopped, requests or not: connections wait in it. Returns when that is so. */
static usec_t scan_stopped(Generation *g, Seat *s, usec_t now)
{
    usec_t limit = g->config->timeouts_request;
    ReportSubject who = children_subject_of(g, s);

    if (s->stopped_usec == 0)
        return NEVER;
    if (now < s->stopped_usec + limit)
        return s->stopped_usec + limit;
    report_stays_stopped(&who, g->scoreboard, limit, now);
    s->explained = true;
    seat_on_event(s, SEAT_ON_STUCK, now);
    return NEVER;
}

/* Looks at the requests of one worker; returns when the one that may be the next to pass the limit does. */
static usec_t scan_seat(Generation *g, Seat *s, usec_t now)
{
    usec_t limit = g->config->timeouts_request + SEAT_GRACE_USEC, next;

    if (s->state != SEAT_SERVING && s->state != SEAT_DRAINING)
        return NEVER;
    next = scan_stopped(g, s, now);
    if (s->state == SEAT_ABORTING)
        return NEVER;
    next = MIN(next, now + limit);
    for (unsigned i = 0; i < g->scoreboard->n_slots; i++) {
        const ScoreboardSlot *slot = scoreboard_slot(g->scoreboard, s->number, i);
        usec_t started = atomic_load(&slot->started_usec);
        ReportSubject who = children_subject_of(g, s);

        if (started == 0 || started > now)
            continue;
        if (now - started < limit) {
            next = MIN(next, started + limit);
            continue;
        }
        report_request_timeout(&who, slot, started, g->config->timeouts_request, now);
        s->explained = true;
        seat_on_event(s, SEAT_ON_STUCK, now);
        return NEVER;
    }
    return next;
}

/* A worker gives such a request up by itself, and takes it off the scoreboard: what is seen here is a worker that
 * can't, as it is stopped, or its loop is stuck. A request that begins after a scan can't pass the limit earlier than
 * the limit after that scan: so this sees each of them in time, and wakes up about once in timeouts.request. */
static void scan_requests(Generation *g, usec_t now)
{
    g->scan_usec = NEVER;
    if (g->config->timeouts_request == 0)
        return;
    for (unsigned i = 0; i < g->n_seats; i++) {
        usec_t next = scan_seat(g, &g->seats[i], now);

        g->scan_usec = MIN(g->scan_usec, next);
    }
}

void overdue_advance(Generation *g, usec_t now)
{
    if (g->deadline_usec > 0 && g->deadline_usec <= now)
        zygote_stuck(g, now);
    for (unsigned i = 0; i < g->n_seats; i++)
        if (g->seats[i].deadline_usec > 0 && g->seats[i].deadline_usec <= now)
            seat_stuck(g, &g->seats[i], now);
    scan_requests(g, now);
}
