/* SPDX-License-Identifier: MIT */
/* Lines of request heads that were accepted lately. Clients say most lines again and again; one that is known, octet for
 * octet, needs neither the scan of its octets nor llhttp. Whether a line is well-formed does not depend on the lines around
 * it: what they mean together is decided anew for each request. */
#pragma once

#include "http/request.h"

#include <string.h>

#define KNOWN_LINES_MAX 128u
#define KNOWN_LINE_MAX 176

typedef struct KnownLine {
    uint64_t id;  /* never that of another text; id % KNOWN_LINES_MAX: where it is */
    uint8_t size; /* of the text, with CRLF; 0: free */
    uint8_t name_size;
    uint8_t value_start; /* the value without the whitespace around it */
    uint8_t value_size;
    uint8_t role;
    uint8_t next;   /* the line that came next, last time */
    bool is_recent; /* it came again since the hand of the clock was here */
    char text[KNOWN_LINE_MAX];
} KnownLine;

/* Zero-initialised. Of one thread at a time. Memory is touched only as lines are added. */
typedef struct KnownLines {
    KnownLine lines[KNOWN_LINES_MAX]; /* the first one stands for what is before a request line */
    uint32_t by_hash[64]; /* the latest four of a hash, an octet each, the newest in the lowest one */
    uint8_t last;         /* found */
    uint8_t hand;         /* of the clock that looks for a line to forget */
    uint64_t n_added;
} KnownLines;

/* text: an accepted line with its CRLF; f: its name and its value, which point into it, and its role. What is too long is
 * not kept. */
void known_lines_add(KnownLines *k, Span text, const Field *f);

static inline bool known_line_is(const KnownLine *l, bool is_request_line, const char *data, size_t size)
{
    return l->size > 0 && l->size <= size && (l->role == ROLE_REQUEST_LINE) == is_request_line &&
           memcmp(l->text, data, l->size) == 0;
}

/* The line that the octets begin with, or NULL: not known, or not here as a whole. The lines of a head are asked for in
 * their order, since each knows which one came next. */
const KnownLine *known_lines_find(KnownLines *k, bool is_request_line, const char *data, size_t size);

/* The same for a head whose lines have all been looked for just now: if that was interrupted by another head, fewer are
 * found. */
static inline const KnownLine *known_lines_find_again(KnownLines *k, bool is_request_line, const char *data,
                                                      size_t size)
{
    uint8_t before = is_request_line ? 0 : k->last, next = k->lines[before].next;
    bool is_it = known_line_is(&k->lines[next], is_request_line, data, size);

    k->last = is_it ? next : before;
    return is_it ? &k->lines[next] : NULL;
}
