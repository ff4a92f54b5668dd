/* SPDX-License-Identifier: MIT */
/* How the workers of one generation take the place of those of another, and how they are taken back. */
#include "supervisor/takeover.h"

#include "base/log.h"

#define NEVER UINT64_MAX

/* --- who is what --- */

void takeover_retire(Generation **g, bool drain, usec_t now)
{
    if (!*g)
        return;
    generation_retire(*g, now);
    if (drain)
        generation_drain_all(*g, now);
    *g = NULL;
}

void takeover_end_watch(Succession *s, usec_t now)
{
    s->watch_end_usec = 0;
    if (s->fallback)
        generation_retire(s->fallback, now);
    s->fallback = NULL;
}

/* Whoever takes over is watched; with the zygote of the one before there is something to go back to. Without preload
 * that zygote would import what is on disk now. */
void takeover_begin(Succession *s, usec_t now)
{
    const Config *c = s->candidate->config;
    bool is_watched = s->current && c->reload_watch > 0 && c->reload_rollback_deaths > 0;

    if (s->current) /* whose size may be another than when the candidate began */
        generation_succeed(s->candidate, s->current, now);
    takeover_end_watch(s, now);
    s->watch_end_usec = is_watched ? NEVER : 0;
    if (is_watched && s->current->config->workers_preload && s->current->zygote == ZYGOTE_READY) {
        generation_suspend(s->current, now);
        s->fallback = TAKE_PTR(s->current);
    } else
        takeover_retire(&s->current, false, now);
    s->current = TAKE_PTR(s->candidate);
    s->current->proven = true;
}

void takeover_undo(Succession *s, usec_t now)
{
    generation_succeed(s->fallback, s->current, now);
    takeover_retire(&s->current, false, now);
    s->current = TAKE_PTR(s->fallback);
    s->regenerate_usec = 0; /* its zygote is there */
    generation_resume(s->current);
    log_init(s->options->site, s->current->config->log_level);
}

/* --- worker by worker --- */

static unsigned count_serving_retired(const Succession *s)
{
    unsigned n = 0;

    for (const Generation *g = s->generations; g; g = g->next)
        if (succession_has_retired(s, g))
            n += generation_count(g).n_serving;
    return n;
}

/* The one that has the least to finish, as nobody takes its place before it is gone. */
static void drain_one_retired(Succession *s, usec_t now)
{
    Generation *idlest = NULL;
    unsigned seat = 0, least = UINT32_MAX;

    for (Generation *g = s->generations; g; g = g->next)
        for (unsigned i = 0; succession_has_retired(s, g) && i < g->n_seats; i++) {
            unsigned n_busy = generation_count_busy(g, i);

            if (g->seats[i].state == SEAT_SERVING && n_busy < least) {
                idlest = g;
                seat = i;
                least = n_busy;
            }
        }
    if (idlest)
        generation_drain(idlest, seat, now);
}

/* One old worker for each new one that serves; and all that are left when all of those are there. */
bool takeover_advance(Succession *s, usec_t now)
{
    unsigned n_old = count_serving_retired(s), n_all, n_surplus;

    if (!s->current || n_old == 0)
        return false;
    n_all = n_old + generation_count(s->current).n_serving;
    n_surplus = n_all - MIN(n_all, s->current->n_wanted);
    for (unsigned i = 0; i < n_surplus; i++)
        drain_one_retired(s, now);
    return n_surplus > 0;
}

/* When only current accepts connections, so that who waits for the reload's end gets answers of the new code
 * alone. */
usec_t takeover_done_at(const Succession *s)
{
    usec_t at = generation_is_staffed(s->current) ? 0 : NEVER;

    for (const Generation *g = s->generations; g; g = g->next) {
        usec_t quiet = succession_has_retired(s, g) ? generation_quiet_at(g) : 0;

        at = MAX(at, quiet);
    }
    return at;
}

/* How many processes there may be: as many as should serve, of the generation that wants most, and the surge. */
static unsigned n_workers_max(const Succession *s)
{
    unsigned n_wanted = 0, n_surge = 0;

    for (const Generation *g = s->generations; g; g = g->next)
        n_wanted = MAX(n_wanted, g->n_wanted);
    if (s->current)
        n_surge = s->current->config->reload_surge;
    return n_wanted + n_surge;
}

static unsigned count_workers(const Succession *s)
{
    unsigned n = 0;

    for (const Generation *g = s->generations; g; g = g->next)
        n += generation_count(g).n_workers;
    return n;
}

/* Workers that the generation may ask for now: all at the start, and where nothing is replaced, as who is missing is
 * not to wait for those who go; else as far as the surge allows, and one alone before it has proven itself. */
unsigned takeover_n_more(const Succession *s, const Generation *g)
{
    unsigned max = n_workers_max(s), room = max - MIN(max, count_workers(s));

    if (!s->started)
        return UINT32_MAX;
    if (g == s->candidate)
        return generation_count(g).n_workers > 0 ? 0 : MIN(room, 1u);
    return s->candidate || s->rolling || count_serving_retired(s) > 0 ? room : UINT32_MAX;
}
