/* SPDX-License-Identifier: MIT */
/* What is remembered of requests, by all that remembers, makes no difference to any other: heads of few lines come in
 * pieces on many connections in turn, and what becomes of each is compared with what a server makes of it that has
 * never had another. */
#include "harness.h"

#include "base/cleanup.h"
#include "http/forwarded-memory.h"
#include "http/forwarder-fields.h"
#include "http/head.h"
#include "http/known-lines.h"
#include "http/parser.h"
#include "wsgi/environ.h"
#include "wsgi/interpreter.h"

#include <stdio.h>
#include <stdlib.h>

#define N_CONNECTIONS 24
#define N_SLOTS 2
#define N_KEPT 16
#define N_REQUESTS 12000

static const char *const request_lines[] = {
    "GET / HTTP/1.1",    "GET / HTTP/1.0",         "POST / HTTP/1.1",          "GET /a%20b?c=d HTTP/1.1",
    "GET /p/a HTTP/1.1", "GET http://c/ HTTP/1.1", "GET HTTPS://c?e HTTP/1.1", "GET //c HTTP/1.1",
};

/* Some can't be in one request, and some are wrong. */
static const char *const field_lines[] = {
    "Host: a",
    "Host: b",
    "HOST:a",
    "X: 1",
    "X: 2",
    "X:\t1 ",
    "x: 3",
    "X: ",
    "X-Y: 1",
    "x-y: 1",
    "Y: 1",
    "Y:",
    "Z: \xff\x80",
    "A-Name-That-Is-Longer-Than-Those-That-Are-Kept-Of-All: 1",
    "A-Name-That-Is-Longer-Than-Those-That-Are-Kept-Of-All: 2",
    "Cookie: a=1",
    "cookie: b=2",
    "Authorization: a",
    "Accept: */*",
    "accept: text/html",
    "ACCEPT: a, b",
    "Content-Type: a/b",
    "content-type: c/d",
    "Content-Length: 0",
    "Content-Length: 1",
    "Transfer-Encoding: chunked",
    "Connection: close",
    "Expect: 100-continue",
    "X_Y: 2",
    "SCRIPT_NAME: /q",
    "Script-Name: /r",
    "X-Forwarded-For: 192.0.2.1",
    "X-Forwarded-For: 192.0.2.2, 10.0.0.1",
    "X-Forwarded-For: 10.0.0.2",
    "X-Forwarded-Proto: https",
    "X-Forwarded-Proto: http",
    "X-Forwarded-Host: d",
    "X-Forwarded-Port: 8443",
    "X-Forwarded-Prefix: /p",
    "X-Forwarded-Prefix: /",
    "Forwarded: for=192.0.2.1;host=d",
    "Forwarded: for=\"[2001:db8::1]\";proto=https",
    " folded",
};

typedef struct Peer {
    char head[1024];
    size_t size, n_sent;
    HeadScan scan;
    bool is_trusted;
} Peer;

static uint64_t state = 88172645463325252; /* of xorshift64 */
static Peer peers[N_CONNECTIONS];
static KnownLines known;
static ForwardedMemory memory;
static TrustedProxies *trusted;
static EnvironCache *cache;
static Environs slots[N_SLOTS];
static PyObject *kept[N_KEPT];
static unsigned n_served, n_refused, n_without_memory;

static unsigned draw(size_t n)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (unsigned)(state % n);
}

/* --- memory that is short --- */

static PyMemAllocatorEx allocators[2];
static unsigned n_left; /* allocations that succeed before one does not; 0: all do */

static bool fails(void)
{
    return n_left > 0 && --n_left == 0;
}

static void *take(void *a, size_t size)
{
    PyMemAllocatorEx *real = a;

    return fails() ? NULL : real->malloc(real->ctx, size);
}

static void *take_zeros(void *a, size_t n, size_t size)
{
    PyMemAllocatorEx *real = a;

    return fails() ? NULL : real->calloc(real->ctx, n, size);
}

static void *change(void *a, void *p, size_t size)
{
    PyMemAllocatorEx *real = a;

    return fails() ? NULL : real->realloc(real->ctx, p, size);
}

static void give_back(void *a, void *p)
{
    PyMemAllocatorEx *real = a;

    real->free(real->ctx, p);
}

