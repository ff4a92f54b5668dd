/* SPDX-License-Identifier: MIT */
/* Looking names up in the table of options, and what a mistyped one may have meant. Knows nothing of
 * values. */
#pragma once

#include "config/config.h"

enum {
    TABLE_N_OPTIONS = 0
#define OPTION(...) +1
#include "config/options.def"
#undef OPTION
};

/* '-' and '_' are the same in a name. */
bool table_names_equal(const char *a, const char *b);

/* The section's name as the table has it, or NULL. */
const char *table_find_section(const char *name);

const ConfigOption *table_find(const char *section, const char *key);

/* The name that is a few letters at most from the given one, or NULL when none is close. A key may also be
 * one of another section. */
const char *table_nearest_section(const char *name);
const ConfigOption *table_nearest_key(const char *section, const char *key);

/* The option's number, from 0 to config_n_options - 1. */
static inline size_t table_index(const ConfigOption *o)
{
    return (size_t)(o - config_options);
}
