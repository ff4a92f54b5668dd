/* SPDX-License-Identifier: MIT */
/* How many workers a generation has. */
#include "config/staff.h"

ConfigStaff config_staff(const Config *c)
{
    return (ConfigStaff){.n_start = c->workers_count, .n_seats = c->workers_count + c->reload_surge};
}
