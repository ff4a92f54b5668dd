/* SPDX-License-Identifier: MIT */
/* Builds environs. What seldom changes from one request to the next is compared with the base instead of made anew; fields
 * whose lines are known are the objects of last time, names of others are looked up as they were written. All str are
 * Latin-1 (PEP 3333, "Unicode Issues"). */
#include "wsgi/environ.h"

#include "http/target.h"

#include <stdlib.h>
#include <string.h>

static const char *const key_names[N_KEYS] = {
    [KEY_REQUEST_METHOD] = "REQUEST_METHOD",
    [KEY_RAW_URI] = "RAW_URI",
    [KEY_PATH_INFO] = "PATH_INFO",
    [KEY_QUERY_STRING] = "QUERY_STRING",
    [KEY_SERVER_PROTOCOL] = "SERVER_PROTOCOL",
    [KEY_SERVER_NAME] = "SERVER_NAME",
    [KEY_SERVER_PORT] = "SERVER_PORT",
    [KEY_REMOTE_ADDR] = "REMOTE_ADDR",
    [KEY_REMOTE_PORT] = "REMOTE_PORT",
    [KEY_HTTP_HOST] = "HTTP_HOST",
    [KEY_REQUEST_URI] = "REQUEST_URI",
    [KEY_SCRIPT_NAME] = "SCRIPT_NAME",
    [KEY_URL_SCHEME] = "wsgi.url_scheme",
    [KEY_INPUT] = "wsgi.input",
    [KEY_ERRORS] = "wsgi.errors",
    [KEY_EARLY_HINTS] = "wsgi.early_hints",
    [KEY_CONTENT_LENGTH] = "CONTENT_LENGTH",
};

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

static int put_field(PyObject *environ, const KnownField *f)
{
    Py_ssize_t n_keys = PyDict_GET_SIZE(environ);

    if (f->kind == HEADER_SKIP)
        return 0;
    if (!PyDict_SetDefault(environ, f->key, f->value))
        return -1;
    return PyDict_GET_SIZE(environ) > n_keys ? 0 : join_field(environ, f);
}

static void known_field_clear(KnownField *f)
{
    Py_CLEAR(f->key);
    Py_CLEAR(f->value);
    f->line = 0;
}

static int known_field_fill(KnownField *f, EnvironCache *cache, const Field *field)
{
    const HeaderName *n = header_names_find(&cache->names, field->name);

    known_field_clear(f);
    if (!n)
        return -1;
    f->kind = n->kind;
    if (n->kind != HEADER_SKIP) {
        f->key = Py_NewRef(n->key);
        f->value = latin1_new(field->value);
        if (!f->value)
            return -1;
    }
    f->line = field->line;
    return 0;
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
    KnownField *f = &cache->fields[field->line % KNOWN_LINES_MAX];

    if (field->line == 0)
        return add_new_field(environ, cache, field);
    if (f->line != field->line && known_field_fill(f, cache, field) < 0)
        return -1;
    return put_field(environ, f);
}

/* Content-Length as the server understood it; of a chunked body, what it turned out to be, if it is here already. */
static int add_content_length(PyObject *environ, const EnvironCache *cache, const Request *request,
                              const Spool *body)
{
    unsigned long long length = (unsigned long long)request->content_length;
    _cleanup_decref_ PyObject *string = NULL;

    if (request->chunked ? !body : request->content_length < 0)
        return 0;
    if (request->chunked)
        length = spool_size(body);
    string = PyUnicode_FromFormat("%llu", length);
    return string ? PyDict_SetItem(environ, cache->keys[KEY_CONTENT_LENGTH], string) : -1;
}

/* --- the base --- */

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

/* text: digits. */
static PyObject *port_new(EnvironCache *cache, Span text)
{
    PyObject **place, *port;
    unsigned number = 0;

    for (size_t i = 0; i < text.size; i++)
        number = number * 10 + (unsigned)(text.data[i] - '0');
    place = &cache->ports[number % ENVIRON_PORTS_MAX];
    if (*place && latin1_equals(*place, text))
        return Py_NewRef(*place);
    port = latin1_new(text);
    if (port)
        Py_XSETREF(*place, Py_NewRef(port));
    return port;
}

