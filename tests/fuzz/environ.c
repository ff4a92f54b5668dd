/* SPDX-License-Identifier: MIT */
/* Target: the environ of a request, which a client writes most of. Input: a head, see request-text.h. Each
 * value is that of a plain second reading (RFC 3875, PEP 3333), and what is remembered from one request to
 * the next makes no difference. */
#include "wsgi/environ.h"
#include "base/cleanup.h"
#include "fuzz.h"
#include "request-text.h"

#include <ctype.h>
#include <inttypes.h>

#define PREFIX "/a" /* of the application, in every other environ */
#define N_AGAIN 10  /* until a base with the fields is in use */

static void start_python(void)
{
    if (Py_IsInitialized())
        return;
    if (PYTHON_HAS_GIL)                         /* without one, there is no other allocator */
        setenv("PYTHONMALLOC", "malloc", true); /* for AddressSanitizer */
    Py_InitializeEx(0);
}

/* --- one value --- */

static void check_value(PyObject *environ, const char *key, Span expected)
{
    PyObject *value = PyDict_GetItemString(environ, key);
    _cleanup_decref_ PyObject *octets = value ? PyUnicode_AsLatin1String(value) : NULL;

    fuzz_check(octets, "%s is no str of Latin-1", key);
    fuzz_check(span_equal((Span){PyBytes_AS_STRING(octets), (size_t)PyBytes_GET_SIZE(octets)}, expected),
               "%s is \"%s\", expected \"%.*s\"", key, PyBytes_AS_STRING(octets), (int)expected.size,
               expected.data);
}

/* As many as are expected: then there is none that is not. */
static unsigned check_optional(PyObject *environ, const char *key, Span expected)
{
    if (expected.size > 0)
        check_value(environ, key, expected);
    return expected.size > 0;
}

/* --- paths --- */

static void check_path(PyObject *environ, const char *key, Span path)
{
    _cleanup_(buffer_deinit) Buffer decoded = {0};

    for (size_t i = 0; i < path.size; i++) {
        char octet = path.data[i];

        if (octet == '%' && path.size - i > 2 && isxdigit((unsigned char)path.data[i + 1]) &&
            isxdigit((unsigned char)path.data[i + 2])) {
            char digits[] = {path.data[i + 1], path.data[i + 2], '\0'};

            octet = (char)strtoul(digits, NULL, 16);
            i += 2;
        }
        fuzz_check(buffer_append(&decoded, &octet, 1) == 0, "no memory");
    }
    check_value(environ, key, buffer_size(&decoded) > 0 ? buffer_span(&decoded) : SPAN_LITERAL(""));
}

static Span without_prefix(Span path, Span prefix)
{
    if (path.size < prefix.size || memcmp(path.data, prefix.data, prefix.size) != 0 ||
        (path.size > prefix.size && path.data[prefix.size] != '/'))
        return path;
    return (Span){path.data + prefix.size, path.size - prefix.size};
}

/* --- fields --- */

static bool is(Span name, Span other)
{
    return name.size == other.size && strncasecmp(name.data, other.data, other.size) == 0;
}

static bool is_elsewhere(Span name)
{
    return is(name, SPAN_LITERAL("host")) || is(name, SPAN_LITERAL("content-length")) ||
           is(name, SPAN_LITERAL("transfer-encoding"));
}

static void check_joined(PyObject *environ, const char *key, const Request *r, size_t first)
{
    Span name = r->fields[first].name;
    const char *separator = is(name, SPAN_LITERAL("cookie")) ? "; " : ", ";
    _cleanup_(buffer_deinit) Buffer joined = {0};

    for (size_t i = first; i < r->n_fields; i++)
        if (is(r->fields[i].name, name))
            fuzz_check(buffer_append(&joined, separator, i == first ? 0 : 2) == 0 &&
                           buffer_append(&joined, r->fields[i].value.data, r->fields[i].value.size) == 0,
                       "no memory");
    check_value(environ, key, buffer_size(&joined) > 0 ? buffer_span(&joined) : SPAN_LITERAL(""));
}

