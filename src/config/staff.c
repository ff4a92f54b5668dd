/* SPDX-License-Identifier: MIT */
/* How many workers a generation has. */
#include "config/staff.h"

#include "base/cleanup.h"

#include <string.h>

ConfigStaff config_staff(const Config *c)
{
    unsigned count = c->workers_count, min = c->workers_min, max = c->workers_max;
    bool is_gevent = strcmp(c->workers_class, "gevent") == 0;

    if (max == 0)
        max = MAX(count, min);
    if (min == 0)
        min = MIN(count, max);
    count = MIN(count, max);
    return (ConfigStaff){
        .n_min = min,
        .n_max = max,
        .n_start = MAX(count, min),
        .n_seats = max + c->reload_surge,
        .n_slots = is_gevent ? c->workers_connections : c->workers_threads,
        .is_gevent = is_gevent,
    };
}
