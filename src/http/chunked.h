/* SPDX-License-Identifier: MIT */
/* Decodes a chunked body (RFC 9112 §7.1), strictly: sizes are 1*HEXDIG, lines end in CRLF, extensions are
 * well-formed and bounded, trailers are checked, bounded and dropped. */
#pragma once

#include "base/span.h"
#include "http/limits.h"

#include <stdint.h>

#ifndef HTTP_E_MORE
#    define HTTP_E_MORE 1
#endif

typedef struct ChunkedDecoder {
    int state; /* private, like all of it; zero-initialise */
    unsigned n_digits;
    uint64_t remaining; /* octets of the current chunk */
    uint64_t total;     /* octets decoded so far */
    size_t n_overhead;  /* octets of extensions and trailers so far */
    const char *reason; /* of a refusal: static text for the log */
} ChunkedDecoder;

/* Decodes from data until there is a run of body octets, the end, or nothing left. *ret_consumed octets of
 * data were used up; *ret_body is a run within them (size 0: none). Returns 0 when the body and its trailers
 * are complete; HTTP_E_MORE: call again with the octets after *ret_consumed, and more of them if all were
 * consumed; or the status (400, 413, 431) to refuse with. */
int chunked_decode(ChunkedDecoder *d, const char *data, size_t size, const HttpLimits *limits,
                   size_t *ret_consumed, Span *ret_body);
