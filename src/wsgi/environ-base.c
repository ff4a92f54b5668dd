/* SPDX-License-Identifier: MIT */
/* What an environ is copied from. */
#include "wsgi/environ-base.h"

#include "http/target.h"

#include <stdlib.h>
#include <string.h>

/* --- what seldom changes --- */

/* Takes over the reference to value. */
static int base_put(EnvironBase *base, const EnvironCache *cache, EnvironKey key, PyObject *value)
{
    int r = value ? PyDict_SetItem(base->dict, cache->keys[key], value) : -1;

    if (r == 0)
        base->values[key] = latin1_span(value);
    Py_XDECREF(value);
    return r;
}

static bool base_has(const EnvironBase *base, EnvironKey key, Span text)
{
    return base->values[key].data && span_equal(base->values[key], text);
}

static int base_sync(EnvironBase *base, const EnvironCache *cache, EnvironKey key, Span text)
{
    return base_has(base, key, text) ? 0 : base_put(base, cache, key, latin1_new(text));
}

static int base_drop(EnvironBase *base, const EnvironCache *cache, EnvironKey key)
{
    if (!base->values[key].data)
        return 0;
    base->values[key] = (Span){NULL, 0};
    return PyDict_DelItem(base->dict, cache->keys[key]);
}

static int base_sync_port(EnvironBase *base, EnvironCache *cache, Span text)
{
    if (text.size == 0)
        return base_drop(base, cache, KEY_REMOTE_PORT);
    return base_has(base, KEY_REMOTE_PORT, text)
               ? 0
               : base_put(base, cache, KEY_REMOTE_PORT, environ_cache_port(cache, text));
}

PyObject *environ_path_new(Span path)
{
    _cleanup_free_ char *decoded = NULL;

    if (path.size == 0 || !memchr(path.data, '%', path.size))
        return latin1_new(path);
    decoded = malloc(path.size);
    if (!decoded)
        return PyErr_NoMemory();
    return latin1_new((Span){decoded, target_decode_path(path, decoded)});
}

/* RAW_URI stands for the keys that follow from it. */
static int base_sync_target(EnvironBase *base, const EnvironCache *cache, const Request *r)
{
    _cleanup_decref_ PyObject *target = NULL;

    if (base_has(base, KEY_RAW_URI, r->target))
        return 0;
    base->values[KEY_RAW_URI] = (Span){NULL, 0};
    target = latin1_new(r->target);
    if (!target || PyDict_SetItem(base->dict, cache->keys[KEY_REQUEST_URI], target) < 0 ||
        base_put(base, cache, KEY_PATH_INFO, environ_path_new(r->path)) < 0 ||
        base_sync(base, cache, KEY_QUERY_STRING, r->query) < 0)
        return -1;
    return base_put(base, cache, KEY_RAW_URI, Py_NewRef(target));
}

static int base_sync_scheme(EnvironBase *base, const EnvironCache *cache, bool https)
{
    _cleanup_decref_ PyObject *scheme = NULL;

    if (base->https == https)
        return 0;
    scheme = PyUnicode_InternFromString(https ? "https" : "http");
    if (!scheme || PyDict_SetItem(base->dict, cache->keys[KEY_URL_SCHEME], scheme) < 0)
        return -1;
    base->https = https;
    return 0;
}

/* What is known was the same octets. */
static int base_sync_line(EnvironBase *base, const EnvironCache *cache, const Request *r)
{
    Span protocol = r->version_minor == 0 ? SPAN_LITERAL("HTTP/1.0") : SPAN_LITERAL("HTTP/1.1");

    if (r->line != 0 && base->request_line == r->line)
        return 0;
    base->request_line = 0;
    if (base_sync(base, cache, KEY_REQUEST_METHOD, r->method) < 0 || base_sync_target(base, cache, r) < 0 ||
        base_sync(base, cache, KEY_SERVER_PROTOCOL, protocol) < 0)
        return -1;
    base->request_line = r->line;
    return 0;
}

int environ_base_sync(EnvironBase *base, EnvironCache *cache, const Request *r, const WsgiPeer *peer)
{
    Span host = peer->host.size > 0 ? peer->host : r->host;

    if (base_sync_line(base, cache, r) < 0 ||
        base_sync(base, cache, KEY_SERVER_NAME, peer->server_name) < 0 ||
        base_sync(base, cache, KEY_SERVER_PORT, peer->server_port) < 0 ||
        base_sync(base, cache, KEY_REMOTE_ADDR, peer->remote_addr) < 0 ||
        base_sync_port(base, cache, peer->remote_port) < 0 ||
        (host.size > 0 ? base_sync(base, cache, KEY_HTTP_HOST, host)
                       : base_drop(base, cache, KEY_HTTP_HOST)) < 0)
        return -1;
    return base_sync_scheme(base, cache, peer->https);
}

/* --- fields --- */

