/* SPDX-License-Identifier: MIT */
/* Splits the format of an access log line. Python's % formatting as far as gunicorn's formats use it: %(x)s
 * and %%. */
#include "base/access-format.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Of "({name}i)s", behind the '%'. Returns the length, 0 where it is none of these. */
static size_t parse_named(const char *s, AccessAtom *ret)
{
    const char *name, *end;

    if (strncmp(s, "({", 2) != 0)
        return 0;
    name = s + 2;
    end = name;
    while ((unsigned char)*end > ' ' && *end != '}')
        end++;
    if (end == name || *end != '}')
        return 0;
    switch (end[1]) {
    case 'i':
        ret->type = ACCESS_REQUEST_FIELD;
        break;
    case 'o':
        ret->type = ACCESS_RESPONSE_FIELD;
        break;
    case 'e':
        ret->type = ACCESS_ENVIRON;
        break;
    default:
        return 0;
    }
    ret->text = (Span){name, (size_t)(end - name)};
    return strncmp(end + 2, ")s", 2) == 0 ? (size_t)(end + 4 - s) : 0;
}

/* Of "(x)s", behind the '%'. */
static size_t parse_plain(const char *s, AccessAtom *ret)
{
    if (s[0] != '(' || s[1] == '\0' || !strchr("hlutrsmUqHbBfaTDMLp", s[1]) || strncmp(s + 2, ")s", 2) != 0)
        return 0;
    ret->type = ACCESS_ATOM;
    ret->atom = s[1];
    return 4;
}

/* The atom that starts at s, which is not at its end; returns its length, 0 where it is bad. */
static size_t parse_atom(const char *s, AccessAtom *ret)
{
    size_t n;

    *ret = (AccessAtom){.type = ACCESS_LITERAL};
    if (s[0] == '%' && s[1] == '%') {
        ret->text = (Span){s, 1};
        return 2;
    }
    if (s[0] == '%') {
        n = parse_plain(s + 1, ret);
        if (n == 0)
            n = parse_named(s + 1, ret);
        return n == 0 ? 0 : n + 1;
    }
    /* A line break within a literal would make two lines of one. */
    for (n = 0; s[n] && s[n] != '%' && ((unsigned char)s[n] >= ' ' || s[n] == '\t'); n++)
        ;
    ret->text = (Span){s, n};
    return n;
}

/* Fills atoms unless it is NULL; counts them in any case. */
static int parse_all(const char *format, AccessAtom *atoms, size_t *ret_n, const char **ret_bad)
{
    AccessAtom atom;
    size_t n = 0;

    for (const char *s = format; *s; n++) {
        size_t size = parse_atom(s, &atom);

        if (size == 0) {
            *ret_bad = s;
            return -EINVAL;
        }
        if (atoms)
            atoms[n] = atom;
        s += size;
    }
    *ret_n = n;
    return 0;
}

int access_format_parse(const char *format, AccessFormat **ret, const char **ret_bad)
{
    _cleanup_(access_format_freep) AccessFormat *f = NULL;
    size_t n;
    int r;

    r = parse_all(format, NULL, &n, ret_bad);
    if (r < 0)
        return r;
    f = malloc(sizeof(*f) + n * sizeof(f->atoms[0]));
    if (!f)
        return -ENOMEM;
    f->format = strdup(format);
    if (!f->format)
        return -ENOMEM;
    parse_all(f->format, f->atoms, &f->n_atoms, ret_bad);
    *ret = TAKE_PTR(f);
    return 0;
}

AccessFormat *access_format_free(AccessFormat *f)
{
    if (f)
        free(f->format);
    free(f);
    return NULL;
}
