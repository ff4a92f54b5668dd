/* SPDX-License-Identifier: MIT */
/* How many workers an elastic site should have, in a time of our own. */
#include "supervisor/sizing.h"

#include "tap.h"

#define MSEC USEC_PER_MSEC

static Sizing new_sizing(void)
{
    Sizing z = {
        .n_min = 2,
        .n_max = 4,
        .n_threads = 2,
        .grow_after_usec = 200 * MSEC,
        .shrink_after_usec = 1000 * MSEC,
    };

    sizing_settle(&z, 10000 * MSEC);
    return z;
}

/* All serve, at a time after the start. */
static unsigned at(Sizing *z, unsigned msec, SizingSample s)
{
    if (s.n_serving == 0)
        s.n_serving = s.n_wanted;
    if (s.waiting_usec > 0)
        s.waiting_usec += 10000 * MSEC;
    return sizing_advance(z, &s, (10000 + msec) * MSEC);
}

static void test_grows_when_requests_wait(void)
{
    Sizing z = new_sizing();

    is_int(at(&z, 100, (SizingSample){.n_wanted = 2, .n_busy = 4, .waiting_usec = 50 * MSEC}), 2);
    is_int(at(&z, 249, (SizingSample){.n_wanted = 2, .n_busy = 4, .waiting_usec = 50 * MSEC}), 2);
    is_int(at(&z, 300, (SizingSample){.n_wanted = 2, .n_busy = 4, .waiting_usec = 150 * MSEC}), 2);
    is_int(at(&z, 350, (SizingSample){.n_wanted = 2, .n_busy = 3, .waiting_usec = 150 * MSEC}), 2);
    is_int(at(&z, 350, (SizingSample){.n_wanted = 2, .n_busy = 4, .waiting_usec = 150 * MSEC}), 3);
    ok(at(&z, 400, (SizingSample){.n_wanted = 3, .n_serving = 2, .n_busy = 4, .waiting_usec = 150 * MSEC}) ==
           3,
       "nobody else while one is to come");
    ok(at(&z, 900, (SizingSample){.n_wanted = 3, .n_serving = 2, .n_busy = 4, .waiting_usec = 150 * MSEC}) ==
           3,
       "however long that takes");
    ok(at(&z, 1000, (SizingSample){.n_wanted = 3, .n_busy = 6, .waiting_usec = 150 * MSEC}) == 3,
       "what has waited for it goes first");
    is_int(at(&z, 1100, (SizingSample){.n_wanted = 3, .n_busy = 6, .waiting_usec = 150 * MSEC}), 4);
    is_int(at(&z, 9000, (SizingSample){.n_wanted = 4, .n_busy = 8, .waiting_usec = 150 * MSEC}), 4);
}

static void test_grows_when_connections_wait(void)
{
    Sizing z = new_sizing();

    is_int(at(&z, 100, (SizingSample){.n_wanted = 2, .n_busy = 4, .is_queued = true}), 2);
    is_int(at(&z, 200, (SizingSample){.n_wanted = 2, .n_busy = 4}), 2);
    is_int(at(&z, 300, (SizingSample){.n_wanted = 2, .n_busy = 4, .is_queued = true}), 2);
    is_int(at(&z, 499, (SizingSample){.n_wanted = 2, .n_busy = 4, .is_queued = true}), 2);
    is_int(at(&z, 500, (SizingSample){.n_wanted = 2, .n_busy = 4, .is_queued = true}), 3);
}

static void test_shrinks_after_quiet(void)
{
    Sizing z = new_sizing();

    is_int(at(&z, 100, (SizingSample){.n_wanted = 4, .n_busy = 7}), 4);
    is_int(at(&z, 1099, (SizingSample){.n_wanted = 4, .n_busy = 6}), 4);
    is_int(at(&z, 1100, (SizingSample){.n_wanted = 4, .n_busy = 6}), 3);
    is_int(at(&z, 1200, (SizingSample){.n_wanted = 3}), 3);
    is_int(at(&z, 2099, (SizingSample){.n_wanted = 3}), 3);
    is_int(at(&z, 2100, (SizingSample){.n_wanted = 3}), 2);
    ok(at(&z, 9000, (SizingSample){.n_wanted = 2}) == 2, "never below the least");
    ok(at(&z, 10000, (SizingSample){.n_wanted = 1}) == 1, "but by hand");
}

/* An application can write to the scoreboard. */
static void test_nonsense(void)
{
    Sizing z = new_sizing();

    is_int(at(&z, 100, (SizingSample){.n_wanted = 2, .n_busy = UINT32_MAX, .waiting_usec = UINT64_MAX / 2}),
           2);
    is_int(at(&z, 300, (SizingSample){.n_wanted = 2, .n_busy = UINT32_MAX, .waiting_usec = 1}), 3);
    is_int(at(&z, 9000, (SizingSample){.n_wanted = 4, .n_busy = UINT32_MAX, .waiting_usec = 1}), 4);
}

int main(void)
{
    test_grows_when_requests_wait();
    test_grows_when_connections_wait();
    test_shrinks_after_quiet();
    test_nonsense();
    return tap_done();
}
