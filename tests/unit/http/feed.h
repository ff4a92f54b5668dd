/* SPDX-License-Identifier: MIT */
/* Drives head scan, parser and chunked decoder as a connection does, with the input cut into pieces, and
 * tells in text what came of it. */
#pragma once

#include "base/span.h"
#include "http/limits.h"

/* cuts: ascending offsets into the input at which it is split. The caller frees the text: one line per fact,
 * the first "200", "more" (the message is not complete) or the status of the refusal. Octets that are not
 * printable are escaped as in the tables. */
char *feed(Span input, const HttpLimits *limits, const size_t *cuts, size_t n_cuts);
