/* SPDX-License-Identifier: MIT */
/* Tests of worker/requests: how long the application is taken to need. */
#include "worker/requests.h"

#include "tap.h"

#include <stdlib.h>

#define FAST 50 /* µs */
#define SLOW USEC_PER_MSEC

static void learn(Loop *l, usec_t usec, int n)
{
    for (int i = 0; i < n; i++)
        requests_learn(l, usec);
}

/* One that is slow says nothing of the next. */
static void test_one(Loop *l)
{
    learn(l, FAST, 100);
    ok(l->usual_usec <= FAST);
    learn(l, 3600 * USEC_PER_SEC, 1);
    ok(l->usual_usec < SLOW);
    learn(l, FAST, 7);
    learn(l, 3600 * USEC_PER_SEC, 1);
    ok(l->usual_usec < SLOW, "one of eight");
}

static void test_many(Loop *l)
{
    learn(l, FAST, 100);
    learn(l, USEC_PER_SEC, 3);
    ok(l->usual_usec >= SLOW, "three in a row");
    learn(l, FAST, 4);
    ok(l->usual_usec < SLOW);
    learn(l, USEC_PER_SEC, 1000);
    ok(l->usual_usec >= SLOW);
    learn(l, FAST, 12);
    ok(l->usual_usec < SLOW);
    learn(l, 2 * SLOW, 100);
    ok(l->usual_usec >= SLOW);
}

int main(void)
{
    Loop *l = calloc(1, sizeof *l);

    if (!l)
        return 99;
    test_one(l);
    test_many(l);
    free(l);
    return tap_done();
}
