/* SPDX-License-Identifier: MIT */
/* How many workers the keys mean together. */
#include "config/staff.h"

#include "tap.h"

static void test_staff(void)
{
    static const struct {
        unsigned count, min, max;
        unsigned expected[4]; /* with a surge of 2 */
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
            .workers_class = (char *)"threads",
            .reload_surge = 2,
        };
        ConfigStaff s = config_staff(&c);

        is_int(s.n_min, cases[i].expected[0]);
        is_int(s.n_max, cases[i].expected[1]);
        is_int(s.n_start, cases[i].expected[2]);
        is_int(s.n_seats, cases[i].expected[3]);
    }
}

/* What is said of the section [workers]. */
static void refuse(const char *workers, const char *expected)
{
    Config *c = NULL;
    char *error = NULL, text[256];
    int n = snprintf(text, sizeof(text), "[app]\nmodule = a:b\n[workers]\n%s", workers);

    is_int(config_parse(text, (size_t)n, "f", NULL, &c, &error), CONFIG_E_INVALID);
    is_string(error, expected);
    free(error);
}

static void test_contradictions(void)
{
    refuse("min = 4\nmax = 2\n", "f: workers.min: 4 is more than workers.max, which is 2");
    refuse("class = gevent\nthreads = 2\n", "f: workers.threads: 2 with workers.class = gevent, where "
                                            "greenlets run in one thread; remove it, and set "
                                            "workers.connections");
    refuse("class = gthread\n",
           "f:4: workers.class: \"gthread\" is no class of workers; write threads (gunicorn's sync "
           "and gthread) or gevent");
}

static void test_slots(void)
{
    Config c = {.workers_class = (char *)"threads", .workers_threads = 16, .workers_connections = 500};

    is_int(config_staff(&c).n_slots, 16);
    ok(!config_staff(&c).is_gevent);
    c.workers_class = (char *)"gevent";
    is_int(config_staff(&c).n_slots, 500);
    ok(config_staff(&c).is_gevent);
}

int main(void)
{
    test_staff();
    test_contradictions();
    test_slots();
    return tap_done();
}
