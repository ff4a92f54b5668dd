/* SPDX-License-Identifier: MIT */
/* The lexical rules that heads, chunks and responses share (RFC 9110 §5.5, §5.6): octet classes, tokens,
 * whitespace, lists. */
#pragma once

#include "base/span.h"

#include <stdint.h>
#ifdef __SSE2__
#    include <emmintrin.h>
#endif

enum {
    OCTET_TOKEN = 1, /* tchar, RFC 9110 §5.6.2 */
    OCTET_TARGET =
        2,           /* what a request target may contain: no control, blank, fragment or octet above ASCII */
    OCTET_VALUE = 4, /* field-content: HTAB, SP, VCHAR, obs-text */
    OCTET_HOST = 8,  /* reg-name of RFC 3986 §3.2.2 without '%', which must escape, and without ',', which
                      * would  read as a list */
};

#define OCTET_TTV (OCTET_TOKEN | OCTET_TARGET | OCTET_VALUE)
#define OCTET_TV (OCTET_TARGET | OCTET_VALUE)
#define OCTET_ALL (OCTET_TTV | OCTET_HOST)

static const uint8_t octet_classes[256] = {
    ['\t'] = OCTET_VALUE,
    [' '] = OCTET_VALUE,
    ['!'] = OCTET_ALL,
    ['"'] = OCTET_TV,
    ['#'] = OCTET_TOKEN | OCTET_VALUE,
    ['$'] = OCTET_ALL,
    ['%'] = OCTET_TTV,
    ['&' ... '\''] = OCTET_ALL,
    ['(' ... ')'] = OCTET_TV | OCTET_HOST,
    ['*' ... '+'] = OCTET_ALL,
    [','] = OCTET_TV,
    ['-' ... '.'] = OCTET_ALL,
    ['/'] = OCTET_TV,
    ['0' ... '9'] = OCTET_ALL,
    [':'] = OCTET_TV,
    [';'] = OCTET_TV | OCTET_HOST,
    ['<'] = OCTET_TV,
    ['='] = OCTET_TV | OCTET_HOST,
    ['>' ... '@'] = OCTET_TV,
    ['A' ... 'Z'] = OCTET_ALL,
    ['[' ... ']'] = OCTET_TV,
    ['^'] = OCTET_TTV,
    ['_'] = OCTET_ALL,
    ['`'] = OCTET_TTV,
    ['a' ... 'z'] = OCTET_ALL,
    ['{'] = OCTET_TV,
    ['|'] = OCTET_TTV,
    ['}'] = OCTET_TV,
    ['~'] = OCTET_ALL,
    [0x80 ... 0xff] = OCTET_VALUE,
};

#undef OCTET_TTV
#undef OCTET_TV
#undef OCTET_ALL

static inline bool octet_is(char octet, unsigned classes)
{
    return octet_classes[(uint8_t)octet] & classes;
}

static inline bool octet_is_digit(char octet)
{
    return octet >= '0' && octet <= '9';
}

/* Index of the first octet of [from, to) that is not of these classes, else `to`. */
static inline size_t octets_end(const char *data, size_t from, size_t to, unsigned classes)
{
    while (from < to && octet_is(data[from], classes))
        from++;
    return from;
}

#ifdef __SSE2__
static inline __m128i octets16(const char *data)
{
    return _mm_loadu_si128((const __m128i *)(const void *)data);
}

/* 8 octets and as many NUL. */
static inline __m128i octets8(const char *data)
{
    return _mm_loadl_epi64((const __m128i *)(const void *)data);
}

/* A bit for each octet, set where it is not of OCTET_VALUE. */
static inline unsigned octets_not_value(__m128i octets)
{
    __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(octets, _mm_set1_epi8(0x1f)), octets);
    __m128i tab = _mm_cmpeq_epi8(octets, _mm_set1_epi8('\t'));
    __m128i del = _mm_cmpeq_epi8(octets, _mm_set1_epi8(0x7f));

    return (unsigned)_mm_movemask_epi8(_mm_or_si128(_mm_andnot_si128(tab, control), del));
}
#endif

#ifdef __SSE2__
static inline __m128i octets_in_range(__m128i octets, char first, char n)
{
    __m128i offset = _mm_sub_epi8(octets, _mm_set1_epi8(first));

    return _mm_cmpeq_epi8(_mm_min_epu8(offset, _mm_set1_epi8((char)(n - 1))), offset);
}

