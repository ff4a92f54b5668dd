/* SPDX-License-Identifier: MIT */
/* A run of bytes that somebody else owns; not NUL-terminated. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
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

#define SPAN_DECIMAL_SIZE 20

/* The digits of number, in room. */
static inline Span span_decimal(uint64_t number, char room[static SPAN_DECIMAL_SIZE])
{
    size_t i = SPAN_DECIMAL_SIZE;

    do {
        room[--i] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    return (Span){room + i, SPAN_DECIMAL_SIZE - i};
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
