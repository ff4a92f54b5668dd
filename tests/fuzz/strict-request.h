/* SPDX-License-Identifier: MIT */
/* A second reading of what a request may look like, plain and slow: whole heads only, no llhttp, nothing from
 * src/http but its types. Says yes or no, not why. */
#pragma once

#include "http/request.h"

#define STRICT_FIELDS_MAX 100

typedef struct StrictHead {
    size_t skipped; /* octets of empty lines in front */
    size_t size;    /* with them, and with the empty line at the end */
    Span method, target;
    unsigned version_minor;
    Field fields[STRICT_FIELDS_MAX];
    size_t n_fields;
} StrictHead;

/* Whether the octets begin with a complete and well-formed head. */
bool strict_head(Span octets, const HttpLimits *limits, StrictHead *ret);

/* Whether that head is a request to be served, and then what the parser must say of it; *ret points into
 * *h, whose fields it changes. */
bool strict_request(StrictHead *h, const HttpLimits *limits, Request *ret);

/* What Host may be, and the authority of an absolute-form target. */
bool strict_authority(Span s);
