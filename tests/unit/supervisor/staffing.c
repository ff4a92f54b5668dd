/* SPDX-License-Identifier: MIT */
/* Whom a generation needs. */
#include "supervisor/staffing.h"

#include "tap.h"

static void test_balance(void)
{
    static const struct {
        const char *what;
        StaffingCount count;
        unsigned missing, surplus;
    } cases[] = {
        {"nobody", {.n_wanted = 3, .n_surge = 1}, 3, 0},
        {"one short", {.n_wanted = 3, .n_surge = 1, .n_staying = 1, .n_coming = 1}, 1, 0},
        {"complete", {.n_wanted = 3, .n_surge = 1, .n_staying = 3}, 0, 0},
        {"who goes is no loss", {.n_wanted = 3, .n_surge = 1, .n_staying = 3, .n_going = 2}, 0, 0},
        {"all leave", {.n_wanted = 3, .n_surge = 1, .n_leaving = 3}, 1, 0},
        {"the next one comes", {.n_wanted = 3, .n_surge = 1, .n_leaving = 3, .n_coming = 1}, 0, 0},
        {"it is there", {.n_wanted = 3, .n_surge = 1, .n_staying = 1, .n_leaving = 3}, 0, 1},
        {"one at a time", {.n_wanted = 3, .n_surge = 1, .n_staying = 1, .n_leaving = 2, .n_going = 1}, 0, 0},
        {"two at a time", {.n_wanted = 3, .n_surge = 2, .n_staying = 1, .n_leaving = 2, .n_going = 1}, 1, 0},
        {"one dies then", {.n_wanted = 3, .n_surge = 1, .n_leaving = 2, .n_going = 1}, 1, 0},
        {"grown", {.n_wanted = 5, .n_surge = 1, .n_staying = 3}, 2, 0},
        {"grown while one leaves", {.n_wanted = 4, .n_surge = 1, .n_staying = 2, .n_leaving = 1}, 2, 0},
        {"shrunk", {.n_wanted = 1, .n_surge = 1, .n_staying = 3}, 0, 2},
        {"shrunk while one leaves", {.n_wanted = 1, .n_surge = 1, .n_staying = 2, .n_leaving = 1}, 0, 2},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        ok(staffing_missing(&cases[i].count) == cases[i].missing, "missing: %s", cases[i].what);
        ok(staffing_surplus(&cases[i].count) == cases[i].surplus, "surplus: %s", cases[i].what);
    }
}

static void test_lifetime(void)
{
    is_int(staffing_lifetime(1000, 0), 1000);
    is_int(staffing_lifetime(1000, UINT32_MAX), 900);
    is_int(staffing_lifetime(1000, UINT32_MAX / 2), 951);
    is_int(staffing_lifetime(0, 12345), 0);
}

static void test_debt(void)
{
    StaffingDebt d = {0};
    usec_t now = 1000 * USEC_PER_SEC;

    ok(staffing_allows_at(&d, 2) <= now);
    for (unsigned i = 0; i < 12; i++) {
        ok(staffing_allows_at(&d, 2) <= now, "free %u", i);
        staffing_owe(&d, now);
    }
    is_int(staffing_allows_at(&d, 2), now);
    staffing_owe(&d, now);
    is_int(staffing_allows_at(&d, 2), now + 500 * USEC_PER_MSEC);
    now += 100 * USEC_PER_SEC;
    ok(staffing_allows_at(&d, 2) <= now, "paid with the time");
    staffing_owe(&d, now);
    is_int(d.paid_usec, now + 500 * USEC_PER_MSEC);
    for (unsigned i = 1; i < 64 + 64 + 8; i++)
        staffing_owe(&d, now);
    is_int(staffing_allows_at(&d, 64), now);
}

static void test_hope(void)
{
    is_int(staffing_hopeless_at(1000, 60 * USEC_PER_SEC), 1000 + 420 * USEC_PER_SEC);
}

int main(void)
{
    test_debt();
    test_hope();
    test_lifetime();
    test_balance();
    return tap_done();
}
