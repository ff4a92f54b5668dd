/* SPDX-License-Identifier: MIT */
/* The environ of a request (PEP 3333, RFC 3875): a copy of a base that already holds what seldom changes, and
 * the header fields. */
#pragma once

#include "wsgi/python.h"

#include "base/spool.h"
#include "http/known-lines.h"
#include "wsgi/call.h"
#include "wsgi/header-names.h"

#include <stdbool.h>

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
    N_CACHED_KEYS, /* the base remembers the values of those above */
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

/* What became of the KnownLine with that id. */
typedef struct KnownField {
    uint64_t line;
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

/* Of one request at a time. */
typedef struct EnvironBase {
    PyObject *dict;
    Span values[N_CACHED_KEYS]; /* octets of those in dict; data NULL: not in it */
    bool https;
} EnvironBase;

/* What is the same in every environ of the process. Borrowed. */
typedef struct EnvironConstants {
    bool multithread;
    bool multiprocess;
    PyObject *file_wrapper;
} EnvironConstants;

/* NULL with an exception. */
EnvironCache *environ_cache_new(void);
EnvironCache *environ_cache_free(EnvironCache *cache);

/* All: 0, or -1 with an exception. */
int environ_base_init(EnvironBase *base, const EnvironCache *cache, const EnvironConstants *constants);
void environ_base_clear(EnvironBase *base);

/* Puts an object into the base: wsgi.input, wsgi.errors, wsgi.early_hints. */
int environ_base_set(EnvironBase *base, const EnvironCache *cache, EnvironKey key, PyObject *value);

/* A new reference to a dict of its own, or NULL with an exception. body: NULL where it is not here as a
 * whole. */
PyObject *environ_new(EnvironBase *base, EnvironCache *cache, const Request *request, const Spool *body,
                      const WsgiPeer *peer);