/* How many keys: one, or none where the field does not bring its own. */
static unsigned check_field(PyObject *environ, const Request *r, size_t i)
{
    Span name = r->fields[i].name;
    _cleanup_free_ char *key = NULL;

    for (size_t former = 0; former < i; former++)
        if (is(r->fields[former].name, name))
            return 0;
    if (is_elsewhere(name))
        return 0;
    fuzz_check(asprintf(&key, "HTTP_%.*s", (int)name.size, name.data) > 0, "no memory");
    for (char *c = key; *c; c++)
        *c = (char)(*c == '-' ? '_' : toupper((unsigned char)*c));
    check_joined(environ, strcmp(key, "HTTP_CONTENT_TYPE") == 0 ? key + strlen("HTTP_") : key, r, i);
    return 1;
}

/* --- all of it --- */

static Span content_length(const Request *r, char to[static 32])
{
    if (r->chunked || r->content_length < 0) /* chunked: no body comes with it here that could be measured */
        return SPAN_LITERAL("");
    snprintf(to, 32, "%" PRId64, r->content_length);
    return span_of(to);
}

static void check_environ(PyObject *environ, const Request *r, Span prefix, Py_ssize_t n_constants)
{
    char length[32];
    unsigned n = 0;

    check_value(environ, "REQUEST_METHOD", r->method);
    check_value(environ, "RAW_URI", r->target);
    check_value(environ, "REQUEST_URI", r->target);
    check_value(environ, "QUERY_STRING", r->query);
    check_value(environ, "SERVER_PROTOCOL",
                r->version_minor > 0 ? SPAN_LITERAL("HTTP/1.1") : SPAN_LITERAL("HTTP/1.0"));
    check_path(environ, "SCRIPT_NAME", prefix);
    check_path(environ, "PATH_INFO", without_prefix(r->path, prefix));
    n += check_optional(environ, "HTTP_HOST", r->host);
    n += check_optional(environ, "CONTENT_LENGTH", content_length(r, length));
    for (size_t i = 0; i < r->n_fields; i++)
        n += check_field(environ, r, i);
    fuzz_check(PyDict_Size(environ) == n_constants + n, "%zd keys, expected %zd and %u", PyDict_Size(environ),
               n_constants, n);
}

static PyObject *make(Environs *environs, EnvironCache *cache, const Request *r, Span prefix)
{
    WsgiPeer peer = {
        SPAN_LITERAL("192.0.2.7"), SPAN_LITERAL(""),      SPAN_LITERAL("a"),
        SPAN_LITERAL("80"),        .script_name = prefix,
    };
    PyObject *environ = environ_new(environs, cache, r, NULL, &peer);

    fuzz_check(environ && !PyErr_Occurred(), "no environ");
    return environ;
}

static void run(const Request *r)
{
    EnvironCache *cache = environ_cache_new();
    Environs environs;
    EnvironConstants constants = {.file_wrapper = Py_None};
    _cleanup_decref_ PyObject *first = NULL, *prefixed = NULL;
    Py_ssize_t n_constants;

    fuzz_check(cache && environs_init(&environs, cache, &constants) == 0, "init");
    n_constants =
        PyDict_Size(environs.bare.dict) - 1; /* with REQUEST_URI, without REMOTE_PORT and HTTP_HOST */
    first = make(&environs, cache, r, SPAN_LITERAL(""));
    check_environ(first, r, SPAN_LITERAL(""), n_constants);
    prefixed = make(&environs, cache, r, SPAN_LITERAL(PREFIX));
    check_environ(prefixed, r, SPAN_LITERAL(PREFIX), n_constants);
    for (int i = 0; i < N_AGAIN; i++) {
        _cleanup_decref_ PyObject *again = make(&environs, cache, r, SPAN_LITERAL(""));

        fuzz_check(PyObject_RichCompareBool(first, again, Py_EQ) == 1, "another environ later");
    }
    environs_clear(&environs);
    environ_cache_free(cache);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_(buffer_deinit) Buffer head = {0};
    Request r;

    start_python();
    request_init(&r);
    if (size > 0 && fuzz_request((Span){(const char *)data, size}, &head, &r) && !r.is_server_options) {
        run(&r);
        for (size_t i = 0; i < r.n_fields; i++)
            r.fields[i].line = i + 1;
        run(&r); /* as from lines that are known */
        for (size_t i = 0; i < r.n_fields; i += 2)
            r.fields[i].line = 0;
        run(&r); /* or some of them */
    }
    request_deinit(&r);
    return 0;
}
