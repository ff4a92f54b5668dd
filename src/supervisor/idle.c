/* SPDX-License-Identifier: MIT */
/* Since when a site has nothing to do. */
#include "supervisor/idle.h"

/* A time in the future is a lie of whoever wrote it. */
static usec_t seat_idle_since(const Scoreboard *b, unsigned seat, usec_t now)
{
    const ScoreboardSeat *s = &b->seats[seat];

    if (atomic_load(&s->exchanges) > 0) /* before active_usec, which is written before it */
        return now;
    for (unsigned i = 0; i < b->n_slots; i++)
        if (atomic_load(&scoreboard_slot(b, seat, i)->started_usec) > 0)
            return now;
    return MIN(atomic_load(&s->active_usec), now);
}

usec_t idle_since(const Succession *s, usec_t now)
{
    usec_t since = 0;

    for (const Generation *g = s->generations; g; g = g->next)
        for (unsigned seat = 0; seat < g->scoreboard->n_seats; seat++) {
            usec_t last = seat_idle_since(g->scoreboard, seat, now);

            since = MAX(last, since);
        }
    return since;
}
