/* SPDX-License-Identifier: MIT */
/* The environ of a request (PEP 3333, RFC 3875): a copy of a base, and the header fields that are not in it. There are
 * two bases. The bare one has no fields. The full one has those of an earlier request, and serves requests with the
 * same names in the same order, as those of one client, or of many of a kind, are: a copy costs the same whatever is in
 * it, and ten fields put one by one as much as the rest of the environ. Which fields it has follows the requests,
 * slowly. */
#pragma once

#include "wsgi/environ-base.h"

#include "base/spool.h"

/* Of one request at a time. */
typedef struct Environs {
    EnvironBase bare, full; /* full.dict NULL: no request was worth it yet */
    unsigned n_misses;      /* requests since one that full was of use for */
} Environs;

/* All: 0, or -1 with an exception. */
int environs_init(Environs *e, const EnvironCache *cache, const EnvironConstants *constants);
void environs_clear(Environs *e);

/* Puts an object into each environ from now on: wsgi.input, wsgi.errors, wsgi.early_hints. */
int environs_set(Environs *e, const EnvironCache *cache, EnvironKey key, PyObject *value);

/* How many references to such an object are here. */
static inline Py_ssize_t environs_count(const Environs *e)
{
    return e->full.dict ? 2 : 1;
}

/* A new reference to a dict of its own, or NULL with an exception. body: NULL where it is not here as a
 * whole. */
PyObject *environ_new(Environs *e, EnvironCache *cache, const Request *request, const Spool *body,
                      const WsgiPeer *peer);
