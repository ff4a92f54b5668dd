/* SPDX-License-Identifier: MIT */
/* What is right for single keys beyond their type: the form of an address, a mode, an application. Looks
 * nothing up: no user, no file, no host name. */
#pragma once

#include "base/span.h"
#include "config/config.h"

/* item: the value, or one of a list. *ret_wrong is NULL when it is right, else what is wrong with it, to be
 * read after *ret_bad, the part of the item to quote. 0 or -ENOMEM. */
int check_item(const ConfigOption *o, const char *item, const char **ret_wrong, Span *ret_bad);