/* 1: it is one more. 0: it can't be. */
static int base_add_field(EnvironBase *base, EnvironCache *cache, const Field *field)
{
    const KnownField *f = environ_cache_known_field(cache, field);
    Py_ssize_t n_keys = PyDict_GET_SIZE(base->dict);

    if (!f)
        return -1;
    if (base->n_fields == BASE_FIELDS_MAX)
        return 0;
    if (f->key && !PyDict_SetDefault(base->dict, f->key, f->value))
        return -1;
    if (f->key && PyDict_GET_SIZE(base->dict) == n_keys)
        return 0;
    base->fields[base->n_fields++] = (BaseField){f->line, f->key};
    return 1;
}

int environ_base_learn(EnvironBase *to, const EnvironBase *from, EnvironCache *cache, const Request *r)
{
    int is_done = 1;

    environ_base_clear(to);
    *to = *from;
    to->dict = PyDict_Copy(from->dict);
    if (!to->dict)
        return -1;
    for (size_t i = 0; i < r->n_fields && is_done > 0; i++)
        if (r->fields[i].line != 0)
            is_done = base_add_field(to, cache, &r->fields[i]);
    if (is_done <= 0)
        environ_base_clear(to);
    return is_done;
}

/* 1: the place has the value of this field now. 0: it is for another name. */
static int base_exchange_field(EnvironBase *base, size_t place, EnvironCache *cache, const Field *field)
{
    const KnownField *f = environ_cache_known_field(cache, field);
    BaseField *b = &base->fields[place];

    if (!f)
        return -1;
    if (b->key != f->key)
        return 0;
    if (f->key && PyDict_SetItem(base->dict, f->key, f->value) < 0)
        return -1;
    b->line = f->line;
    return 1;
}

int environ_base_match(EnvironBase *base, EnvironCache *cache, const Request *r)
{
    size_t n = 0;

    if (!base->dict)
        return 0;
    for (const Field *f = r->fields; f < r->fields + r->n_fields; f++) {
        int is_it = 1;

        if (f->line == 0)
            continue;
        if (n == base->n_fields)
            return 0;
        if (base->fields[n].line != f->line)
            is_it = base_exchange_field(base, n, cache, f);
        if (is_it <= 0)
            return is_it;
        n++;
    }
    return n == base->n_fields;
}

/* --- made once --- */

static int set_new(PyObject *dict, const char *key, PyObject *value)
{
    int r = value ? PyDict_SetItemString(dict, key, value) : -1;

    Py_XDECREF(value);
    return r;
}

/* A copy has the size of the table that it is copied from. A few more keys for a moment make CPython's dict
 * grow from 21 places to 42, which leaves room for the fields of nearly every request. */
static int make_room(PyObject *dict)
{
    static const char *const keys[] = {" 1", " 2", " 3", " 4"};

    for (size_t i = 0; i < ELEMENTSOF(keys); i++)
        if (PyDict_SetItemString(dict, keys[i], Py_None) < 0)
            return -1;
    for (size_t i = 0; i < ELEMENTSOF(keys); i++)
        if (PyDict_DelItemString(dict, keys[i]) < 0)
            return -1;
    return 0;
}

int environ_base_init(EnvironBase *base, const EnvironCache *cache, const EnvironConstants *constants)
{
    PyObject *d = PyDict_New();

    *base = (EnvironBase){.dict = d};
    if (!d || set_new(d, "SCRIPT_NAME", PyUnicode_FromString("")) < 0 ||
        set_new(d, "SERVER_SOFTWARE", PyUnicode_FromString("cgunicorn/" PACKAGE_VERSION)) < 0 ||
        set_new(d, "wsgi.version", Py_BuildValue("(ii)", 1, 0)) < 0 ||
        set_new(d, "wsgi.multithread", PyBool_FromLong(constants->multithread)) < 0 ||
        set_new(d, "wsgi.multiprocess", PyBool_FromLong(constants->multiprocess)) < 0 ||
        set_new(d, "wsgi.run_once", Py_NewRef(Py_False)) < 0 ||
        set_new(d, "wsgi.input_terminated", Py_NewRef(Py_True)) < 0 ||
        set_new(d, "wsgi.file_wrapper", Py_NewRef(constants->file_wrapper)) < 0 ||
        set_new(d, "wsgi.url_scheme", PyUnicode_InternFromString("http")) < 0)
        return -1;
    for (EnvironKey key = 0; key < N_CACHED_KEYS; key++)
        if (base_sync(base, cache, key, SPAN_LITERAL("")) < 0)
            return -1;
    return make_room(d);
}

void environ_base_clear(EnvironBase *base)
{
    Py_CLEAR(base->dict);
}

int environ_base_set(EnvironBase *base, const EnvironCache *cache, EnvironKey key, PyObject *value)
{
    return PyDict_SetItem(base->dict, cache->keys[key], value);
}
