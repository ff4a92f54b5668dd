/* SPDX-License-Identifier: MIT */
/* A generation: its life, and who is missing in it. What its processes do: supervisor/children.h. */
#include "supervisor/generation.h"

#include "base/log.h"
#include "config/staff.h"
#include "supervisor/children.h"
#include "supervisor/elastic.h"
#include "supervisor/overdue.h"
#include "supervisor/recycling.h"
#include "supervisor/staffing.h"
#include "supervisor/worker-program.h"

#define NEVER UINT64_MAX

/* --- who is missing --- */

/* One that ends before it served still has its place: the next try waits for the end, and the pause behind it. */
static bool is_coming(const Seat *s)
{
    return s->state != SEAT_EMPTY && !s->served && !s->dismissed;
}

static StaffingCount count_staff(const Generation *g)
{
    StaffingCount c = {.n_wanted = g->n_wanted, .n_surge = g->config->reload_surge};

    for (unsigned i = 0; i < g->n_seats; i++) {
        const Seat *s = &g->seats[i];

        c.n_staying += s->state == SEAT_SERVING && !s->is_leaving;
        c.n_leaving += s->state == SEAT_SERVING && s->is_leaving;
        c.n_coming += is_coming(s);
        c.n_going += s->state != SEAT_EMPTY && s->dismissed;
    }
    return c;
}

static bool is_throttled(Generation *g, usec_t now)
{
    usec_t at = staffing_allows_at(&g->debt, g->n_wanted);

    if (at > now && !g->is_throttled)
        log_warning("Workers of generation %u fail so often that new ones wait for a while", g->number);
    g->is_throttled = at > now;
    return g->is_throttled;
}

/* The first seats that are empty, and no others: whoever is missing waits for the pause of the one that failed. */
static void fill_seats(Generation *g, unsigned n_more, usec_t now)
{
    StaffingCount staff = count_staff(g);
    unsigned n_missing = staffing_missing(&staff);

    if (g->retired || g->zygote != ZYGOTE_READY || n_missing == 0 || is_throttled(g, now))
        return;
    for (unsigned i = 0; i < g->n_seats && n_missing > 0 && n_more > 0; i++) {
        Seat *s = &g->seats[i];

        if (s->state != SEAT_EMPTY)
            continue;
        n_missing--;
        if (s->retry_usec > now)
            continue;
        children_spawn(g, s, now);
        n_more--;
    }
}

/* One of those that serve: who is leaving, else the last. */
static Seat *most_dispensable(const Generation *g)
{
    Seat *last = NULL;

    for (unsigned i = 0; i < g->n_seats; i++) {
        Seat *s = &g->seats[i];

        if (s->state == SEAT_SERVING && s->is_leaving)
            return s;
        if (s->state == SEAT_SERVING)
            last = s;
    }
    return last;
}

static void let_go(Generation *g, usec_t now)
{
    StaffingCount staff = count_staff(g);

    if (g->retired)
        return;
    for (unsigned n = staffing_surplus(&staff); n > 0; n--)
        generation_drain(g, most_dispensable(g)->number, now);
}

/* --- from the outside --- */

static usec_t next_due(const Generation *g, usec_t now)
{
    usec_t next = g->scan_usec, allowed = staffing_allows_at(&g->debt, g->n_wanted);

    if (g->deadline_usec > 0)
        next = MIN(next, g->deadline_usec);
    if (allowed > now && !g->retired)
        next = MIN(next, allowed);
    for (unsigned i = 0; i < g->n_seats; i++) {
        const Seat *s = &g->seats[i];

        if (s->deadline_usec > 0)
            next = MIN(next, s->deadline_usec);
        if (s->state == SEAT_EMPTY && s->retry_usec > now && !g->retired)
            next = MIN(next, s->retry_usec);
    }
    return next;
}

/* What was the matter is over. */
static void note_strength(Generation *g)
{
    if (!generation_is_staffed(g))
        return;
    free(g->failure);
    g->failure = NULL;
}

usec_t generation_advance(Generation *g, unsigned n_more, usec_t now)
{
    usec_t next, due;

    overdue_advance(g, now);
    next = recycling_advance(g, now);
    due = elastic_advance(g, now);
    next = MIN(next, due);
    let_go(g, now);
    fill_seats(g, n_more, now);
    note_strength(g);
    due = next_due(g, now);
    return MIN(next, due);
}

void generation_drain(Generation *g, unsigned seat, usec_t now)
{
    atomic_store(&g->scoreboard->seats[seat].is_dismissed, !g->seats[seat].is_last);
    seat_on_event(&g->seats[seat], SEAT_ON_DRAIN, now);
}

void generation_drain_all(Generation *g, usec_t now)
{
    for (unsigned i = 0; i < g->n_seats; i++)
        generation_drain(g, i, now);
}

void generation_end(Generation *g, bool hands_over, usec_t now)
{
    for (unsigned i = 0; i < g->n_seats; i++) {
        atomic_store(&g->scoreboard->seats[i].is_dismissed, false);
        seat_be_last(&g->seats[i], hands_over);
    }
    generation_drain_all(g, now);
}

