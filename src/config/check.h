/* SPDX-License-Identifier: MIT */
/* What is right for single keys beyond their type: the form of an address, a mode, an application. Looks
 * nothing up: no user, no file, no host name. */
#pragma once

#include "base/span.h"
#include "config/config.h"

/* item: the value, or one of a list. Returns NULL when it is right, else what is wrong with it, to be read
 * after the item in quotes; *ret_bad is the part of it to quote. */
const char *check_item(const ConfigOption *o, const char *item, Span *ret_bad);
