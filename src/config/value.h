/* SPDX-License-Identifier: MIT */
/* The typed values of a Config: text to value and back, one by one. Knows the types, not the single keys. */
#pragma once

#include "base/buffer.h"
#include "config/errors.h"

static inline bool value_is_list(const ConfigOption *o)
{
    return o->type_id == CONFIG_WORDS || o->type_id == CONFIG_LINES;
}

/* Parses the text, checks it by type, range and config/check.h, and replaces the value in c. In a list of
 * WORDS any blank separates, among LINES the line end. What is wrong goes to e. 0, CONFIG_E_INVALID or
 * -ENOMEM. */
int value_set(Config *c, const ConfigOption *o, const char *text, Errors *e, Origin at);

/* Likewise for more items of a list. */
int value_append(Config *c, const ConfigOption *o, const char *text, Errors *e, Origin at);

bool value_equal(const Config *a, const Config *b, const ConfigOption *o);

/* "key = value" with its line ends, which config_parse() reads back. 0 or -ENOMEM. */
int value_format(const Config *c, const ConfigOption *o, Buffer *to);

/* Leaves it empty. */
void value_free(Config *c, const ConfigOption *o);
