/* SPDX-License-Identifier: MIT */
/* When a site is given up, and systemd asked to start it anew: by made-up times, without any process. */
#include "supervisor/succession.h"

#include "manager.h"
#include "tap.h"

#include <string.h>

#define NEVER UINT64_MAX
#define LOAD (60 * USEC_PER_SEC)
#define START (1000 * USEC_PER_SEC)
#define HOPELESS (300 * USEC_PER_SEC + 2 * LOAD)

typedef struct Site {
    Config config;
    Seat seats[2]; /* of the current generation, of a retired one */
    Generation current, retired;
    Notifier notifier;
    Succession succession;
} Site;

static Generation generation_of(Site *s, Seat *seat)
{
    Generation g = {.config = &s->config,
                    .zygote = ZYGOTE_GONE,
                    .retired = seat != &s->seats[0],
                    .channel = -EBADF,
                    .seats = seat,
                    .n_seats = 1,
                    .n_wanted = 1};

    assert(scoreboard_new(1, 1, &g.scoreboard) == 0);
    seat_init(seat, 0, NULL, LOAD, 0, 0);
    return g;
}

/* A site that has started, and will not load anything by itself. */
static void begin(Site *s)
{
    int fd;

    *s = (Site){.config.timeouts_load = LOAD};
    s->current = generation_of(s, &s->seats[0]);
    s->retired = generation_of(s, &s->seats[1]);
    s->current.next = &s->retired;
    s->seats[1].state = SEAT_SERVING;
    notify_open(&s->notifier);
    s->succession = (Succession){.generations = &s->current,
                                 .current = &s->current,
                                 .started = true,
                                 .regenerate_usec = NEVER,
                                 .notifier = &s->notifier};
    assert(totals_new(&s->succession.totals, &fd) == 0);
    close(fd);
}

static void end(Site *s)
{
    notify_close(&s->notifier);
    totals_free(s->succession.totals);
    scoreboard_free(s->current.scoreboard);
    scoreboard_free(s->retired.scoreboard);
}

static bool is_given_up(Site *s, usec_t now)
{
    usec_t next = succession_advance(&s->succession, now);
    bool was = false;

    ok(next > now);
    while (*manager_receive())
        was |= strncmp(manager_said, "WATCHDOG=trigger\n", 17) == 0;
    return was;
}

static void test_served(void)
{
    Site s;

    begin(&s);
    ok(!is_given_up(&s, START));
    ok(!is_given_up(&s, START + 2 * HOPELESS), "by the generation before alone");
    s.seats[0].state = SEAT_SERVING;
    ok(!is_given_up(&s, START + 4 * HOPELESS));
    end(&s);
}

static void test_unserved(void)
{
    Site s;

    begin(&s);
    s.seats[1].state = SEAT_DRAINING;
    ok(!is_given_up(&s, START));
    is_int(succession_advance(&s.succession, START), START + HOPELESS);
    ok(!is_given_up(&s, START + HOPELESS - 1));
    ok(is_given_up(&s, START + HOPELESS));
    ok(!is_given_up(&s, START + 2 * HOPELESS - 1), "systemd is given time");
    ok(is_given_up(&s, START + 2 * HOPELESS), "and asked again");
    s.seats[0].state = SEAT_SERVING;
    ok(!is_given_up(&s, START + 5 * HOPELESS));
    s.seats[0].state = SEAT_ABORTING;
    ok(!is_given_up(&s, START + 6 * HOPELESS), "the time begins anew");
    ok(is_given_up(&s, START + 7 * HOPELESS));
    end(&s);
}

static void test_others(void)
{
    Site s;

    begin(&s);
    s.seats[1].state = SEAT_DRAINING;
    s.succession.started = false;
    ok(!is_given_up(&s, START));
    ok(!is_given_up(&s, START + HOPELESS), "a start has its own end");
    s.succession.started = true;
    ok(!is_given_up(&s, START + 2 * HOPELESS));
    s.succession.stopping = true;
    ok(!is_given_up(&s, START + 3 * HOPELESS), "and so has a stop");
    end(&s);
}

int main(void)
{
    manager_begin();
    test_served();
    test_unserved();
    test_others();
    return tap_done();
}
