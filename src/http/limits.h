/* SPDX-License-Identifier: MIT */
/* What a request may cost before it is refused. */
#pragma once

#include <stddef.h>
#include <stdint.h>

typedef struct HttpLimits {
    size_t request_line; /* octets without CRLF; more: 414 */
    size_t field_size;   /* a field line without CRLF; more: 431 */
    size_t head;         /* the head with all its CRLFs; more: 431 */
    unsigned fields;     /* more: 431 */
    uint64_t body;       /* octets, decoded; more: 413; UINT64_MAX: any */
} HttpLimits;