void generation_suspend(Generation *g, usec_t now)
{
    g->retired = true;
    for (unsigned i = 0; i < g->n_seats; i++)
        if (g->seats[i].state != SEAT_SERVING)
            generation_drain(g, i, now);
}

void generation_resume(Generation *g)
{
    g->retired = false;
}

void generation_retire(Generation *g, usec_t now)
{
    g->zygote_explained = true;
    children_dismiss_zygote(g, g->zygote == ZYGOTE_LOADING ? SIGTERM : 0, now);
    generation_suspend(g, now);
}

void generation_kill(Generation *g, usec_t now)
{
    generation_retire(g, now);
    if (g->zygote != ZYGOTE_GONE)
        (void)kill(g->zygote_pid, SIGKILL);
    for (unsigned i = 0; i < g->n_seats; i++)
        seat_on_event(&g->seats[i], SEAT_ON_KILL, now);
}

usec_t generation_quiet_at(const Generation *g)
{
    usec_t at = 0;

    for (unsigned i = 0; i < g->n_seats; i++) {
        const Seat *s = &g->seats[i];

        if (s->state == SEAT_SERVING)
            return NEVER;
        if (s->state == SEAT_DRAINING && s->served && !s->quiet &&
            at < s->dismissed_usec + GENERATION_QUIET_USEC)
            at = s->dismissed_usec + GENERATION_QUIET_USEC;
    }
    return at;
}

unsigned generation_count_busy(const Generation *g, unsigned seat)
{
    unsigned n = 0;

    for (unsigned i = 0; i < g->scoreboard->n_slots; i++)
        n += atomic_load(&scoreboard_slot(g->scoreboard, seat, i)->started_usec) > 0;
    return n;
}

GenerationCount generation_count(const Generation *g)
{
    GenerationCount c = {0};

    for (unsigned i = 0; i < g->n_seats; i++) {
        c.n_serving += g->seats[i].state == SEAT_SERVING;
        c.n_workers += g->seats[i].state != SEAT_EMPTY;
        c.n_busy += generation_count_busy(g, i);
    }
    return c;
}

bool generation_is_staffed(const Generation *g)
{
    return generation_count(g).n_serving >= g->n_wanted;
}

bool generation_is_gone(const Generation *g)
{
    return g->zygote == ZYGOTE_GONE && generation_count(g).n_workers == 0;
}

static void leave_list(const Generation *g)
{
    Generation **at = g->list;

    while (*at != g)
        at = &(*at)->next;
    *at = g->next;
}

Generation *generation_free(Generation *g)
{
    if (g->list)
        leave_list(g);
    for (unsigned i = 0; i < g->n_seats; i++)
        seat_deinit(&g->seats[i]);
    sd_event_source_disable_unref(g->source);
    closep(&g->channel);
    scoreboard_freep(&g->scoreboard);
    config_freep(&g->config);
    sd_event_unref(g->event);
    free(g->seats);
    free(g->failure);
    free(g);
    return NULL;
}

bool generation_on_change(Generation *g, const siginfo_t *change, usec_t now)
{
    return children_on_change(g, change, now);
}

static int allocate(sd_event *event, unsigned number, Config *config, Generation **ret)
{
    ConfigStaff staff = config_staff(config);
    Generation *g = calloc(1, sizeof(*g));

    if (!g) {
        config_free(config);
        return -ENOMEM;
    }
    g->event = sd_event_ref(event);
    g->config = config;
    g->number = number;
    g->channel = -EBADF;
    g->started_usec = clock_now_usec();
    g->deadline_usec = g->started_usec + config->timeouts_load;
    g->scan_usec = NEVER;
    *ret = g;
    elastic_init(g);
    g->seats = calloc(staff.n_seats, sizeof(*g->seats));
    if (!g->seats)
        return -ENOMEM;
    g->n_seats = staff.n_seats;
    for (unsigned i = 0; i < g->n_seats; i++)
        seat_init(&g->seats[i], i, g, config->timeouts_load, config->reload_check_timeout,
                  config->timeouts_graceful);
    return scoreboard_new(g->n_seats, config_staff(config).n_slots, &g->scoreboard);
}

int generation_new(sd_event *event, const char *site, unsigned number, Config *config, const Sockets *sockets,
                   int totals_fd, Generation **list, char **ret_error)
{
    _cleanup_(generation_freep) Generation *g = NULL;
    _cleanup_(worker_program_clear) WorkerProgram program = {0};
    int r = allocate(event, number, config, &g);

    if (r < 0)
        return r;
    g->sockets = sockets;
    r = worker_program_find(config, &program, ret_error);
    if (r != 0)
        return r;
    r = children_start_zygote(g, site, &program, sockets, totals_fd);
    if (r < 0)
        return r;
    g->list = list;
    g->next = *list;
    *list = TAKE_PTR(g);
    return 0;
}
