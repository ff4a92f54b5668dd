/* SPDX-License-Identifier: MIT */
/* Strict numbers, sizes and durations. By hand, for strtoull() takes blanks and signs. */
#include "base/parse.h"

#include "base/cleanup.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

typedef struct Unit {
    const char *suffix;
    uint64_t factor;
} Unit;

/* Largest first: the first that divides a value is the one to print it with. */
static const Unit size_units[] = {
    {"T", UINT64_C(1) << 40},
    {"G", UINT64_C(1) << 30},
    {"M", UINT64_C(1) << 20},
    {"K", UINT64_C(1) << 10},
    {"", 1},
};
static const Unit duration_units[] = {
    {"d", 86400 * USEC_PER_SEC}, {"h", 3600 * USEC_PER_SEC}, {"min", 60 * USEC_PER_SEC},
    {"s", USEC_PER_SEC},         {"ms", USEC_PER_MSEC},      {"us", 1},
};

/* Reads the digits at *s, at least one, and moves *s behind them. On overflow too, so that what is malformed
 * is told apart from what does not fit; *ret is UINT64_MAX then and -ERANGE returned. */
static int parse_digits(const char **s, uint64_t *ret)
{
    uint64_t value = 0;
    const char *p = *s;
    int r = 0;

    for (; *p >= '0' && *p <= '9'; p++)
        if (__builtin_mul_overflow(value, (uint64_t)10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*p - '0'), &value))
            r = -ERANGE;
    if (p == *s)
        return -EINVAL;
    *s = p;
    *ret = r < 0 ? UINT64_MAX : value;
    return r;
}

/* The unit whose suffix is exactly the n bytes at s, or NULL. */
static const Unit *find_unit(const Unit *units, size_t n_units, const char *s, size_t n)
{
    for (size_t i = 0; i < n_units; i++)
        if (strlen(units[i].suffix) == n && memcmp(units[i].suffix, s, n) == 0)
            return &units[i];
    return NULL;
}

int parse_uint64(const char *s, uint64_t *ret)
{
    uint64_t value;
    int r = parse_digits(&s, &value);

    if (r == -EINVAL || *s)
        return -EINVAL;
    if (r < 0)
        return r;
    *ret = value;
    return 0;
}

int parse_port(Span s, uint16_t *ret)
{
    unsigned port = 0;

    for (size_t i = 0; i < s.size; i++) {
        if (s.data[i] < '0' || s.data[i] > '9')
            return -EINVAL;
        port = MIN(port * 10 + (unsigned)(s.data[i] - '0'), UINT16_MAX + 1U);
    }
    if (s.size == 0)
        return -EINVAL;
    if (port > UINT16_MAX)
        return -ERANGE;
    *ret = (uint16_t)port;
    return 0;
}

int parse_bool(const char *s, bool *ret)
{
    static const char *const words[][2] = {{"no", "yes"}, {"false", "true"}, {"off", "on"}, {"0", "1"}};

    for (size_t i = 0; i < ELEMENTSOF(words); i++)
        for (size_t value = 0; value < 2; value++)
            if (strcasecmp(s, words[i][value]) == 0) {
                *ret = value;
                return 0;
            }
    return -EINVAL;
}

int parse_size(const char *s, uint64_t *ret)
{
    uint64_t value;
    const Unit *unit;
    int r = parse_digits(&s, &value);

    if (r == -EINVAL)
        return r;
    unit = find_unit(size_units, ELEMENTSOF(size_units), s, strlen(s));
    if (!unit)
        return -EINVAL;
    if (r < 0 || __builtin_mul_overflow(value, unit->factor, &value))
        return -ERANGE;
    *ret = value;
    return 0;
}

/* One "5min", "5 min" or, where a number alone may stand, "5"; *s moves behind it. */
static int parse_term(const char **s, bool may_be_bare, usec_t *ret)
{
    const Unit *unit;
    const char *end;
    int r = parse_digits(s, ret);

    if (r == -EINVAL)
        return r;
    if (**s == '\0' && may_be_bare)
        return r < 0 || __builtin_mul_overflow(*ret, USEC_PER_SEC, ret) ? -ERANGE : 0;
    *s += strspn(*s, " ");
    end = *s;
    while (*end >= 'a' && *end <= 'z')
        end++;
    unit = find_unit(duration_units, ELEMENTSOF(duration_units), *s, (size_t)(end - *s));
    if (!unit)
        return -EINVAL;
    *s = end;
    return r < 0 || __builtin_mul_overflow(*ret, unit->factor, ret) ? -ERANGE : 0;
}

int parse_duration(const char *s, usec_t *ret)
{
    bool fits = true;
    usec_t sum = 0;

    for (const char *p = s;;) {
        usec_t term = 0;
        int r = parse_term(&p, p == s, &term);

        if (r == -EINVAL)
            return r;
        if (r < 0 || __builtin_add_overflow(sum, term, &sum))
            fits = false;
        if (*p == '\0')
            break;
        p += strspn(p, " ");
    }
    if (!fits)
        return -ERANGE;
    *ret = sum;
    return 0;
}

static char *format_value(char to[static FORMAT_VALUE_MAX], uint64_t value, const Unit *unit)
{
    while (value % unit->factor != 0)
        unit++;
    snprintf(to, FORMAT_VALUE_MAX, "%" PRIu64 "%s", value / unit->factor, unit->suffix);
    return to;
}

char *format_size(char to[static FORMAT_VALUE_MAX], uint64_t bytes)
{
    return bytes == 0 ? strcpy(to, "0") : format_value(to, bytes, size_units);
}

char *format_duration(char to[static FORMAT_VALUE_MAX], usec_t usec)
{
    return usec == 0 ? strcpy(to, "0") : format_value(to, usec, duration_units);
}