static void interpose(void)
{
    static const PyMemAllocatorDomain domains[] = {PYMEM_DOMAIN_MEM, PYMEM_DOMAIN_OBJ};

    for (size_t i = 0; PYTHON_HAS_GIL && i < ELEMENTSOF(domains); i++) {
        PyMemAllocatorEx a = {&allocators[i], take, take_zeros, change, give_back};

        PyMem_GetAllocator(domains[i], &allocators[i]);
        PyMem_SetAllocator(domains[i], &a);
    }
}

/* --- requests --- */

static HttpLimits limits(KnownLines *k)
{
    static char name[] = "script_name", *const forwarder_fields[] = {name, NULL};

    return (HttpLimits){.request_line = 100,
                        .field_size = 100,
                        .head = 600,
                        .fields = 12,
                        .body = 1000,
                        .forwarder_fields = forwarder_fields,
                        .known = k};
}

/* Mostly one of few heads, so that bases are of use, and now and then one with lines that nobody sent before. */
static void begin(Peer *p)
{
    uint64_t before = state;
    bool is_usual = draw(4) > 0;
    unsigned n_fields;

    if (is_usual)
        state = 1000 + before % 12;
    n_fields = draw(9);
    p->size = (size_t)sprintf(p->head, "%s\r\n", request_lines[draw(ELEMENTSOF(request_lines))]);
    if (draw(8) > 0)
        p->size += (size_t)sprintf(p->head + p->size, "%s\r\n", field_lines[draw(2)]);
    for (unsigned i = 0; i < n_fields; i++)
        if (!is_usual && draw(4) == 0)
            p->size += (size_t)sprintf(p->head + p->size, "X: %u\r\n", draw(1000000));
        else
            p->size += (size_t)sprintf(p->head + p->size, "%s\r\n",
                                       field_lines[2 + draw(ELEMENTSOF(field_lines) - 2 - is_usual)]);
    p->size += (size_t)sprintf(p->head + p->size, "\r\n");
    if (is_usual)
        state = before ^ before << 1;
    p->n_sent = 0;
    p->is_trusted = draw(3) > 0;
    head_scan_init(&p->scan);
}

/* The head is here, or refused. 0 or the status. */
static int read_request(HeadScan *scan, int status, const Peer *p, const HttpLimits *l, ForwardedMemory *m,
                        Request *r, Forwarded *f)
{
    const TrustedProxies *t = p->is_trusted ? trusted : NULL;
    unsigned believed = ~0u;

    if (status == 0)
        status = request_parse(r, scan, p->head, p->size, l);
    if (status == 0)
        status = forwarder_fields_admit(r, l, p->is_trusted);
    if (status == 0)
        status = m ? forwarded_memory_resolve(m, t, believed, r, f) : forwarded_resolve(t, believed, r, f);
    return status;
}

static bool is_same(Span a, Span b)
{
    return span_equal(a, b) && !a.data == !b.data;
}

static bool requests_are_same(const Request *a, const Request *b)
{
    bool is = a->n_fields == b->n_fields && is_same(a->method, b->method) && is_same(a->target, b->target) &&
              is_same(a->host, b->host) && is_same(a->path, b->path) && is_same(a->query, b->query) &&
              a->content_length == b->content_length && a->chunked == b->chunked &&
              a->keep_alive == b->keep_alive && a->expect_continue == b->expect_continue &&
              a->version_minor == b->version_minor && a->n_dropped_fields == b->n_dropped_fields;

    for (size_t i = 0; is && i < a->n_fields; i++)
        is = is_same(a->fields[i].name, b->fields[i].name) &&
             is_same(a->fields[i].value, b->fields[i].value) && a->fields[i].role == b->fields[i].role;
    return is;
}

static bool forwarded_are_same(const Forwarded *a, const Forwarded *b)
{
    return is_same(a->address, b->address) && is_same(a->host, b->host) && is_same(a->port, b->port) &&
           is_same(a->prefix, b->prefix) && a->says_scheme == b->says_scheme && a->https == b->https;
}

static WsgiPeer peer_of(const Peer *p, const Forwarded *f)
{
    static const Span addresses[] = {SPAN_LITERAL("192.0.2.7"), SPAN_LITERAL("10.0.0.9")};
    static char port[N_CONNECTIONS][8];
    size_t n = (size_t)(p - peers);

    sprintf(port[n], "%zu", 1000 + n % 3 * ENVIRON_PORTS_MAX);
    return (WsgiPeer){.remote_addr = f->address.data ? f->address : addresses[p->is_trusted],
                      .remote_port = f->address.data ? (Span){"", 0} : span_of(port[n]),
                      .server_name = SPAN_LITERAL("s"),
                      .server_port = f->port.data ? f->port : SPAN_LITERAL("80"),
                      .https = f->https,
                      .host = f->host,
                      .script_name = f->prefix};
}

