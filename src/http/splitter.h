/* SPDX-License-Identifier: MIT */
/* From a complete, scanned head to its request line and fields. The only user of llhttp, which is given the lines that
 * are not known, see known-lines.h. */
#pragma once

#include "http/head.h"
#include "http/request.h"

/* As request_parse(), with a request that was reset. *ret_is_new: some of its lines are not known; once the request has
 * been accepted, splitter_remember() makes them so. */
int splitter_run(Request *r, const HeadScan *scan, const char *head, size_t size, const HttpLimits *limits,
                 bool *ret_is_new);
void splitter_remember(const Request *r, struct KnownLines *known);
