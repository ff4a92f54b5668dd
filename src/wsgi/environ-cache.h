/* SPDX-License-Identifier: MIT */
/* The objects of which environs are made, and which the next one can have again: keys, values of known lines, ports. */
#pragma once

#include "wsgi/python.h"

#include "http/known-lines.h"
#include "wsgi/header-names.h"

typedef enum EnvironKey {
    KEY_REQUEST_METHOD,
    KEY_RAW_URI, /* the target as sent; REQUEST_URI is the same object */
    KEY_PATH_INFO,
    KEY_QUERY_STRING,
    KEY_SERVER_PROTOCOL,
    KEY_SERVER_NAME,
    KEY_SERVER_PORT,
    KEY_REMOTE_ADDR,
    KEY_REMOTE_PORT,
    KEY_HTTP_HOST,
    N_CACHED_KEYS, /* a base remembers the values of those above */
    KEY_REQUEST_URI = N_CACHED_KEYS,
    KEY_SCRIPT_NAME,
    KEY_URL_SCHEME,
    KEY_INPUT,
    KEY_ERRORS,
    KEY_EARLY_HINTS,
    KEY_CONTENT_LENGTH,
    N_KEYS,
} EnvironKey;

/* Clients that take turns each have a port of their own. */
#define ENVIRON_PORTS_MAX 128

/* A field as the environ has it. */
typedef struct KnownField {
    uint64_t line;         /* 0: of none that is known */
    PyObject *key, *value; /* NULL for HEADER_SKIP */
    HeaderKind kind;
} KnownField;

/* Of a process; where there is no GIL, of one request at a time as well (slot.h). */
typedef struct EnvironCache {
    PyObject *keys[N_KEYS];             /* interned */
    PyObject *ports[ENVIRON_PORTS_MAX]; /* values of REMOTE_PORT, by their last digits; NULL: free */
    HeaderNames names;
    KnownField fields[KNOWN_LINES_MAX];
} EnvironCache;

/* NULL with an exception. */
EnvironCache *environ_cache_new(void);
EnvironCache *environ_cache_free(EnvironCache *cache);

/* Makes a zero-initialised one, or what is left of another. 0, or -1 with an exception; in any case known_field_clear()
 * frees. */
int known_field_fill(KnownField *f, EnvironCache *cache, const Field *field);
void known_field_clear(KnownField *f);

/* That of a field whose line is known: valid until the next call. NULL with an exception. */
static inline const KnownField *environ_cache_known_field(EnvironCache *cache, const Field *field)
{
    KnownField *f = &cache->fields[field->line % KNOWN_LINES_MAX];

    return f->line == field->line || known_field_fill(f, cache, field) == 0 ? f : NULL;
}

/* The value of REMOTE_PORT for these digits: a new reference, or NULL with an exception. */
PyObject *environ_cache_port(EnvironCache *cache, Span digits);
