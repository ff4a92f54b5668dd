/* SPDX-License-Identifier: MIT */
/* Finds the end of a request head as it arrives and checks its octets, so that what the parser is given is
 * well-formed line by line whatever llhttp's version would let pass: every CR before an LF and every LF after
 * a CR, no obs-fold, no blank before a colon, token names, no controls in values, exactly "TOKEN SP TARGET SP
 * HTTP/d.d". */
#pragma once

#include "http/limits.h"

#include <stddef.h>

#define HTTP_E_MORE 1 /* no error: more octets are needed */

#define HEAD_KNOWN_MAX 64 /* lines of a head that may be known */

typedef struct HeadScan {
    size_t skipped;     /* octets of empty lines before the request line (RFC 9112 §2.2), to drop */
    size_t position;    /* octets seen so far */
    size_t line_start;  /* of the line that is not complete yet */
    unsigned n_lines;   /* complete ones, the request line included */
    int state;          /* private */
    size_t token_start; /* private: of the target or the version */
    const char *reason; /* of a refusal: static text for the log */
    uint64_t known[HEAD_KNOWN_MAX]; /* ids of the complete lines, 0: not known; see known-lines.h */
} HeadScan;

static inline void head_scan_init(HeadScan *scan)
{
    scan->skipped = scan->position = scan->line_start = scan->token_start = 0;
    scan->n_lines = 0;
    scan->state = 0;
    scan->reason = NULL;
}

/* head_scan_init() or zero-initialise scan for each new request. data: all octets since then; may grow and move between
 * calls; octets already scanned are not read again. Returns 0 with *ret_size = octets of the head, scan->skipped and
 * the empty line included; HTTP_E_MORE; or the status (400, 414, 431, 505) to refuse with. */
int head_scan(HeadScan *scan, const char *data, size_t size, const HttpLimits *limits, size_t *ret_size);
