/* SPDX-License-Identifier: MIT */
/* What known lines said about who asked. */
#include "http/forwarded-memory.h"

/* The fields that have a say, in their order. */
typedef struct Lines {
    const Field *fields[FORWARDED_LINES_MAX];
    uint64_t ids[FORWARDED_LINES_MAX]; /* 0: no more */
    size_t n;
} Lines;

/* False: some are new, or there are too many. */
static bool find_lines(const Request *r, Lines *ret)
{
    *ret = (Lines){0};
    for (const Field *f = r->fields; f < r->fields + r->n_fields; f++) {
        if (f->role != ROLE_FORWARDING)
            continue;
        if (f->line == 0 || ret->n == FORWARDED_LINES_MAX)
            return false;
        ret->ids[ret->n] = f->line;
        ret->fields[ret->n++] = f;
    }
    return true;
}

/* Ids are numbered, the latest ones most likely by neighbours. */
static KnownForwarded *place_of(ForwardedMemory *m, const Lines *lines)
{
    uint64_t h = 0;

    for (size_t i = 0; i < lines->n; i++)
        h = h * 5 + lines->ids[i];
    return &m->known[h % FORWARDED_MEMORY_SIZE];
}

/* --- spans and places --- */

static Span span_at(const Lines *lines, ForwardedPlace p)
{
    return p.line == 0 ? (Span){NULL, 0} : (Span){lines->fields[p.line - 1]->value.data + p.start, p.size};
}

/* False: it can't be said. */
static bool find_place(const Lines *lines, Span s, ForwardedPlace *ret)
{
    *ret = (ForwardedPlace){0};
    for (size_t i = 0; s.data && i < lines->n; i++) {
        Span value = lines->fields[i]->value;
        uintptr_t start = (uintptr_t)s.data - (uintptr_t)value.data;

        if (start > value.size || s.size > value.size - start || value.size > UINT8_MAX)
            continue;
        *ret = (ForwardedPlace){(uint8_t)(i + 1), (uint8_t)start, (uint8_t)s.size};
        return true;
    }
    return !s.data;
}

static void remember(KnownForwarded *k, const Lines *lines, const Forwarded *f)
{
    KnownForwarded known = {.says_scheme = f->says_scheme, .https = f->https};

    memcpy(known.lines, lines->ids, sizeof known.lines);
    if (find_place(lines, f->address, &known.address) && find_place(lines, f->host, &known.host) &&
        find_place(lines, f->port, &known.port) && find_place(lines, f->prefix, &known.prefix))
        *k = known;
}

/* --- all together --- */

int forwarded_memory_resolve(ForwardedMemory *m, const TrustedProxies *t, unsigned believed, Request *r,
                             Forwarded *ret)
{
    KnownForwarded *k;
    Lines lines;
    int status;

    if (!t || !find_lines(r, &lines) || lines.n == 0)
        return forwarded_resolve(t, believed, r, ret);
    k = place_of(m, &lines);
    if (memcmp(k->lines, lines.ids, sizeof k->lines) == 0) {
        *ret = (Forwarded){
            .address = span_at(&lines, k->address),
            .host = span_at(&lines, k->host),
            .port = span_at(&lines, k->port),
            .prefix = span_at(&lines, k->prefix),
            .says_scheme = k->says_scheme,
            .https = k->https,
        };
        return 0;
    }
    status = forwarded_resolve(t, believed, r, ret);
    if (status == 0)
        remember(k, &lines, ret);
    return status;
}
