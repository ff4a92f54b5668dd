/* SPDX-License-Identifier: MIT */
/* What a request may cost, and have for names of fields, before it is refused; and what was accepted so. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct HttpLimits {
    size_t request_line; /* octets without CRLF; more: 414 */
    size_t field_size;   /* a field line without CRLF; more: 431 */
    size_t head;         /* the head with all its CRLFs; more: 431 */
    unsigned fields;     /* more: 431 */
    uint64_t body;       /* octets, decoded; more: 413; UINT64_MAX: any */

    /* Names with '_' are dropped, or refused by 400, but for these (NULL-terminated, in any case; NULL:
     * none), which the caller then gives to forwarder_fields_admit(). */
    bool refuses_ambiguous_names;
    char *const *forwarder_fields;

    struct KnownLines *known; /* lines that were accepted under these limits; NULL: none are remembered */
} HttpLimits;
