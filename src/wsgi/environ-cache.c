/* SPDX-License-Identifier: MIT */
/* Keys, values of known lines, and ports, kept from one environ to the next. All str are Latin-1 (PEP 3333, "Unicode
 * Issues"). */
#include "wsgi/environ-cache.h"

#include <stdlib.h>

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

void known_field_clear(KnownField *f)
{
    Py_CLEAR(f->key);
    Py_CLEAR(f->value);
    f->line = 0;
}

int known_field_fill(KnownField *f, EnvironCache *cache, const Field *field)
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

/* --- ports --- */

PyObject *environ_cache_port(EnvironCache *cache, Span digits)
{
    PyObject **place, *port;
    unsigned number = 0;

    for (size_t i = 0; i < digits.size; i++)
        number = number * 10 + (unsigned)(digits.data[i] - '0');
    place = &cache->ports[number % ENVIRON_PORTS_MAX];
    if (*place && latin1_equals(*place, digits))
        return Py_NewRef(*place);
    port = latin1_new(digits);
    if (port)
        Py_XSETREF(*place, Py_NewRef(port));
    return port;
}

/* --- the whole --- */

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
