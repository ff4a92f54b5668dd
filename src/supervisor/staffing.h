/* SPDX-License-Identifier: MIT */
/* Whom a generation needs: decisions from numbers and times alone. Knows no process, reads no clock. */
#pragma once

#include "base/parse.h"

/* The workers of a generation, each in one of the counts at most. */
typedef struct StaffingCount {
    unsigned n_wanted;  /* that should serve */
    unsigned n_surge;   /* that may run beyond those while some are replaced */
    unsigned n_staying; /* serve, and are to go on */
    unsigned n_leaving; /* serve until others do in their place */
    unsigned n_coming;  /* were asked for, and have not served yet */
    unsigned n_going;   /* were told to go, and are not gone */
} StaffingCount;

/* How many are to be spawned. */
unsigned staffing_missing(const StaffingCount *c);

/* How many of those that serve are to be told to go; the leaving ones first. */
unsigned staffing_surplus(const StaffingCount *c);

/* However many workers fail, each after a pause of its own: together they may not eat the machine. Each that
 * failed costs a while, and while more is owed than all of them cost that fail twice, nobody is spawned. */
typedef struct StaffingDebt {
    usec_t paid_usec; /* when nothing is owed any more */
} StaffingDebt;

void staffing_owe(StaffingDebt *d, usec_t now);

/* When the next one may be spawned; a time that is over: now. */
usec_t staffing_allows_at(const StaffingDebt *d, unsigned n_wanted);

/* When it is hopeless: no worker has served since unserved_usec, and loading one may take load_usec. */
usec_t staffing_hopeless_at(usec_t unserved_usec, usec_t load_usec);

/* How long a worker is to live: lifetime_usec less up to a tenth, so that those who began together do not end
 * together. random: evenly distributed. */
usec_t staffing_lifetime(usec_t lifetime_usec, uint32_t random);
