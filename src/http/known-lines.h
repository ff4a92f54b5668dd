/* SPDX-License-Identifier: MIT */
/* Lines of request heads that were accepted lately. Clients say most lines again and again; one that is known, octet
 * for octet, needs neither the scan of its octets nor llhttp. Whether a line is well-formed does not depend on the
 * lines around it: what they mean together is decided anew for each request. */
#pragma once

#include "http/request.h"

#include <stddef.h>
#include <string.h>

#define KNOWN_LINES_MAX 128u
#define KNOWN_LINE_MAX 176
#define KNOWN_LLHTTP_SIZE 128

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
    KnownLine *last;      /* found; NULL: none */
    uint8_t hand;         /* of the clock that looks for a line to forget */
    uint64_t n_added;
    bool has_llhttp; /* the splitter's: an llhttp that has passed a request line */
    _Alignas(max_align_t) unsigned char llhttp[KNOWN_LLHTTP_SIZE];
} KnownLines;

/* text: an accepted line with its CRLF; f: its name and its value, which point into it, and its role. What is too long
 * is not kept. */
void known_lines_add(KnownLines *k, Span text, const Field *f);

/* Passes over the known lines that the octets begin with, up to n_max of a head, of which *n_lines were before them (0:
 * they begin with the request line): counts them there, and puts the id of each into ids, by its number. Returns their
 * octets. The lines of a head are asked for in their order, since each knows which one came next. */
size_t known_lines_skip(KnownLines *k, const char *data, size_t size, unsigned *n_lines, unsigned n_max,
                        uint64_t ids[]);

/* The line with that id, or NULL: it was forgotten meanwhile. */
static inline const KnownLine *known_lines_get(const KnownLines *k, uint64_t id)
{
    const KnownLine *l = &k->lines[id % KNOWN_LINES_MAX];

    return id != 0 && l->id == id ? l : NULL;
}
