/* SPDX-License-Identifier: MIT */
/* Whom a generation needs. */
#include "supervisor/staffing.h"

#include "base/cleanup.h"

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

usec_t staffing_lifetime(usec_t lifetime_usec, uint32_t random)
{
    return lifetime_usec - (usec_t)((double)lifetime_usec / 10 * random / UINT32_MAX);
}
