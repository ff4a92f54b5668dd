/* SPDX-License-Identifier: MIT */
/* The format of an access log line, gunicorn's atoms: parsed here, so that a wrong one is an error of the
 * configuration; filled in by worker/access-log. */
#pragma once

#include "base/cleanup.h"
#include "base/span.h"

#include <stddef.h>

typedef enum AccessAtomType {
    ACCESS_LITERAL,        /* text */
    ACCESS_ATOM,           /* atom: one of "h l u t r s m U q H b B f a T D M L p" */
    ACCESS_REQUEST_FIELD,  /* %({name}i)s */
    ACCESS_RESPONSE_FIELD, /* %({name}o)s */
    ACCESS_ENVIRON,        /* %({NAME}e)s: what the server itself puts into the environ */
} AccessAtomType;

typedef struct AccessAtom {
    AccessAtomType type;
    char atom;
    Span text; /* of a literal or a name; points into the format */
} AccessAtom;

typedef struct AccessFormat {
    char *format; /* own copy, "%%" in literals resolved by splitting */
    size_t n_atoms;
    AccessAtom atoms[];
} AccessFormat;

/* The caller owns *ret. 0, -ENOMEM, or -EINVAL with *ret_bad = where the first bad atom starts in format. */
int access_format_parse(const char *format, AccessFormat **ret, const char **ret_bad);
AccessFormat *access_format_free(AccessFormat *f);
DEFINE_CLEANUP(AccessFormat, access_format)
