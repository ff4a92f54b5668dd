/* SPDX-License-Identifier: MIT */
/* NULL-terminated arrays of owned strings. NULL is the empty one. */
#pragma once

#include "base/cleanup.h"

#include <stddef.h>

char **strv_free(char **v);
size_t strv_length(char *const *v);

/* Appends a copy of n bytes of s. *v may move. 0 or -ENOMEM. */
int strv_append(char ***v, const char *s, size_t n);

static inline void strv_freep(char ***v)
{
    strv_free(*v);
}
#define _cleanup_strv_ _cleanup_(strv_freep)