static int base_sync_port(EnvironBase *base, EnvironCache *cache, Span text)
{
    if (text.size == 0)
        return base_drop(base, cache, KEY_REMOTE_PORT);
    return base_has(base, KEY_REMOTE_PORT, text)
               ? 0
               : base_put(base, cache, KEY_REMOTE_PORT, port_new(cache, text));
}

static PyObject *path_new(Span path)
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
        base_put(base, cache, KEY_PATH_INFO, path_new(r->path)) < 0 ||
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

static int base_sync_request(EnvironBase *base, EnvironCache *cache, const Request *r, const WsgiPeer *peer)
{
    Span host = peer->host.size > 0 ? peer->host : r->host;
    Span protocol = r->version_minor == 0 ? SPAN_LITERAL("HTTP/1.0") : SPAN_LITERAL("HTTP/1.1");

    if (base_sync(base, cache, KEY_REQUEST_METHOD, r->method) < 0 || base_sync_target(base, cache, r) < 0 ||
        base_sync(base, cache, KEY_SERVER_PROTOCOL, protocol) < 0 ||
        base_sync(base, cache, KEY_SERVER_NAME, peer->server_name) < 0 ||
        base_sync(base, cache, KEY_SERVER_PORT, peer->server_port) < 0 ||
        base_sync(base, cache, KEY_REMOTE_ADDR, peer->remote_addr) < 0 ||
        base_sync_port(base, cache, peer->remote_port) < 0 ||
        (host.size > 0 ? base_sync(base, cache, KEY_HTTP_HOST, host)
                       : base_drop(base, cache, KEY_HTTP_HOST)) < 0)
        return -1;
    return base_sync_scheme(base, cache, peer->https);
}

/* --- all of it --- */

static int put_path(PyObject *environ, const EnvironCache *cache, EnvironKey key, Span path)
{
    _cleanup_decref_ PyObject *value = path_new(path);

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

PyObject *environ_new(EnvironBase *base, EnvironCache *cache, const Request *request, const Spool *body,
                      const WsgiPeer *peer)
{
    _cleanup_decref_ PyObject *environ = NULL;

    if (base_sync_request(base, cache, request, peer) < 0)
        return NULL;
    environ = PyDict_Copy(base->dict);
    if (!environ)
        return NULL;
    for (size_t i = 0; i < request->n_fields; i++)
        if (add_field(environ, cache, &request->fields[i]) < 0)
            return NULL;
    if (add_content_length(environ, cache, request, body) < 0 ||
        add_script_name(environ, cache, request->path, peer->script_name) < 0)
        return NULL;
    return TAKE_PTR(environ);
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

EnvironCache *environ_cache_free(EnvironCache *cache)
{
    if (!cache)
        return NULL;
    for (EnvironKey key = 0; key < N_KEYS; key++)
        Py_CLEAR(cache->keys[key]);
    for (size_t i = 0; i < ENVIRON_PORTS_MAX; i++)
        Py_CLEAR(cache->ports[i]);
    for (size_t i = 0; i < KNOWN_LINES_MAX; i++)
        known_field_clear(&cache->fields[i]);
    header_names_clear(&cache->names);
    free(cache);
    return NULL;
}
DEFINE_CLEANUP(EnvironCache, environ_cache)

EnvironCache *environ_cache_new(void)
{
    _cleanup_(environ_cache_freep) EnvironCache *cache = calloc(1, sizeof *cache);

    if (!cache) {
        PyErr_NoMemory();
        return NULL;
    }
    for (EnvironKey key = 0; key < N_KEYS; key++) {
        cache->keys[key] = PyUnicode_InternFromString(key_names[key]);
        if (!cache->keys[key])
            return NULL;
    }
    return header_names_init(&cache->names) < 0 ? NULL : TAKE_PTR(cache);
}
