/* SPDX-License-Identifier: MIT */
/* The size of a generation. */
#include "supervisor/elastic.h"

#include "base/log.h"
#include "config/staff.h"

#define NEVER UINT64_MAX
#define SAMPLE_EVERY_USEC USEC_PER_SEC

void elastic_init(Generation *g)
{
    ConfigStaff staff = config_staff(g->config);

    g->n_wanted = staff.n_start;
    g->sizing = (Sizing){
        .n_min = staff.n_min,
        .n_max = staff.n_max,
        .n_threads = staff.n_slots,
        .grow_after_usec = g->config->workers_grow_after,
        .shrink_after_usec = g->config->workers_shrink_after,
    };
    sizing_settle(&g->sizing, g->started_usec);
}

static void set_size(Generation *g, unsigned n, const char *why, usec_t now)
{
    if (n == g->n_wanted)
        return;
    log_info("%u workers from now on, and not %u: %s", n, g->n_wanted, why);
    g->n_wanted = n;
    sizing_settle(&g->sizing, now);
}

/* What the workers tell of themselves is believed as far as it can be true. */
static void look_at_seat(const Generation *g, const Seat *s, SizingSample *sample, usec_t now)
{
    usec_t waiting = atomic_load(&g->scoreboard->seats[s->number].waiting_usec);

    if (s->state != SEAT_SERVING)
        return;
    sample->n_serving++;
    sample->n_busy += atomic_load(&g->scoreboard->seats[s->number].is_blocked)
                          ? g->scoreboard->n_slots
                          : generation_count_busy(g, s->number);
    if (waiting > 0 && waiting <= now)
        sample->waiting_usec = sample->waiting_usec > 0 ? MIN(sample->waiting_usec, waiting) : waiting;
}

usec_t elastic_advance(Generation *g, usec_t now)
{
    SizingSample sample = {.n_wanted = g->n_wanted};
    bool is_saturated;
    unsigned n;

    if (g->retired || g->sizing.n_min == g->sizing.n_max)
        return NEVER;
    if (now < g->sample_usec)
        return g->sample_usec;
    for (unsigned i = 0; i < g->n_seats; i++)
        look_at_seat(g, &g->seats[i], &sample, now);
    is_saturated = sizing_is_saturated(&g->sizing, &sample);
    sample.is_queued = is_saturated && sockets_are_waited_for(g->sockets);
    n = sizing_advance(&g->sizing, &sample, now);
    set_size(g, n,
             n > g->n_wanted ? "requests have waited for workers.grow_after"
                             : "one has not been needed for a while",
             now);
    g->sample_usec =
        now + (is_saturated ? MIN(g->sizing.grow_after_usec / 2, SAMPLE_EVERY_USEC) : SAMPLE_EVERY_USEC);
    return g->sample_usec;
}

void generation_resize(Generation *g, int by, usec_t now)
{
    unsigned n = g->n_wanted;

    if (by > 0)
        n = MIN(n + (unsigned)by, g->sizing.n_max);
    else if (by < 0)
        n -= MIN((unsigned)-by, n - 1);
    if (n == g->n_wanted)
        log_info("%u workers, as before: %s", n, by > 0 ? "workers.max allows no more" : "there is only one");
    set_size(g, n, by > 0 ? "SIGTTIN" : "SIGTTOU", now);
}

void generation_relieve(Generation *g, usec_t now)
{
    if (g->n_wanted > g->sizing.n_min)
        set_size(g, g->sizing.n_min, "memory is short", now);
    for (unsigned i = 0; i < g->n_seats; i++)
        seat_trim(&g->seats[i]);
}

void generation_succeed(Generation *g, const Generation *before, usec_t now)
{
    if (g->sizing.n_min == g->sizing.n_max)
        return;
    g->n_wanted = MAX(g->sizing.n_min, MIN(before->n_wanted, g->sizing.n_max));
    sizing_settle(&g->sizing, now);
}
