/* SPDX-License-Identifier: MIT */
/* Target: a request head, as octets from a client. However it is cut into pieces, the verdict is the same; it
 * is that of strict-request.c, also when its lines are known; and what is accepted has the properties that the rest of
 * the server relies on. */
#include "base/cleanup.h"
#include "fuzz.h"
#include "http/head.h"
#include "http/known-lines.h"
#include "http/parser.h"
#include "strict-request.h"

#include <ctype.h>

static const HttpLimits limits_of_runs[] = {
    {.request_line = 8190, .field_size = 8190, .head = 65536, .fields = 100, .body = UINT64_MAX},
    {.request_line = 40, .field_size = 40, .head = 160, .fields = 3, .body = 100},
};

typedef struct Verdict {
    int status;
    size_t head_size;
    HeadScan scan;
} Verdict;

/* --- pieces --- */

/* size 0: pieces of a length that the input decides. */
static Verdict scan_in_pieces(Span input, size_t piece, const HttpLimits *limits)
{
    FuzzRandom random = fuzz_random_new(input.data, input.size);
    Verdict v = {.status = HTTP_E_MORE};

    for (size_t n = 0; v.status == HTTP_E_MORE && n < input.size;) {
        size_t more = piece > 0 ? piece : fuzz_random_next(&random, input.size / 2 + 1);
        _cleanup_free_ char *copy = NULL;

        n += MIN(more, input.size - n);
        copy = fuzz_copy(input.data, n); /* elsewhere each time, as the contract allows */
        v.status = head_scan(&v.scan, copy, n, limits, &v.head_size);
        if (v.status == HTTP_E_MORE)
            fuzz_check(v.scan.position == n, "%zu of %zu", v.scan.position, n);
    }
    return v;
}

static void check_same(const Verdict *a, const Verdict *b)
{
    fuzz_check(a->status == b->status, "%d, %d in pieces", a->status, b->status);
    fuzz_check(a->head_size == b->head_size, "%zu, %zu in pieces", a->head_size, b->head_size);
    if (a->status >= 400)
        fuzz_check(a->scan.reason && b->scan.reason && strcmp(a->scan.reason, b->scan.reason) == 0,
                   "reasons \"%s\" and \"%s\"", a->scan.reason, b->scan.reason);
    else
        fuzz_check(a->scan.skipped == b->scan.skipped && a->scan.n_lines == b->scan.n_lines,
                   "skipped %zu and %zu", a->scan.skipped, b->scan.skipped);
}

/* --- properties --- */

static bool has_octet(Span s, char octet)
{
    return s.size > 0 && memchr(s.data, octet, s.size);
}

static void check_inside(Span s, Span head)
{
    if (s.size > 0 && !span_equal(s, SPAN_LITERAL("/")))
        fuzz_check(s.data >= head.data && s.data + s.size <= head.data + head.size, "a span of %zu octets",
                   s.size);
}

static void check_field(const Field *f, Span head)
{
    check_inside(f->name, head);
    check_inside(f->value, head);
    fuzz_check(f->name.size > 0 && !has_octet(f->name, '_'), "%.*s", (int)f->name.size, f->name.data);
    for (size_t i = 0; i < f->name.size; i++)
        fuzz_check(isgraph((unsigned char)f->name.data[i]) && f->name.data[i] != ':', "%zu", i);
    for (size_t i = 0; i < f->value.size; i++)
        fuzz_check(!iscntrl((unsigned char)f->value.data[i]) || f->value.data[i] == '\t', "%zu", i);
    if (f->value.size > 0)
        fuzz_check(!isblank((unsigned char)f->value.data[0]) &&
                       !isblank((unsigned char)f->value.data[f->value.size - 1]),
                   "blanks around a value");
}

static void check_properties(const Request *r, Span head, const HttpLimits *limits)
{
    check_inside(r->method, head);
    check_inside(r->target, head);
    check_inside(r->path, head);
    check_inside(r->query, head);
    check_inside(r->host, head);
    fuzz_check(r->version_minor <= 1, "%u", r->version_minor);
    fuzz_check(r->version_minor == 0 || r->host.size > 0, "no host");
    fuzz_check(!r->chunked || (r->content_length == -1 && r->version_minor == 1), "two framings");
    fuzz_check(r->content_length >= -1, "%lld", (long long)r->content_length);
    fuzz_check(r->content_length < 0 || (uint64_t)r->content_length <= limits->body, "over the limit");
    fuzz_check(r->path.size > 0 && (r->path.data[0] == '/') != r->is_server_options, "path");
    fuzz_check(r->n_fields + r->n_dropped_fields <= limits->fields, "%zu fields", r->n_fields);
    for (size_t i = 0; i < r->n_fields; i++)
        check_field(&r->fields[i], head);
}

