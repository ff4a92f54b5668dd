/* SPDX-License-Identifier: MIT */
/* What forwarded.h made of fields whose lines are known (known-lines.h), for when they come again: the same octets in
 * the same order say the same. Where the connection comes from makes no difference to that, once it is trusted. */
#pragma once

#include "http/forwarded.h"

#define FORWARDED_MEMORY_SIZE 32
#define FORWARDED_LINES_MAX 4

/* Where in the value of one of the lines; line 0: nowhere, else its number from 1 on. */
typedef struct ForwardedPlace {
    uint8_t line, start, size;
} ForwardedPlace;

typedef struct KnownForwarded {
    uint64_t lines[FORWARDED_LINES_MAX]; /* 0: no more of them */
    ForwardedPlace address, host, port, prefix;
    bool says_scheme, https;
} KnownForwarded;

/* Zero-initialised. For one set of trusted proxies and one of headers that are believed. Of one thread at a time. */
typedef struct ForwardedMemory {
    KnownForwarded known[FORWARDED_MEMORY_SIZE];
} ForwardedMemory;

/* As forwarded_resolve(). */
int forwarded_memory_resolve(ForwardedMemory *m, const TrustedProxies *t, unsigned believed, Request *r,
                             Forwarded *ret);
