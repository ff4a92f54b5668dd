/* SPDX-License-Identifier: MIT */
/* Keys of fields through a cache by the name as it was written: four ways, the oldest entry of a set leaves
 * first. */
#include "wsgi/header-names.h"

#include <string.h>

/* Interned for good, so that look-ups by an application's constants end at the comparison of pointers. Others
 * are not: their number is the clients' choice, and some versions of CPython never free an interned str. */
static const char *const known_fields[] = {
    "HTTP_ACCEPT",
    "HTTP_ACCEPT_CHARSET",
    "HTTP_ACCEPT_ENCODING",
    "HTTP_ACCEPT_LANGUAGE",
    "HTTP_ACCESS_CONTROL_REQUEST_HEADERS",
    "HTTP_ACCESS_CONTROL_REQUEST_METHOD",
    "HTTP_AUTHORIZATION",
    "HTTP_CACHE_CONTROL",
    "HTTP_CONNECTION",
    "HTTP_CONTENT_ENCODING",
    "HTTP_COOKIE",
    "HTTP_DATE",
    "HTTP_DNT",
    "HTTP_EXPECT",
    "HTTP_FORWARDED",
    "HTTP_FROM",
    "HTTP_IF_MATCH",
    "HTTP_IF_MODIFIED_SINCE",
    "HTTP_IF_NONE_MATCH",
    "HTTP_IF_RANGE",
    "HTTP_IF_UNMODIFIED_SINCE",
    "HTTP_KEEP_ALIVE",
    "HTTP_MAX_FORWARDS",
    "HTTP_ORIGIN",
    "HTTP_PRAGMA",
    "HTTP_PRIORITY",
    "HTTP_PROXY",
    "HTTP_PROXY_AUTHORIZATION",
    "HTTP_RANGE",
    "HTTP_REFERER",
    "HTTP_SEC_CH_UA",
    "HTTP_SEC_CH_UA_MOBILE",
    "HTTP_SEC_CH_UA_PLATFORM",
    "HTTP_SEC_FETCH_DEST",
    "HTTP_SEC_FETCH_MODE",
    "HTTP_SEC_FETCH_SITE",
    "HTTP_SEC_FETCH_USER",
    "HTTP_TE",
    "HTTP_TRACEPARENT",
    "HTTP_TRAILER",
    "HTTP_UPGRADE",
    "HTTP_UPGRADE_INSECURE_REQUESTS",
    "HTTP_USER_AGENT",
    "HTTP_VIA",
    "HTTP_X_CSRFTOKEN",
    "HTTP_X_FORWARDED_FOR",
    "HTTP_X_FORWARDED_HOST",
    "HTTP_X_FORWARDED_PORT",
    "HTTP_X_FORWARDED_PROTO",
    "HTTP_X_REAL_IP",
    "HTTP_X_REQUESTED_WITH",
    "HTTP_X_REQUEST_ID",
};

/* RFC 3875 §4.1.18. Names are tokens, so ASCII. */
static PyObject *field_key_new(Span name)
{
    PyObject *key = PyUnicode_New((Py_ssize_t)name.size + 5, 127);
    Py_UCS1 *to;

    if (!key)
        return NULL;
    to = PyUnicode_1BYTE_DATA(key);
    memcpy(to, "HTTP_", 5);
    for (size_t i = 0; i < name.size; i++) {
        char c = name.data[i];

        to[i + 5] = (Py_UCS1)(c == '-' ? '_' : c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
    }
    return key;
}

static HeaderKind kind_of(PyObject *key)
{
    if (PyUnicode_CompareWithASCIIString(key, "HTTP_HOST") == 0 ||
        PyUnicode_CompareWithASCIIString(key, "HTTP_CONTENT_LENGTH") == 0 ||
        PyUnicode_CompareWithASCIIString(key, "HTTP_TRANSFER_ENCODING") == 0)
        return HEADER_SKIP;
    return PyUnicode_CompareWithASCIIString(key, "HTTP_COOKIE") == 0 ? HEADER_COOKIE : HEADER_JOIN;
}

/* Makes the entry of a name that was not met before, or not lately. */
static int header_name_fill(HeaderName *n, const HeaderNames *names, Span name)
{
    PyObject *key = field_key_new(name), *known;

    if (!key)
        return -1;
    if (PyUnicode_CompareWithASCIIString(key, "HTTP_CONTENT_TYPE") == 0)
        Py_SETREF(key, PyUnicode_InternFromString("CONTENT_TYPE"));
    known = key ? PyDict_GetItemWithError(names->known, key) : NULL;
    if (known)
        Py_SETREF(key, Py_NewRef(known));
    if (PyErr_Occurred()) {
        Py_XDECREF(key);
        return -1;
    }
    Py_XSETREF(n->key, key);
    n->kind = (uint8_t)kind_of(key);
    if (name.size <= HEADER_NAME_MAX) {
        n->size = (uint8_t)name.size;
        memcpy(n->name, name.data, name.size);
    }
    return 0;
}

/* Four octets tell most names apart; what does not is compared in any case. */
static unsigned hash_name(Span name)
{
    const unsigned char *s = (const unsigned char *)name.data;
    unsigned h = (unsigned)name.size;

    h = h * 31 + s[0];
    h = h * 31 + s[name.size / 2];
    h = h * 31 + s[name.size * 3 / 4];
    h = h * 31 + s[name.size - 1];
    return h ^ h >> 8;
}

HeaderName *header_names_find(HeaderNames *names, Span name)
{
    unsigned set = hash_name(name) % HEADER_SETS;
    HeaderName *n;

    for (n = names->sets[set]; n < names->sets[set] + HEADER_WAYS; n++)
        if (n->size == name.size && memcmp(n->name, name.data, name.size) == 0)
            return n;
    if (name.size > HEADER_NAME_MAX)
        n = &names->scratch;
    else
        n = &names->sets[set][names->next_victim[set]++ % HEADER_WAYS];
    return header_name_fill(n, names, name) < 0 ? NULL : n;
}

int header_names_init(HeaderNames *names)
{
    names->known = PyDict_New();
    if (!names->known)
        return -1;
    for (size_t i = 0; i < ELEMENTSOF(known_fields); i++) {
        _cleanup_decref_ PyObject *key = PyUnicode_InternFromString(known_fields[i]);

        if (!key || PyDict_SetItem(names->known, key, key) < 0)
            return -1;
    }
    return 0;
}

void header_names_clear(HeaderNames *names)
{
    for (size_t set = 0; set < HEADER_SETS; set++)
        for (size_t way = 0; way < HEADER_WAYS; way++)
            Py_CLEAR(names->sets[set][way].key);
    Py_CLEAR(names->scratch.key);
    Py_CLEAR(names->known);
}