/* --- the second reading --- */

static void check_equal(const Request *r, const Request *expected)
{
    fuzz_check_span("method", r->method, expected->method);
    fuzz_check_span("target", r->target, expected->target);
    fuzz_check_span("path", r->path, expected->path);
    fuzz_check_span("query", r->query, expected->query);
    fuzz_check_span("host", r->host, expected->host);
    fuzz_check(r->version_minor == expected->version_minor, "%u", r->version_minor);
    fuzz_check(r->content_length == expected->content_length, "%lld", (long long)r->content_length);
    fuzz_check(r->chunked == expected->chunked, "%d", r->chunked);
    fuzz_check(r->keep_alive == expected->keep_alive, "%d", r->keep_alive);
    fuzz_check(r->expect_continue == expected->expect_continue, "%d", r->expect_continue);
    fuzz_check(r->is_head == expected->is_head, "%d", r->is_head);
    fuzz_check(r->is_server_options == expected->is_server_options, "%d", r->is_server_options);
    fuzz_check(r->n_dropped_fields == expected->n_dropped_fields, "%u", r->n_dropped_fields);
    fuzz_check(r->n_fields == expected->n_fields, "%zu, expected %zu", r->n_fields, expected->n_fields);
    for (size_t i = 0; i < r->n_fields; i++) {
        fuzz_check_span("name", r->fields[i].name, expected->fields[i].name);
        fuzz_check_span("value", r->fields[i].value, expected->fields[i].value);
    }
}

static void check_parse(StrictHead *strict, const HeadScan *scan, Span head, const HttpLimits *limits)
{
    _cleanup_free_ char *copy = fuzz_copy(head.data, head.size);
    Request r, expected;
    bool served = strict_request(strict, limits, &expected);
    int status;

    request_init(&r);
    status = request_parse(&r, scan, copy, head.size, limits);
    fuzz_check((status == 0) == served, "parsed: %d (%s), strict reading: %s", status,
               r.reason ? r.reason : "", served ? "served" : "refused");
    if (status == 0) {
        check_properties(&r, (Span){copy, head.size}, limits);
        check_equal(&r, &expected);
    } else {
        fuzz_check(status == 400 || status == 413 || status == 417 || status == 431 || status == 501, "%d",
                   status);
        fuzz_check(r.reason, "%d without a reason", status);
        fuzz_check_span("method", r.method, expected.method);
        fuzz_check_span("target", r.target, expected.target);
    }
    request_deinit(&r);
}

static void run(Span input, const HttpLimits *limits)
{
    Verdict whole = scan_in_pieces(input, input.size, limits);
    Verdict octets = scan_in_pieces(input, 1, limits), pieces = scan_in_pieces(input, 0, limits);
    StrictHead strict;
    bool good = strict_head(input, limits, &strict);

    check_same(&whole, &octets);
    check_same(&whole, &pieces);
    fuzz_check((whole.status == 0) == good, "scanned: %d (%s), strict reading: %s", whole.status,
               whole.scan.reason ? whole.scan.reason : "", good ? "good" : "bad or not complete");
    if (whole.status == HTTP_E_MORE)
        fuzz_check(input.size - whole.scan.skipped <= limits->head, "%zu octets wait", input.size);
    if (whole.status != 0)
        return;
    fuzz_check(whole.head_size == strict.size && whole.scan.skipped == strict.skipped,
               "%zu octets, expected %zu", whole.head_size, strict.size);
    check_parse(&strict, &whole.scan, (Span){input.data + strict.skipped, strict.size - strict.skipped},
                limits);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (size_t i = 0; size > 0 && i < ELEMENTSOF(limits_of_runs); i++) {
        HttpLimits limits = limits_of_runs[i];
        KnownLines known = {0};
        Span input = {(const char *)data, size};

        run(input, &limits);
        limits.known = &known;
        run(input, &limits); /* learns lines, and */
        run(input, &limits); /* knows them */
    }
    return 0;
}
