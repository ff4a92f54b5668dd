/* SPDX-License-Identifier: MIT */
/* Builds environs: chooses the base, and adds to its copy. */
#include "wsgi/environ.h"

/* Requests in a row that the full base is of no use for, before it is made anew: what that costs does not show then,
 * even if no two requests are alike. */
#define MISSES_MAX 8

/* --- fields --- */

static int join_field(PyObject *environ, const KnownField *f)
{
    PyObject *former = PyDict_GetItemWithError(environ, f->key);
    _cleanup_decref_ PyObject *joined = NULL;

    if (!former)
        return -1;
    joined = PyUnicode_FromFormat(f->kind == HEADER_COOKIE ? "%U; %U" : "%U, %U", former, f->value);
    return joined ? PyDict_SetItem(environ, f->key, joined) : -1;
}

/* Each of these: 0; 1 where there was a field of that name, to whose value this one was added; -1 with an exception. */

static int put_field(PyObject *environ, const KnownField *f)
{
    Py_ssize_t n_keys = PyDict_GET_SIZE(environ);

    if (f->kind == HEADER_SKIP)
        return 0;
    if (!PyDict_SetDefault(environ, f->key, f->value))
        return -1;
    if (PyDict_GET_SIZE(environ) > n_keys)
        return 0;
    return join_field(environ, f) < 0 ? -1 : 1;
}

static int add_new_field(PyObject *environ, EnvironCache *cache, const Field *field)
{
    KnownField f = {0};
    int r = known_field_fill(&f, cache, field);

    if (r == 0)
        r = put_field(environ, &f);
    known_field_clear(&f);
    return r;
}

static int add_field(PyObject *environ, EnvironCache *cache, const Field *field)
{
    const KnownField *f;

    if (field->line == 0)
        return add_new_field(environ, cache, field);
    f = environ_cache_known_field(cache, field);
    return f ? put_field(environ, f) : -1;
}

/* Likewise, of any of them. only_new: what has a known line is there. */
static int add_fields(PyObject *environ, EnvironCache *cache, const Request *request, bool only_new)
{
    int is_joined = 0;

    for (const Field *f = request->fields; f < request->fields + request->n_fields; f++) {
        int r = only_new && f->line != 0 ? 0 : add_field(environ, cache, f);

        if (r < 0)
            return r;
        is_joined |= r;
    }
    return is_joined;
}

/* --- from a base --- */

static PyObject *environ_from_bare(Environs *e, EnvironCache *cache, const Request *request,
                                   const WsgiPeer *peer)
{
    _cleanup_decref_ PyObject *environ = NULL;

    if (environ_base_sync(&e->bare, cache, request, peer) < 0)
        return NULL;
    environ = PyDict_Copy(e->bare.dict);
    if (!environ || add_fields(environ, cache, request, false) < 0)
        return NULL;
    return TAKE_PTR(environ);
}

/* Whether there is a full base for the request: 1, 0, -1 with an exception. */
static int find_full(Environs *e, EnvironCache *cache, const Request *request)
{
    int r = environ_base_match(&e->full, cache, request);

    if (r == 0 && e->n_misses++ >= MISSES_MAX) {
        e->n_misses = 0;
        r = environ_base_learn(&e->full, &e->bare, cache, request);
    }
    return r;
}

/* 0 with an environ, or with NULL where there is no base for it; -1 with an exception. */
static int environ_from_full(Environs *e, EnvironCache *cache, const Request *request, const WsgiPeer *peer,
                             PyObject **ret)
{
    _cleanup_decref_ PyObject *environ = NULL;
    int r = find_full(e, cache, request);

    *ret = NULL;
    if (r <= 0)
        return r;
    if (environ_base_sync(&e->full, cache, request, peer) < 0)
        return -1;
    environ = PyDict_Copy(e->full.dict);
    if (!environ)
        return -1;
    r = add_fields(environ, cache, request, true);
    if (r != 0) /* 1: the values may have been joined in another order than they came in */
        return r < 0 ? r : 0;
    e->n_misses = 0;
    *ret = TAKE_PTR(environ);
    return 0;
}

/* --- all of it --- */

/* Content-Length as the server understood it; of a chunked body, what it turned out to be, if it is here already. */
static int add_content_length(PyObject *environ, const EnvironCache *cache, const Request *request,
                              const Spool *body)
{
    uint64_t length = (uint64_t)request->content_length;
    char room[SPAN_DECIMAL_SIZE];
    _cleanup_decref_ PyObject *string = NULL;

    if (request->chunked ? !body : request->content_length < 0)
        return 0;
    if (request->chunked)
        length = spool_size(body);
    string = latin1_new(span_decimal(length, room)); /* PyUnicode_FromFormat() takes ten times as long */
    return string ? PyDict_SetItem(environ, cache->keys[KEY_CONTENT_LENGTH], string) : -1;
}

static int put_path(PyObject *environ, const EnvironCache *cache, EnvironKey key, Span path)
{
    _cleanup_decref_ PyObject *value = environ_path_new(path);

    return value ? PyDict_SetItem(environ, cache->keys[key], value) : -1;
}

/* Not in the base, since few sites live below a prefix. */
static int add_script_name(PyObject *environ, const EnvironCache *cache, Span path, Span prefix)
{
    if (prefix.size == 0)
        return 0;
    if (put_path(environ, cache, KEY_SCRIPT_NAME, prefix) < 0)
        return -1;
    if (path.size < prefix.size || !span_equal((Span){path.data, prefix.size}, prefix) ||
        (path.size > prefix.size && path.data[prefix.size] != '/'))
        return 0; /* the proxy has cut it off */
    return put_path(environ, cache, KEY_PATH_INFO, (Span){path.data + prefix.size, path.size - prefix.size});
}

PyObject *environ_new(Environs *e, EnvironCache *cache, const Request *request, const Spool *body,
                      const WsgiPeer *peer)
{
    _cleanup_decref_ PyObject *environ = NULL;

    if (environ_from_full(e, cache, request, peer, &environ) < 0)
        return NULL;
    if (!environ)
        environ = environ_from_bare(e, cache, request, peer);
    if (!environ || add_content_length(environ, cache, request, body) < 0 ||
        add_script_name(environ, cache, request->path, peer->script_name) < 0)
        return NULL;
    return TAKE_PTR(environ);
}

/* --- made once --- */

int environs_init(Environs *e, const EnvironCache *cache, const EnvironConstants *constants)
{
    *e = (Environs){0};
    return environ_base_init(&e->bare, cache, constants);
}

void environs_clear(Environs *e)
{
    environ_base_clear(&e->bare);
    environ_base_clear(&e->full);
}

int environs_set(Environs *e, const EnvironCache *cache, EnvironKey key, PyObject *value)
{
    if (e->full.dict && environ_base_set(&e->full, cache, key, value) < 0)
        return -1;
    return environ_base_set(&e->bare, cache, key, value);
}
