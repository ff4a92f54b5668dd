/* SPDX-License-Identifier: MIT */
/* How many workers an elastic site should have: what they do, sample by sample, goes in, a number comes out.
 * Knows no process, reads no clock. */
#pragma once

#include "base/parse.h"

#include <stdbool.h>

typedef struct Sizing {
    unsigned n_min;
    unsigned n_max;
    unsigned n_threads; /* of each worker */
    usec_t grow_after_usec;
    usec_t shrink_after_usec;
    /* The last time that somebody was still to come; what waited before, waited for that. */
    usec_t settled_usec;
    /* Since when connections have been seen in the kernel's queue while all were busy; 0: none. */
    usec_t queued_usec;
    usec_t needed_usec; /* the last time that all were needed */
} Sizing;

typedef struct SizingSample {
    unsigned n_wanted;
    unsigned n_serving;
    unsigned n_busy;     /* requests in the application */
    usec_t waiting_usec; /* since when a request has waited for a thread, the longest; 0: none does */
    bool is_queued;      /* connections wait in the kernel's queue */
} SizingSample;

/* Whether all threads of all workers are busy: then it is worth looking more often, and at the queue. */
bool sizing_is_saturated(const Sizing *z, const SizingSample *s);

/* How many should serve from now on: n_wanted, one more or one less. */
unsigned sizing_advance(Sizing *z, const SizingSample *s, usec_t now);

/* After a change by hand, too. */
void sizing_settle(Sizing *z, usec_t now);
