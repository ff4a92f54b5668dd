/* SPDX-License-Identifier: MIT */
/* A run of bytes that somebody else owns; not NUL-terminated. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

typedef struct Span {
    const char *data;
    size_t size;
} Span;

#define SPAN_LITERAL(s) ((Span){(s), sizeof(s) - 1})

static inline Span span_of(const char *s)
{
    return (Span){s, strlen(s)};
}

static inline bool span_equal(Span a, Span b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

/* ASCII letters compare without case (the C locale is never left). */
static inline bool span_equal_nocase(Span a, Span b)
{
    return a.size == b.size && (a.size == 0 || strncasecmp(a.data, b.data, a.size) == 0);
}
