/* SPDX-License-Identifier: MIT */
/* From the name of a request's field, as clients write it, to its key in the environ. */
#pragma once

#include "wsgi/python.h"

#include "base/span.h"

#include <stdint.h>

typedef enum HeaderKind {
    HEADER_JOIN,   /* repeated: values joined by ", " (RFC 3875 §4.1.18) */
    HEADER_COOKIE, /* joined by "; " (RFC 6265 §5.4) */
    HEADER_SKIP,   /* the environ has it from elsewhere: Host, Content-Length, Transfer-Encoding */
} HeaderKind;

#define HEADER_NAME_MAX 46
typedef struct HeaderName {
    PyObject *key; /* NULL: free */
    uint8_t kind;
    uint8_t size;
    char name[HEADER_NAME_MAX];
} HeaderName;

#define HEADER_SETS 64u
#define HEADER_WAYS 4u

/* Of an EnvironCache, zero-initialised. No Python code runs between the look-up of an entry and its last use, so
 * the GIL guards it, where it is shared. */
typedef struct HeaderNames {
    PyObject *known; /* dict of the interned keys of well-known fields, to themselves */
    HeaderName sets[HEADER_SETS][HEADER_WAYS];
    uint8_t next_victim[HEADER_SETS];
    HeaderName scratch; /* for names that are too long to keep */
} HeaderNames;

/* 0, or -1 with an exception. */
int header_names_init(HeaderNames *names);
void header_names_clear(HeaderNames *names);

/* Valid until the next call. name has at least one octet. NULL with an exception. */
HeaderName *header_names_find(HeaderNames *names, Span name);

/* A str of octets (PEP 3333, "Unicode Issues"); the octets of such a str, borrowed; and whether it has these. */
static inline PyObject *latin1_new(Span s)
{
    return PyUnicode_DecodeLatin1(s.data, (Py_ssize_t)s.size, NULL);
}

static inline Span latin1_span(PyObject *string)
{
    return (Span){(const char *)PyUnicode_1BYTE_DATA(string), (size_t)PyUnicode_GET_LENGTH(string)};
}

static inline bool latin1_equals(PyObject *string, Span s)
{
    return span_equal(latin1_span(string), s);
}
