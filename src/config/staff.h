/* SPDX-License-Identifier: MIT */
/* How many workers a generation has: what the keys of the configuration mean together. Every process that
 * maps the scoreboard counts its seats by this. */
#pragma once

#include "config/config.h"

typedef struct ConfigStaff {
    unsigned n_min;
    unsigned n_max;   /* more than n_min: the site is elastic */
    unsigned n_start; /* that serve at first */
    unsigned n_seats; /* for those that serve, and for those that are to replace others before these go */
    unsigned n_slots; /* requests that each may have in the application at a time */
    bool is_gevent;   /* they run in greenlets, and not in threads */
} ConfigStaff;

ConfigStaff config_staff(const Config *c);
