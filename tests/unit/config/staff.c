/* SPDX-License-Identifier: MIT */
/* How many workers the keys mean together. */
#include "config/staff.h"

#include "tap.h"

static void test_staff(void)
{
    static const struct {
        unsigned count, min, max;
        ConfigStaff expected; /* with a surge of 2 */
    } cases[] = {
        {3, 0, 0, {3, 3, 3, 5}},  {3, 1, 0, {1, 3, 3, 5}},  {3, 0, 8, {3, 8, 3, 10}},
        {3, 1, 8, {1, 8, 3, 10}}, {2, 4, 8, {4, 8, 4, 10}}, {2, 4, 0, {4, 4, 4, 6}},
        {9, 0, 4, {4, 4, 4, 6}},  {9, 2, 4, {2, 4, 4, 6}},  {1, 1, 1, {1, 1, 1, 3}},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const Config c = {
            .workers_count = cases[i].count,
            .workers_min = cases[i].min,
            .workers_max = cases[i].max,
            .reload_surge = 2,
        };
        ConfigStaff s = config_staff(&c);

        is_int(s.n_min, cases[i].expected.n_min);
        is_int(s.n_max, cases[i].expected.n_max);
        is_int(s.n_start, cases[i].expected.n_start);
        is_int(s.n_seats, cases[i].expected.n_seats);
    }
}

static void test_contradiction(void)
{
    Config *c = NULL;
    char *error = NULL;

    is_int(config_parse("[app]\nmodule = a:b\n[workers]\nmin = 4\nmax = 2\n", 44, "f", NULL, &c, &error),
           CONFIG_E_INVALID);
    is_string(error, "f: workers.min: 4 is more than workers.max, which is 2");
    free(error);
}

int main(void)
{
    test_staff();
    test_contradiction();
    return tap_done();
}
