/* SPDX-License-Identifier: MIT */
/* Looking up lines by their octets, and which to forget. */
#include "http/known-lines.h"

#include "base/cleanup.h"
#include "http/syntax.h"

_Static_assert(KNOWN_LINES_MAX <= UINT8_MAX && KNOWN_LINE_MAX <= UINT8_MAX, "they are kept in octets");

/* An odd number whose bits look random: that of the golden ratio. */
#define FACTOR UINT64_C(0x9e3779b97f4a7c15)

/* Eight octets at a time, the last ones twice. */
static unsigned hash_line(const char *data, size_t size)
{
    uint64_t h = size, word = 0;

    for (size_t i = 0; i + sizeof word <= size; i += sizeof word) {
        memcpy(&word, data + i, sizeof word);
        h = (h ^ word) * FACTOR;
        h ^= h >> 32;
    }
    memcpy(&word, data + (size < sizeof word ? 0 : size - sizeof word), MIN(size, sizeof word));
    return (unsigned)((h ^ word) * FACTOR >> 58);
}

static inline bool line_is(const KnownLine *l, bool is_request_line, const char *data, size_t size)
{
    return l->size > 0 && l->size <= size && (l->role == ROLE_REQUEST_LINE) == is_request_line &&
           memcmp(l->text, data, l->size) == 0;
}

/* The one kind of line with credentials that most clients send, and the longest of all: it is never known. */
static bool is_cookie(const char *data, size_t size)
{
    return size > 6 && TOKEN_IS(((Span){data, 6}), "cookie") && data[6] == ':';
}

/* Not where it was looked for, behind `before`. NULL: not known. Apart from the usual case, for which registers are
 * few. */
static __attribute__((__noinline__)) KnownLine *look_up(KnownLines *k, KnownLine *before,
                                                        bool is_request_line, const char *data, size_t size)
{
    const char *lf;

    if (is_cookie(data, size))
        return NULL;
    lf = memchr(data, '\n', MIN(size, (size_t)KNOWN_LINE_MAX));
    if (!lf)
        return NULL;
    size = (size_t)(lf + 1 - data);
    for (uint32_t bucket = k->by_hash[hash_line(data, size)]; bucket; bucket >>= 8) {
        KnownLine *l = &k->lines[(uint8_t)bucket];

        if (!line_is(l, is_request_line, data, size))
            continue;
        before->next = (uint8_t)bucket;
        return l;
    }
    return NULL;
}

size_t known_lines_skip(KnownLines *k, const char *data, size_t size, unsigned *n_lines, unsigned n_max,
                        uint64_t ids[])
{
    KnownLine *before = *n_lines == 0 || !k->last ? k->lines : k->last;
    const char *line = data, *end = data + size;
    unsigned n = *n_lines;

    while (n < n_max && line < end && *line != '\r') {
        KnownLine *l = &k->lines[before->next];

        if (!line_is(l, n == 0, line, (size_t)(end - line)) &&
            !(l = look_up(k, before, n == 0, line, (size_t)(end - line))))
            break;
        l->is_recent = true;
        ids[n++] = l->id;
        line += l->size;
        before = l;
    }
    k->last = before;
    *n_lines = n;
    return (size_t)(line - data);
}

/* The clock algorithm: what came again since the hand was there has another round. */
static KnownLine *forget_one(KnownLines *k)
{
    for (;;) {
        KnownLine *l;

        k->hand = (uint8_t)(k->hand % (KNOWN_LINES_MAX - 1) + 1); /* never 0 */
        l = &k->lines[k->hand];
        if (!l->is_recent)
            return l;
        l->is_recent = false;
    }
}

void known_lines_add(KnownLines *k, Span text, const Field *f)
{
    uint32_t *bucket;
    KnownLine *l;

    if (text.size > KNOWN_LINE_MAX)
        return;
    l = forget_one(k);
    *l = (KnownLine){
        .id = ++k->n_added * KNOWN_LINES_MAX + k->hand,
        .size = (uint8_t)text.size,
        .name_size = (uint8_t)f->name.size,
        .value_start = (uint8_t)(f->value.data - text.data),
        .value_size = (uint8_t)f->value.size,
        .role = (uint8_t)f->role,
    };
    memcpy(l->text, text.data, text.size);
    bucket = &k->by_hash[hash_line(text.data, text.size)];
    *bucket = *bucket << 8 | k->hand;
}
