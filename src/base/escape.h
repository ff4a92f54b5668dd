/* SPDX-License-Identifier: MIT */
/* Bytes from a client made fit for a log line. */
#pragma once

#include "base/span.h"

/* Writes s with every octet below 0x20, 0x7f, above 0x7e, '"' and '\\' as \xHH (or \" and \\),
 * NUL-terminated, cut with "..." where it does not fit. size >= 4. Returns the length written. */
size_t escape_bytes(char *to, size_t size, Span s);
