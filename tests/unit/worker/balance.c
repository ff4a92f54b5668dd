/* SPDX-License-Identifier: MIT */
/* Tests of worker/balance. */
#include "worker/balance.h"

#include "base/cleanup.h"
#include "tap.h"

#define FIRST 1000000 /* µs */

static void sit(ScoreboardSeat *seats, unsigned seat, uint32_t connections, bool accepts)
{
    seats[seat].connections = connections;
    seats[seat].accepts = accepts;
}

static void test_alone(void)
{
    ScoreboardSeat seats[3] = {0};
    Balance b = {.seats = seats, .n_seats = 1};

    ok(!balance_leaves(&b, 1000, FIRST), "one worker");
    b.n_seats = 3;
    ok(!balance_leaves(&b, 1000, FIRST), "siblings that are not there");
    sit(seats, 1, 0, false);
    sit(seats, 2, 0, false);
    ok(!balance_leaves(&b, 1000, FIRST), "siblings that accept nothing now");
}

static void test_ahead(void)
{
    static const struct {
        size_t own;
        uint32_t others;
        bool leaves;
    } cases[] = {
        {0, 0, false},       {1, 0, false},
        {2, 0, true},        {9, 8, false},
        {12, 8, true},       {1000, 1000, false},
        {1251, 1000, false}, {1252, 1000, true},
        {8, 12, false},      {1000, UINT32_MAX, false},
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        ScoreboardSeat seats[2] = {0};
        Balance b = {.seats = seats, .n_seats = 2};

        sit(seats, 1, cases[i].others, true);
        tap_report(balance_leaves(&b, cases[i].own, FIRST) == cases[i].leaves, "%zu of %u", cases[i].own,
                   cases[i].others);
    }
}

/* The siblings take their turns in being looked at, and one's own seat has none. */
static void test_looks_at_each(void)
{
    ScoreboardSeat seats[4] = {0};
    Balance b = {.seats = seats, .n_seats = 4, .own = 1, .next = 1};
    int n = 0;

    for (unsigned i = 0; i < 4; i++)
        sit(seats, i, i == 3 || i == 1 ? 0 : 10, true);
    for (int i = 0; i < 3; i++) {
        n += balance_leaves(&b, 10, FIRST);
        ok(b.next != b.own);
        b = (Balance){.seats = seats, .n_seats = 4, .own = 1, .next = b.next};
    }
    is_int(n, 1);
}

static void test_sibling_comes(void)
{
    ScoreboardSeat seats[2] = {0};
    Balance b = {.seats = seats, .n_seats = 2};
    usec_t now = FIRST;

    sit(seats, 1, 0, true);
    for (uint32_t i = 1; i < 10; i++) {
        ok(balance_leaves(&b, 20, now));
        ok(balance_leaves(&b, 20, b.leaves_until_usec - 1), "until then, all that come");
        ok(b.leaves_until_usec > now && b.leaves_until_usec < now + USEC_PER_MSEC);
        now = b.leaves_until_usec;
        sit(seats, 1, i, true);
        ok(!balance_leaves(&b, 20, now), "one that waits still");
    }
}

/* It is stopped, perhaps: nobody waits for it for long, nor again and again. */
static void test_sibling_does_not_come(void)
{
    ScoreboardSeat seats[2] = {0};
    Balance b = {.seats = seats, .n_seats = 2};
    usec_t now = FIRST;
    unsigned n = 0;

    sit(seats, 1, 0, true);
    while (balance_leaves(&b, 20, now) && n++ < 100) {
        now = b.leaves_until_usec;
        ok(!balance_leaves(&b, 20, now));
    }
    ok(n < 100 && now < FIRST + USEC_PER_MSEC, "%u times, %d µs", n, (int)(now - FIRST));
    for (int i = 0; i < 10; i++)
        ok(!balance_leaves(&b, 20, now));
    now = b.accepts_until_usec;
    ok(now > FIRST + 10 * USEC_PER_MSEC);
    ok(balance_leaves(&b, 20, now), "by now it may be there again");
}

int main(void)
{
    test_alone();
    test_ahead();
    test_looks_at_each();
    test_sibling_comes();
    test_sibling_does_not_come();
    return tap_done();
}
