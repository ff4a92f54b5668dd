/* SPDX-License-Identifier: MIT */
/* Tests of worker/timeouts. */
#include "worker/timeouts.h"

#include "tap.h"

int main(void)
{
    TimeoutList a, b;
    Timeout t[3] = {0};

    timeout_list_init(&a, 100);
    timeout_list_init(&b, 5);
    ok(!timeout_list_first(&a), "an empty list has no first");
    ok(!timeout_is_armed(&t[0]));

    timeout_arm(&a, &t[0], 1);
    timeout_arm(&a, &t[1], 2);
    timeout_arm(&a, &t[2], 3);
    ok(timeout_list_first(&a) == &t[0]);
    is_int(t[0].deadline, 101);

    timeout_arm(&a, &t[0], 4);
    ok(timeout_list_first(&a) == &t[1], "arming again goes to the end");
    timeout_disarm(&t[1]);
    ok(timeout_list_first(&a) == &t[2] && !timeout_is_armed(&t[1]));
    timeout_disarm(&t[1]);

    timeout_arm(&b, &t[2], 10);
    ok(timeout_list_first(&a) == &t[0] && timeout_list_first(&b) == &t[2], "from one list to another");
    is_int(t[2].deadline, 15);
    timeout_disarm(&t[2]);
    timeout_disarm(&t[0]);
    ok(!timeout_list_first(&a) && !timeout_list_first(&b));

    timeout_arm(&a, &t[0], 1);
    timeout_arm_at(&a, &t[1], 99);
    timeout_arm_at(&a, &t[2], 100);
    ok(timeout_list_first(&a) == &t[1] && t[1].next == &t[2] && t[2].next == &t[0], "each at its place");
    timeout_arm_at(&a, &t[1], 101);
    ok(timeout_list_first(&a) == &t[2] && t[0].next == &t[1], "behind what is due at the same time");
    return tap_done();
}
