/* SPDX-License-Identifier: MIT */
/* A request for the targets behind the parser: its head as text, whose lines end in LF and whose empty line
 * at the end is not written. */
#pragma once

#include "base/buffer.h"
#include "fuzz.h"
#include "http/head.h"
#include "http/parser.h"

/* false where the text is no request that would be served. *r and *head were initialised; r points into
 * head. */
static inline bool fuzz_request(Span text, Buffer *head, Request *r)
{
    static const HttpLimits limits = {
        .request_line = 8190, .field_size = 8190, .head = 65536, .fields = 100, .body = UINT64_MAX};
    HeadScan scan = {0};
    size_t size;
    Span line;

    while (fuzz_take(&text, '\n', &line))
        if (line.size > 0)
            fuzz_check(buffer_append(head, line.data, line.size) == 0 && buffer_append(head, "\r\n", 2) == 0,
                       "no memory");
    fuzz_check(buffer_append(head, "\r\n", 2) == 0, "no memory");
    return head_scan(&scan, buffer_head(head), buffer_size(head), &limits, &size) == 0 &&
           request_parse(r, &scan, buffer_head(head) + scan.skipped, size - scan.skipped, &limits) == 0;
}
