/* SPDX-License-Identifier: MIT */
/* Strict numbers, sizes and durations: the whole string is the value, or it is refused. */
#pragma once

#include "base/span.h"

#include <stdbool.h>
#include <stdint.h>

typedef uint64_t usec_t; /* microseconds */

#define USEC_PER_MSEC UINT64_C(1000)
#define USEC_PER_SEC UINT64_C(1000000)

/* All return 0, -EINVAL (malformed) or -ERANGE (well-formed, but does not fit), and leave *ret alone on
 * error. */

/* Decimal digits only: no sign, no blank. */
int parse_uint64(const char *s, uint64_t *ret);

/* The same, up to 65535. */
int parse_port(Span s, uint16_t *ret);

/* yes/no, true/false, on/off, 1/0; letters of either case. */
int parse_bool(const char *s, bool *ret);

/* Bytes: digits and an optional K, M, G, T (powers of 1024), as systemd writes them. */
int parse_size(const char *s, uint64_t *ret);

/* A time span as in systemd.time(7): "30" (seconds), "500ms", "5min", "5 min", "1h 30min"; units us, ms, s,
 * min, h, d. */
int parse_duration(const char *s, usec_t *ret);

/* The value in the largest unit that divides it ("64K", "90min"), which the functions above read back as the
 * same; in `to`, which is returned. */
#define FORMAT_VALUE_MAX 32
char *format_size(char to[static FORMAT_VALUE_MAX], uint64_t bytes);
char *format_duration(char to[static FORMAT_VALUE_MAX], usec_t usec);
