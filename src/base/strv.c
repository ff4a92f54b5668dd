/* SPDX-License-Identifier: MIT */
/* Arrays of strings, short ones: the length is counted, not kept. */
#include "base/strv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

char **strv_free(char **v)
{
    for (char **s = v; s && *s; s++)
        free(*s);
    free(v);
    return NULL;
}

size_t strv_length(char *const *v)
{
    size_t n = 0;

    while (v && v[n])
        n++;
    return n;
}

int strv_append(char ***v, const char *s, size_t n)
{
    _cleanup_free_ char *copy = malloc(n + 1);
    size_t length = strv_length(*v);
    char **grown;

    if (!copy)
        return -ENOMEM;
    if (n > 0)
        memcpy(copy, s, n);
    copy[n] = '\0';

    grown = reallocarray(*v, length + 2, sizeof(char *));
    if (!grown)
        return -ENOMEM;
    grown[length] = TAKE_PTR(copy);
    grown[length + 1] = NULL;
    *v = grown;
    return 0;
}
