/* SPDX-License-Identifier: MIT */
/* The connections of a site, spread over its workers. */
#include "worker/balance.h"

#define AHEAD_MIN 2 /* connections */
#define LEAVE_USEC 200
#define VAIN_MAX 3
#define PATIENCE_USEC (100 * USEC_PER_MSEC)

static size_t balance_look(const Balance *b)
{
    return atomic_load_explicit(&b->seats[b->next].connections, memory_order_relaxed);
}

/* Of one sibling, the next one each time: to look at all would be a cache miss each, for every connection. */
static bool balance_is_ahead(Balance *b, size_t n_connections)
{
    if (b->n_seats < 2 || n_connections < AHEAD_MIN)
        return false;
    b->next = (b->next + 1) % b->n_seats;
    if (b->next == b->own)
        b->next = (b->next + 1) % b->n_seats;
    b->n_of_next = balance_look(b);
    return atomic_load_explicit(&b->seats[b->next].accepts, memory_order_relaxed) &&
           n_connections >= b->n_of_next + b->n_of_next / 4 + AHEAD_MIN;
}

/* Back from leaving them, there is one: has the sibling taken none? */
static void balance_take(Balance *b, usec_t now)
{
    b->has_left = false;
    b->n_vain = balance_look(b) == b->n_of_next ? b->n_vain + 1 : 0;
    if (b->n_vain < VAIN_MAX)
        return;
    b->n_vain = 0;
    b->accepts_until_usec = now + PATIENCE_USEC;
}

bool balance_leaves(Balance *b, size_t n_connections, usec_t now)
{
    if (now < b->leaves_until_usec)
        return true;
    if (b->has_left) {
        balance_take(b, now);
        return false;
    }
    if (now < b->accepts_until_usec || !balance_is_ahead(b, n_connections))
        return false;
    b->has_left = true;
    b->leaves_until_usec = now + LEAVE_USEC;
    return true;
}