/* --- environs --- */

static const EnvironConstants constants = {.file_wrapper = Py_None};

static PyObject *environ_of_the_first(const Request *r, const WsgiPeer *peer)
{
    EnvironCache *own = environ_cache_new();
    Environs environs;
    PyObject *environ;

    if (!own || environs_init(&environs, own, &constants) < 0)
        abort();
    environ = environ_new(&environs, own, r, NULL, peer);
    environs_clear(&environs);
    environ_cache_free(own);
    return environ;
}

/* As an application may: keeps it, and changes it. */
static void misuse(PyObject *environ)
{
    PyObject **place = &kept[draw(N_KEPT)];

    if (draw(2) == 0)
        PyDict_SetItemString(environ, "HTTP_X", Py_None);
    else if (draw(2) == 0)
        PyDict_Clear(environ);
    Py_XSETREF(*place, Py_NewRef(environ));
}

/* Whether it is that of a server without a past. */
static bool serve(const Request *r, const Request *first, const WsgiPeer *peer)
{
    _cleanup_decref_ PyObject *expected = environ_of_the_first(first, peer), *environ = NULL;
    bool is_short = PYTHON_HAS_GIL && draw(6) == 0, is;

    n_left = is_short ? 1 + draw(20) : 0;
    environ = environ_new(&slots[draw(N_SLOTS)], cache, r, NULL, peer);
    n_left = 0;
    if (!environ) {
        is = is_short && PyErr_ExceptionMatches(PyExc_MemoryError);
        PyErr_Clear();
        n_without_memory++;
        return is;
    }
    is = !PyErr_Occurred() && expected && PyObject_RichCompareBool(environ, expected, Py_EQ) == 1;
    misuse(environ);
    return is;
}

/* --- all of it --- */

static bool finish(Peer *p, int status)
{
    HttpLimits with = limits(&known), without = limits(NULL);
    HeadScan scan = {0};
    Request r, first;
    Forwarded f, first_f;
    size_t size;
    int first_status;
    bool is;

    request_init(&r);
    request_init(&first);
    status = read_request(&p->scan, status, p, &with, &memory, &r, &f);
    first_status = head_scan(&scan, p->head, p->size, &without, &size);
    first_status = read_request(&scan, first_status, p, &without, NULL, &first, &first_f);
    is = status == first_status;
    if (is && status == 0) {
        WsgiPeer peer = peer_of(p, &first_f);

        is = requests_are_same(&r, &first) && forwarded_are_same(&f, &first_f) && serve(&r, &first, &peer);
        n_served++;
    } else
        n_refused++;
    request_deinit(&r);
    request_deinit(&first);
    return is;
}

/* Some more octets of one of them. */
static bool advance(Peer *p)
{
    HttpLimits with = limits(&known);
    size_t size;
    int status;

    p->n_sent = MIN(p->n_sent + 1 + draw(draw(2) ? 20 : 400), p->size);
    status = head_scan(&p->scan, p->head, p->n_sent, &with, &size);
    if (status == HTTP_E_MORE)
        return p->n_sent < p->size;
    if (!finish(p, status)) {
        printf("# of %s", p->head);
        return false;
    }
    begin(p);
    return true;
}

int main(void)
{
    char word[] = "10.0.0.0/8", *words[] = {word, NULL};
    const char *bad;
    bool is = true;

    harness_start();
    cache = environ_cache_new();
    ok(cache && trusted_proxies_new(words, &trusted, &bad) == 0);
    for (size_t i = 0; i < N_SLOTS; i++)
        is_int(environs_init(&slots[i], cache, &constants), 0);
    interpose();
    for (size_t i = 0; i < N_CONNECTIONS; i++)
        begin(&peers[i]);
    while (is && n_served < N_REQUESTS)
        is = advance(&peers[draw(N_CONNECTIONS)]);
    ok(is, "%u requests, %u refused, %u without memory", n_served, n_refused, n_without_memory);
    ok(n_refused > 100 && (!PYTHON_HAS_GIL || n_without_memory > 100));

    for (size_t i = 0; i < N_KEPT; i++)
        Py_CLEAR(kept[i]);
    for (size_t i = 0; i < N_SLOTS; i++)
        environs_clear(&slots[i]);
    environ_cache_free(cache);
    trusted_proxies_free(trusted);
    interpreter_finalize();
    return tap_done();
}
