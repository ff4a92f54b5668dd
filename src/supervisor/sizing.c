/* SPDX-License-Identifier: MIT */
/* How many workers an elastic site should have. */
#include "supervisor/sizing.h"

#include "base/cleanup.h"

bool sizing_is_saturated(const Sizing *z, const SizingSample *s)
{
    return s->n_serving > 0 && s->n_busy / z->n_threads >= s->n_serving;
}

void sizing_settle(Sizing *z, usec_t now)
{
    z->settled_usec = z->needed_usec = now;
    z->queued_usec = 0;
}

/* Since when somebody has waited for a thread although all workers are there; UINT64_MAX: nobody does. A request that
 * waits while a sibling is idle waits for its own worker: more of them do not help it. */
static usec_t starved_since(Sizing *z, const SizingSample *s, usec_t now)
{
    usec_t since = UINT64_MAX;

    if (!sizing_is_saturated(z, s)) {
        z->queued_usec = 0;
        return UINT64_MAX;
    }
    if (!s->is_queued)
        z->queued_usec = 0;
    else if (z->queued_usec == 0)
        z->queued_usec = now;
    if (z->queued_usec > 0)
        since = z->queued_usec;
    if (s->waiting_usec > 0)
        since = MIN(since, s->waiting_usec);
    return since < z->settled_usec ? z->settled_usec : since;
}

static bool needs_all(const Sizing *z, const SizingSample *s)
{
    return s->n_wanted <= z->n_min || s->n_busy > (s->n_wanted - 1) * z->n_threads;
}

unsigned sizing_advance(Sizing *z, const SizingSample *s, usec_t now)
{
    usec_t since;

    if (s->n_serving < s->n_wanted) {
        sizing_settle(z, now);
        return s->n_wanted;
    }
    since = starved_since(z, s, now);
    if (needs_all(z, s))
        z->needed_usec = now;
    if (s->n_wanted < z->n_max && since < now && now - since >= z->grow_after_usec) {
        sizing_settle(z, now);
        return s->n_wanted + 1;
    }
    if (now - z->needed_usec >= z->shrink_after_usec) {
        z->needed_usec = now;
        return s->n_wanted - 1;
    }
    return s->n_wanted;
}
