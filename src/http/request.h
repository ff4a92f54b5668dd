/* SPDX-License-Identifier: MIT */
/* A parsed request head. All spans point into the head's octets, which the caller keeps in place
 * meanwhile. */
#pragma once

#include "base/span.h"
#include "http/limits.h"

#include <stdbool.h>
#include <stdint.h>

/* What a line of a head is to the server. */
typedef enum FieldRole {
    ROLE_NONE,
    ROLE_HOST,
    ROLE_EXPECT,
    ROLE_CONNECTION,
    ROLE_CONTENT_LENGTH,
    ROLE_TRANSFER_ENCODING,
    ROLE_FORWARDING,  /* one of forwarded.h */
    ROLE_CREDENTIALS, /* Authorization, Proxy-Authorization, Cookie */
    ROLE_REQUEST_LINE,
} FieldRole;

typedef struct Field {
    Span name;     /* as sent */
    Span value;    /* without the whitespace around it */
    uint64_t line; /* id of the KnownLine that it came from, 0: of none; the same id, the same octets */
    FieldRole role;
} Field;

typedef struct Request {
    uint64_t line; /* of the request line, as in Field */
    Span method;
    Span target; /* as sent */
    Span path;   /* raw, not decoded; "*" of OPTIONS * */
    Span query;  /* without '?'; empty without one */
    Span host;   /* the authority: of an absolute-form target, else of Host; empty on HTTP/1.0 without one */
    Field *fields; /* without those that were dropped; Host is among them */
    size_t n_fields;
    size_t fields_capacity;
    unsigned n_dropped_fields; /* names with '_' (CVE-2015-0219) */
    Span dropped_field;        /* name of the last of them */
    unsigned version_minor;    /* of HTTP/1.x: 0, or 1 for every other */
    int64_t content_length;    /* -1: none given */
    bool chunked;
    bool keep_alive;      /* what the client wants and the version allows */
    bool expect_continue; /* Expect: 100-continue on HTTP/1.1 */
    bool is_head;
    bool is_server_options; /* OPTIONS *: answered by the server */
    const char *reason;     /* of a refusal: static text for the log */
} Request;

FieldRole field_role(Span name);

/* Zero-initialised; keeps its memory of fields from one request to the next. */
void request_init(Request *r);
void request_deinit(Request *r);

/* Forgets the request, which pointed into octets that may be gone; keeps the memory of fields. */
static inline void request_reset(Request *r)
{
    *r = (Request){.fields = r->fields, .fields_capacity = r->fields_capacity, .content_length = -1};
}

/* Returns status: that of the answer to a request that is not accepted, for that reason (static text). */
static inline int request_refuse(Request *r, int status, const char *reason)
{
    r->reason = reason;
    return status;
}

/* Value of the first field of that name (lower case or not), or a span with data NULL. */
Span request_field(const Request *r, const char *name);

/* Whether a body follows the head. */
static inline bool request_has_body(const Request *r)
{
    return r->chunked || r->content_length > 0;
}
