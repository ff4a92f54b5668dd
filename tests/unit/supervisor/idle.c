/* SPDX-License-Identifier: MIT */
/* Since when a site is idle, by what its scoreboards say. */
#include "supervisor/idle.h"

#include "tap.h"

#include <assert.h>

static Generation generation_of(Scoreboard **b)
{
    assert(scoreboard_new(2, 2, b) == 0);
    return (Generation){.scoreboard = *b};
}

int main(void)
{
    _cleanup_(scoreboard_freep) Scoreboard *old = NULL, *new = NULL;
    Generation retired = generation_of(&old), current = generation_of(&new);
    Succession s = {.generations = &current, .current = &current};

    current.next = &retired;

    is_int(idle_since(&s, 1000), 0);
    new->seats[1].active_usec = 500;
    is_int(idle_since(&s, 1000), 500);
    old->seats[0].active_usec = 600;
    is_int(idle_since(&s, 1000), 600);
    old->seats[1].exchanges = 1;
    is_int(idle_since(&s, 1000), 1000);
    old->seats[1].exchanges = 0;
    scoreboard_slot(new, 1, 1)->started_usec = 700;
    is_int(idle_since(&s, 1000), 1000);
    scoreboard_slot(new, 1, 1)->started_usec = 0;
    is_int(idle_since(&s, 1000), 600);
    new->seats[0].active_usec = UINT64_MAX;
    is_int(idle_since(&s, 1000), 1000);
    return tap_done();
}
