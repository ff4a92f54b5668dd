/* SPDX-License-Identifier: MIT */
/* What an environ is copied from: a dict with what seldom changes from one request to the next, which is compared
 * instead of made anew. It may have fields of a request as well: those of known lines, never one of a client alone
 * (known-lines.h). */
#pragma once

#include "wsgi/python.h"

#include "wsgi/call.h"
#include "wsgi/environ-cache.h"

#include <stdbool.h>

#define BASE_FIELDS_MAX 32

typedef struct BaseField {
    uint64_t line;
    PyObject *key; /* borrowed from the dict; NULL: HEADER_SKIP, it is not in there */
} BaseField;

/* Of one request at a time. */
typedef struct EnvironBase {
    PyObject *dict;             /* NULL: there is no such base */
    uint64_t request_line;      /* known, and what follows from it is in dict; or 0 */
    Span values[N_CACHED_KEYS]; /* octets of those in dict; data NULL: not in it */
    bool https;
    size_t n_fields;
    BaseField fields[BASE_FIELDS_MAX]; /* in the order of the request's; no two with the same key */
} EnvironBase;

/* What is the same in every environ of the process. Borrowed. */
typedef struct EnvironConstants {
    bool multithread;
    bool multiprocess;
    PyObject *file_wrapper;
} EnvironConstants;

/* All: 0, or -1 with an exception. */
int environ_base_init(EnvironBase *base, const EnvironCache *cache, const EnvironConstants *constants);
void environ_base_clear(EnvironBase *base);

/* Puts an object into the base: wsgi.input, wsgi.errors, wsgi.early_hints. */
int environ_base_set(EnvironBase *base, const EnvironCache *cache, EnvironKey key, PyObject *value);

/* Makes it that of this request, but for the fields. */
int environ_base_sync(EnvironBase *base, EnvironCache *cache, const Request *r, const WsgiPeer *peer);

/* Replaces to by a copy of from with the fields of r that have known lines. 1: done. 0: they can't be in a base, which
 * to then is not: too many, or one key twice. */
int environ_base_learn(EnvironBase *to, const EnvironBase *from, EnvironCache *cache, const Request *r);

/* Whether the fields of r that have known lines, and no others, are those of base: the same names in the same order.
 * Then (1) it has the values of r from here on. 0: not. */
int environ_base_match(EnvironBase *base, EnvironCache *cache, const Request *r);

/* A str of it, decoded; or NULL with an exception. */
PyObject *environ_path_new(Span path);
