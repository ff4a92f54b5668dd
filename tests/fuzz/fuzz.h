/* SPDX-License-Identifier: MIT */
/* What the targets share: the entry point, a check that tells libFuzzer and the replay of a finding, memory of
 * exactly the size of the octets in it, so that AddressSanitizer sees each one that is read too many. */
#pragma once

#include "base/span.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define fuzz_check(condition, ...)                                                  \
    do {                                                                            \
        if (!(condition)) {                                                         \
            fprintf(stderr, "%s:%d: not so: %s: ", __FILE__, __LINE__, #condition); \
            fprintf(stderr, __VA_ARGS__);                                           \
            fputc('\n', stderr);                                                    \
            abort();                                                                \
        }                                                                           \
    } while (0)

/* The caller frees it. */
static inline char *fuzz_copy(const void *data, size_t size)
{
    char *copy = malloc(size > 0 ? size : 1);

    fuzz_check(copy, "no memory");
    if (size > 0)
        memcpy(copy, data, size);
    return copy;
}

/* Numbers that depend on the input alone: where it is cut into pieces. The inputs stay plain messages. */
typedef struct FuzzRandom {
    uint64_t state;
} FuzzRandom;

static inline FuzzRandom fuzz_random_new(const void *data, size_t size)
{
    FuzzRandom r = {UINT64_C(0xcbf29ce484222325)}; /* FNV-1a */

    for (size_t i = 0; i < size; i++)
        r.state = (r.state ^ ((const uint8_t *)data)[i]) * UINT64_C(0x100000001b3);
    return r;
}

/* 1 … max */
static inline size_t fuzz_random_next(FuzzRandom *r, size_t max)
{
    r->state = r->state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (size_t)(r->state >> 33) % max + 1;
}

/* Takes what stands in front of the next separator, or all of it; false when nothing is left (data NULL). */
static inline bool fuzz_take(Span *rest, char separator, Span *ret)
{
    const char *end;

    if (!rest->data)
        return false;
    end = rest->size > 0 ? memchr(rest->data, separator, rest->size) : NULL;
    *ret = (Span){rest->data, end ? (size_t)(end - rest->data) : rest->size};
    *rest = end ? (Span){end + 1, rest->size - ret->size - 1} : (Span){NULL, 0};
    return true;
}

/* --- what second readings share --- */

/* Without regard to case. */
static inline bool fuzz_is(Span s, const char *literal)
{
    return s.size == strlen(literal) && (s.size == 0 || strncasecmp(s.data, literal, s.size) == 0);
}

static inline Span fuzz_trim(Span s)
{
    while (s.size > 0 && (s.data[0] == ' ' || s.data[0] == '\t'))
        s = (Span){s.data + 1, s.size - 1};
    while (s.size > 0 && (s.data[s.size - 1] == ' ' || s.data[s.size - 1] == '\t'))
        s.size--;
    return s;
}

static inline void fuzz_check_span(const char *what, Span got, Span expected)
{
    fuzz_check(span_equal(got, expected), "%s is \"%.*s\", expected \"%.*s\"", what, (int)got.size,
               got.size > 0 ? got.data : "", (int)expected.size, expected.size > 0 ? expected.data : "");
}