/* A bit for each octet, set where it is no letter, digit or '-', as most octets of a token are. */
static inline unsigned octets_not_word(__m128i octets)
{
    __m128i letter = octets_in_range(_mm_or_si128(octets, _mm_set1_epi8(0x20)), 'a', 26);
    __m128i digit = octets_in_range(octets, '0', 10);
    __m128i dash = _mm_cmpeq_epi8(octets, _mm_set1_epi8('-'));

    return (unsigned)_mm_movemask_epi8(_mm_or_si128(_mm_or_si128(letter, digit), dash)) ^ 0xffff;
}
#endif

/* octets_end() for OCTET_VALUE, 16 or 8 octets at a time, the last ones twice: values are most of a head. */
static inline size_t octets_value_end(const char *data, size_t from, size_t to)
{
#ifdef __SSE2__
    size_t size = to - from;
    unsigned mask = 0;

    for (; from + 16 <= to; from += 16)
        if ((mask = octets_not_value(octets16(data + from))))
            return from + (unsigned)__builtin_ctz(mask);
    if (size >= 16 && (mask = octets_not_value(octets16(data + to - 16))) == 0)
        return to;
    if (size >= 8 && size < 16 && (octets_not_value(octets8(data + from)) & 0xff) == 0 &&
        (octets_not_value(octets8(data + to - 8)) & 0xff) == 0)
        return to;
#endif
    return octets_end(data, from, to, OCTET_VALUE);
}

/* octets_end() for OCTET_TOKEN. */
static inline size_t octets_token_end(const char *data, size_t from, size_t to)
{
#ifdef __SSE2__
    for (; from + 16 <= to; from += 16) {
        unsigned mask = octets_not_word(octets16(data + from));

        if (mask) {
            from += (unsigned)__builtin_ctz(mask);
            break;
        }
    }
#endif
    return octets_end(data, from, to, OCTET_TOKEN);
}

static inline bool span_is_token(Span s)
{
#ifdef __SSE2__
    if (s.size >= 8 && s.size < 16 && (octets_not_word(octets8(s.data)) & 0xff) == 0 &&
        (octets_not_word(octets8(s.data + s.size - 8)) & 0xff) == 0)
        return true;
#endif
    return s.size > 0 && octets_token_end(s.data, 0, s.size) == s.size;
}

/* Whether a token is this name, which is given in lower case and consists of letters, digits and '-' only:
 * those have bit 0x20 set, and no other octet of a token becomes one of them by setting it. */
static inline bool token_is(Span token, Span lower)
{
    uint64_t a, b;
    size_t i = 0;

    if (token.size != lower.size)
        return false;
    for (; i + sizeof a <= lower.size; i += sizeof a) {
        memcpy(&a, token.data + i, sizeof a);
        memcpy(&b, lower.data + i, sizeof b);
        if ((a | UINT64_C(0x2020202020202020)) != b)
            return false;
    }
    for (; i < lower.size; i++)
        if ((token.data[i] | 0x20) != lower.data[i])
            return false;
    return true;
}
#define TOKEN_IS(token, literal) token_is((token), SPAN_LITERAL(literal))

static inline bool octet_is_blank(char octet)
{
    return octet == ' ' || octet == '\t';
}

/* Without the OWS around it (RFC 9110 §5.6.3). */
static inline Span span_trim(Span s)
{
    while (s.size > 0 && octet_is_blank(s.data[s.size - 1]))
        s.size--;
    while (s.size > 0 && octet_is_blank(s.data[0]))
        s.data++, s.size--;
    return s;
}

/* Takes the first element off a comma-separated list, trimmed, maybe empty (RFC 9110 §5.6.1). False: there
 * was none left, which *list shows by data NULL. */
static inline bool list_next(Span *list, Span *ret)
{
    const char *comma;

    if (!list->data)
        return false;
    comma = list->size > 0 ? memchr(list->data, ',', list->size) : NULL;
    *ret = span_trim((Span){list->data, comma ? (size_t)(comma - list->data) : list->size});
    *list = comma ? (Span){comma + 1, list->size - (size_t)(comma + 1 - list->data)} : (Span){NULL, 0};
    return true;
}
