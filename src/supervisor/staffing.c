/* SPDX-License-Identifier: MIT */
/* Whom a generation needs. */
#include "supervisor/staffing.h"

#include "base/cleanup.h"

#define FAILURE_COSTS_USEC (500 * USEC_PER_MSEC)
#define FAILURES_FREE 8
#define HOPE_USEC (300 * USEC_PER_SEC)

/* Replacing, growing and shrinking are one: so many are wanted, and one for each that is to be replaced, as far as the
 * surge allows. One that goes takes part of it until it is gone, so that slow leave-takings do not add up. */
unsigned staffing_missing(const StaffingCount *c)
{
    unsigned surge = c->n_surge - MIN(c->n_surge, c->n_going);
    unsigned target = c->n_wanted + MIN(c->n_leaving, surge);
    unsigned present = c->n_staying + c->n_leaving + c->n_coming;

    return target - MIN(target, present);
}

unsigned staffing_surplus(const StaffingCount *c)
{
    unsigned serving = c->n_staying + c->n_leaving;

    return serving - MIN(serving, c->n_wanted);
}

void staffing_owe(StaffingDebt *d, usec_t now)
{
    d->paid_usec = (d->paid_usec > now ? d->paid_usec : now) + FAILURE_COSTS_USEC;
}

usec_t staffing_allows_at(const StaffingDebt *d, unsigned n_wanted)
{
    usec_t credit = (2 * (usec_t)n_wanted + FAILURES_FREE) * FAILURE_COSTS_USEC;

    return d->paid_usec - MIN(d->paid_usec, credit);
}

usec_t staffing_hopeless_at(usec_t unserved_usec, usec_t load_usec)
{
    return unserved_usec + HOPE_USEC + 2 * load_usec;
}

usec_t staffing_lifetime(usec_t lifetime_usec, uint32_t random)
{
    return lifetime_usec - (usec_t)((double)lifetime_usec / 10 * random / UINT32_MAX);
}
