/* SPDX-License-Identifier: MIT */
/* HTTP-date (RFC 9110 §5.6.7): written as IMF-fixdate, read in all three forms. */
#pragma once

#include "base/span.h"

#include <time.h>

#define DATE_SIZE 29 /* "Sun, 06 Nov 1994 08:49:37 GMT" */

/* Not NUL-terminated. t: 0 … 9999-12-31. */
void date_format(time_t t, char to[static DATE_SIZE]);

/* Reads IMF-fixdate, or the obsolete forms of RFC 850 and asctime(). now: for RFC 850's years of two digits,
 * which are at most 50 years ahead. False: it is none of them, or there is no such day or time. */
bool date_parse(Span text, time_t now, time_t *ret);
