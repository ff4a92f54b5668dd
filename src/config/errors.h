/* SPDX-License-Identifier: MIT */
/* The errors found in one configuration, a line each: all of them are collected, so that an administrator
 * mends a file in one go. */
#pragma once

#include "base/buffer.h"
#include "config/config.h"

typedef struct Errors {
    Buffer text;
    int result; /* 0, or -ENOMEM: the text is not whole */
} Errors;

/* Where a value comes from: a line of a file, a file as a whole (line 0), or the command line (filename
 * NULL). */
typedef struct Origin {
    const char *filename;
    unsigned line;
} Origin;

/* Adds "FILE:LINE: section.key: …" or, without an option, "FILE:LINE: …"; "--set " for the command line. */
void errors_add(Errors *e, Origin at, const ConfigOption *o, const char *format, ...)
    __attribute__((__format__(__printf__, 4, 5)));

/* A piece of text fit for an error message: in quotes, escaped, cut where it is long. Returns to. */
#define QUOTE_MAX 96
char *errors_quote(char to[static QUOTE_MAX], const char *s, size_t size);
