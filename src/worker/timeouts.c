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

void timeout_arm(TimeoutList *l, Timeout *t, usec_t now)
{
    timeout_disarm(t);
    t->deadline = now + l->span_usec;
    t->previous = l->anchor.previous;
    t->next = &l->anchor;
    t->previous->next = t;
    l->anchor.previous = t;
}

Timeout *timeout_list_first(const TimeoutList *l)
{
    return l->anchor.next == &l->anchor ? NULL : l->anchor.next;
}
