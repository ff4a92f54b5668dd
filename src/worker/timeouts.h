/* SPDX-License-Identifier: MIT */
/* Deadlines of the connections. All timers of one kind last equally long, so each kind is a list that is in
 * order by itself: arming, disarming and finding the next one are O(1), and none needs a system call. */
#pragma once

#include "base/parse.h"

#include <stdbool.h>

/* A node; zero-initialised: not armed. */
typedef struct Timeout {
    struct Timeout *previous;
    struct Timeout *next;
    usec_t deadline;
} Timeout;

typedef struct TimeoutList {
    Timeout anchor;
    usec_t span_usec;
} TimeoutList;

void timeout_list_init(TimeoutList *l, usec_t span_usec);

/* (Re)starts t: it is due span_usec after now. It may be armed, in any list. */
void timeout_arm(TimeoutList *l, Timeout *t, usec_t now);
void timeout_disarm(Timeout *t);

/* (Re)starts t, due at that time: O(n), for what is rare. */
void timeout_arm_at(TimeoutList *l, Timeout *t, usec_t deadline);

static inline bool timeout_is_armed(const Timeout *t)
{
    return t->next;
}

/* The first one of the list, due or not; NULL: the list is empty. */
Timeout *timeout_list_first(const TimeoutList *l);
