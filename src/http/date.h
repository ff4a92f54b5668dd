/* SPDX-License-Identifier: MIT */
/* IMF-fixdate, the form of the Date field (RFC 9110 §5.6.7). */
#pragma once

#include <time.h>

#define DATE_SIZE 29 /* "Sun, 06 Nov 1994 08:49:37 GMT" */

/* Not NUL-terminated. t: 0 … 9999-12-31. */
void date_format(time_t t, char to[static DATE_SIZE]);
