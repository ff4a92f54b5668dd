/* SPDX-License-Identifier: MIT */
/* Lists of deadlines. */
#include "worker/timeouts.h"

#include <stddef.h>

void timeout_list_init(TimeoutList *l, usec_t span_usec)
{
    l->anchor.previous = l->anchor.next = &l->anchor;
    l->span_usec = span_usec;
}

void timeout_disarm(Timeout *t)
{
    if (!timeout_is_armed(t))
        return;
    t->previous->next = t->next;
    t->next->previous = t->previous;
    t->previous = t->next = NULL;
}

static void timeout_insert(Timeout *t, Timeout *next, usec_t deadline)
{
    t->deadline = deadline;
    t->previous = next->previous;
    t->next = next;
    t->previous->next = t;
    next->previous = t;
}

void timeout_arm(TimeoutList *l, Timeout *t, usec_t now)
{
    timeout_disarm(t);
    timeout_insert(t, &l->anchor, now + l->span_usec);
}

void timeout_arm_at(TimeoutList *l, Timeout *t, usec_t deadline)
{
    Timeout *next = &l->anchor;

    timeout_disarm(t);
    while (next->previous != &l->anchor && next->previous->deadline > deadline)
        next = next->previous;
    timeout_insert(t, next, deadline);
}

Timeout *timeout_list_first(const TimeoutList *l)
{
    return l->anchor.next == &l->anchor ? NULL : l->anchor.next;
}
