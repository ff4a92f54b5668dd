/* SPDX-License-Identifier: MIT */
/* A file as the body of a response: its validators, whether the client needs it (conditional requests, RFC
 * 9110 §13), and which part of it (range requests, §14). Knows the file by its size and date alone. */
#pragma once

#include "http/request.h"
#include "http/response.h"

typedef struct FileVersion {
    uint64_t size;
    time_t modified;
    time_t now; /* the response's Date */
} FileVersion;

/* r: what the application has set. Gives it the length, and, where the application has made a 200 or 206 of a
 * GET or HEAD, the validators that are missing, and what the request asks for: 200, 206 of one range, 304,
 * 412 or 416. *ret_offset, *ret_size: the octets of the file that are the body of an answer to GET. Then
 * comes response_begin(). 0 or -ENOMEM. */
int file_response_prepare(Response *r, const Request *q, const FileVersion *f, uint64_t *ret_offset,
                          uint64_t *ret_size);
