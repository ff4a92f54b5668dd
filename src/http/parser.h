/* SPDX-License-Identifier: MIT */
/* From a complete, scanned head to a Request: framing, host, target (RFC 9112). */
#pragma once

#include "http/head.h"
#include "http/request.h"

/* head: `size` octets for which head_scan() returned 0, less the skipped ones. scan: what it has found there; of
 * interest where there is limits->known. *r was initialised; what it held is overwritten. Returns 0, -ENOMEM, or the
 * status to refuse with (400, 413, 417, 431, 501), r->reason set; then method, target, version_minor and is_head are
 * set as far as known, for the log. */
int request_parse(Request *r, const HeadScan *scan, const char *head, size_t size, const HttpLimits *limits);
