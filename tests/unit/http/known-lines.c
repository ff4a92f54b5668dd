/* SPDX-License-Identifier: MIT */
/* Which lines are known, and what a request of them is like. That a memory makes no difference to any request of the
 * tables is for tables.c. */
#include "http/known-lines.h"

#include "base/cleanup.h"
#include "http/head.h"
#include "http/parser.h"
#include "tap.h"

#include <stdio.h>
#include <stdlib.h>

static Field field_of(const char *line)
{
    const char *colon = strchr(line, ':');

    return (Field){.name = {line, (size_t)(colon - line)}, .value = {colon + 2, strlen(colon + 2) - 2}};
}

static void add(KnownLines *k, const char *line)
{
    Field f = field_of(line);

    known_lines_add(k, span_of(line), &f);
}

static const KnownLine *find_line(KnownLines *k, bool is_request_line, const char *octets)
{
    unsigned n_lines = !is_request_line, n_before = n_lines;
    uint64_t ids[2] = {0};
    size_t size = known_lines_skip(k, octets, strlen(octets), &n_lines, n_lines + 1, ids);
    const KnownLine *l = known_lines_get(k, ids[n_before]);

    is_int(size, l ? l->size : 0);
    is_int(n_lines, n_before + (l != NULL));
    return l;
}

static const KnownLine *find(KnownLines *k, const char *octets)
{
    return find_line(k, false, octets);
}

static void check_find(void)
{
    _cleanup_free_ KnownLines *k = calloc(1, sizeof *k);
    const KnownLine *l;

    ok(!find(k, "A: b\r\n") && !find_line(k, true, "\r\n") && !find(k, ""), "nothing is known");
    add(k, "A: b\r\n");
    l = find(k, "A: b\r\nC: d\r\n");
    ok(l && l->size == 6 && l->name_size == 1 && l->value_start == 3 && l->value_size == 1);
    ok(find(k, "A: b\r\n") == l, "now by its place behind the line before");
    ok(!find(k, "A: b\r") && !find(k, "A: bc\r\n") && !find(k, "a: b\r\n") && !find(k, "A: b \r\n"),
       "other octets, or not all of them");
    ok(!find_line(k, true, "A: b\r\n"), "it is no request line");
}

static void check_ids(void)
{
    _cleanup_free_ KnownLines *k = calloc(1, sizeof *k);
    uint64_t id;

    add(k, "A: b\r\n");
    id = find(k, "A: b\r\n")->id;
    ok(id != 0);
    for (unsigned i = 0; i < 3 * KNOWN_LINES_MAX; i++) {
        char line[16];

        snprintf(line, sizeof line, "N: %u\r\n", i);
        add(k, line);
    }
    ok(!find(k, "A: b\r\n"), "forgotten, as it did not come again");
    add(k, "A: b\r\n");
    ok(find(k, "A: b\r\n")->id > id, "the id of another line, even if the octets are the same");
}

/* Lines that come once each must not drive out those that always come. */
static void check_clock(void)
{
    _cleanup_free_ KnownLines *k = calloc(1, sizeof *k);
    unsigned n_known = 0;

    add(k, "Host: h\r\n");
    for (unsigned i = 0; i < 10 * KNOWN_LINES_MAX; i++) {
        char line[32];

        snprintf(line, sizeof line, "X-Request-Id: %u\r\n", i);
        add(k, line);
        n_known += find(k, "Host: h\r\n") != NULL;
    }
    is_int(n_known, 10 * KNOWN_LINES_MAX);
}

static void check_sizes(void)
{
    _cleanup_free_ KnownLines *k = calloc(1, sizeof *k);

    for (size_t size = 4; size <= KNOWN_LINE_MAX + 1; size++) {
        char line[KNOWN_LINE_MAX + 2] = "A: ";

        memset(line + 3, 'x', size - 3);
        memcpy(line + MAX(size, (size_t)5) - 2, "\r\n", 3);
        add(k, line);
        if (!find(k, line) != (size > KNOWN_LINE_MAX))
            ok(false, "a line of %zu octets", size);
    }
    ok(true, "lines of all sizes");
}

/* --- requests --- */

static HttpLimits usual_limits(KnownLines *k)
{
    return (HttpLimits){
        .request_line = 8190, .field_size = 8190, .head = 65536, .fields = 100, .body = 1000, .known = k};
}

static int parse(Request *r, const char *head, const HttpLimits *limits)
{
    HeadScan scan = {0};
    size_t size;

    is_int(head_scan(&scan, head, strlen(head), limits, &size), 0);
    return request_parse(r, &scan, head, size, limits);
}

static bool field_is(const Field *f, const char *name, const char *value, bool is_known)
{
    return span_equal(f->name, span_of(name)) && span_equal(f->value, span_of(value)) &&
           (f->line != 0) == is_known;
}

static void check_requests(void)
{
    _cleanup_free_ KnownLines *k = calloc(1, sizeof *k);
    HttpLimits limits = usual_limits(k);
    Request r;

    request_init(&r);
    is_int(parse(&r,
                 "GET /a?b HTTP/1.1\r\nHost: h\r\nEmpty:\r\nCookie: a\r\nX_Y: z\r\nAccept: \t*/* \r\n\r\n",
                 &limits),
           0);
    ok(r.line == 0 && r.n_fields == 4 && field_is(&r.fields[0], "Host", "h", false));
    is_int(parse(&r,
                 "GET /a?b HTTP/1.1\r\nNone:\r\nHost: h\r\nEmpty:\r\nNew: 1\r\nOther: \r\nCookie: a\r\nX_Y: "
                 "z\r\nAccept: \t*/* \r\n\r\n",
                 &limits),
           0);
    ok(r.line != 0 && span_equal(r.target, SPAN_LITERAL("/a?b")) && r.version_minor == 1);
    is_int(r.n_fields, 7);
    is_int(r.n_dropped_fields, 1);
    ok(field_is(&r.fields[0], "None", "", false));
    ok(field_is(&r.fields[1], "Host", "h", true) && span_equal(r.host, SPAN_LITERAL("h")));
    ok(field_is(&r.fields[2], "Empty", "", true));
    ok(field_is(&r.fields[3], "New", "1", false));
    ok(field_is(&r.fields[4], "Other", "", false));
    ok(field_is(&r.fields[5], "Cookie", "a", false), "of one client alone");
    ok(field_is(&r.fields[6], "Accept", "*/*", true));

    is_int(parse(&r, "GET /a?b HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n", &limits), 400);
    is_string(r.reason, "more than one Host");
    is_int(parse(&r, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 7\r\n\r\n", &limits), 0);
    is_int(parse(&r, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 7\r\n\r\n", &limits), 0);
    is_int(r.content_length, 7);
    is_int(parse(&r, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 7\r\nContent-Length: 7\r\n\r\n", &limits),
           400);
    is_string(r.reason, "more than one Content-Length");
    is_int(parse(&r, "HEAD /b HTTP/1.0\r\n\r\n", &limits), 0);
    is_int(parse(&r, "HEAD /b HTTP/1.0\r\n\r\n", &limits), 0);
    ok(r.line != 0 && r.is_head && r.version_minor == 0 && !r.keep_alive);
    request_deinit(&r);
}

/* What was refused is looked at again. */
static void check_refusals(void)
{
    _cleanup_free_ KnownLines *k = calloc(1, sizeof *k);
    HttpLimits limits = usual_limits(k);
    Request r;

    request_init(&r);
    is_int(parse(&r, "BREW / HTTP/1.1\r\nHost: a b\r\n\r\n", &limits), 501);
    is_int(parse(&r, "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", &limits), 400);
    is_int(parse(&r, "GET / HTTP/1.1\r\nHost: h\r\n\r\n", &limits), 0);
    is_int(parse(&r, "BREW / HTTP/1.1\r\nHost: h\r\n\r\n", &limits), 501);
    is_int(parse(&r, "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", &limits), 400);
    request_deinit(&r);
}

/* What the scan has found may be gone when the head is parsed: others were scanned since its first octets came. */
static void check_forgotten(void)
{
    static const char head[] = "PUT /a HTTP/1.1\r\nHost: h\r\nA: 1\r\nCookie: a\r\n\r\n";
    _cleanup_free_ KnownLines *k = calloc(1, sizeof *k);
    HttpLimits limits = usual_limits(k);
    HeadScan scan = {0};
    Request r;
    size_t size;

    request_init(&r);
    is_int(parse(&r, head, &limits), 0);
    is_int(head_scan(&scan, head, strlen(head), &limits, &size), 0);
    ok(scan.known[0] != 0 && scan.known[1] != 0 && scan.known[2] != 0 && scan.known[3] == 0);
    for (unsigned i = 0; i < 3 * KNOWN_LINES_MAX; i++) {
        char line[16];

        snprintf(line, sizeof line, "N: %u\r\n", i);
        add(k, line);
    }
    is_int(request_parse(&r, &scan, head, size, &limits), 0);
    ok(r.line == 0 && r.n_fields == 3 && span_equal(r.method, SPAN_LITERAL("PUT")));
    ok(field_is(&r.fields[0], "Host", "h", false) && field_is(&r.fields[1], "A", "1", false) &&
       field_is(&r.fields[2], "Cookie", "a", false));
    request_deinit(&r);
}

/* More than the scan takes note of: those behind are as if they came for the first time, and are not kept again and
 * again. */
static void check_many_lines(void)
{
    _cleanup_free_ KnownLines *k = calloc(1, sizeof *k);
    HttpLimits limits = usual_limits(k);
    char head[4096] = "GET / HTTP/1.1\r\nHost: h\r\n", *end = head + strlen(head);
    uint64_t n_added = 0;
    Request r;

    request_init(&r);
    for (unsigned i = 1; i < limits.fields; i++)
        end += sprintf(end, "N-%u: %u\r\n", i, i);
    strcpy(end, "\r\n");
    for (int i = 0; i < 3; i++) {
        is_int(parse(&r, head, &limits), 0);
        is_int(r.n_fields, limits.fields);
        ok(field_is(&r.fields[62], "N-62", "62", i > 0) && field_is(&r.fields[63], "N-63", "63", false) &&
           field_is(&r.fields[99], "N-99", "99", false));
        ok(i == 0 || k->n_added == n_added);
        n_added = k->n_added;
    }
    strcpy(end, "M: 1\r\n\r\n");
    is_int(head_scan(&(HeadScan){0}, head, strlen(head), &limits, &(size_t){0}), 431);
    request_deinit(&r);
}

int main(void)
{
    check_find();
    check_ids();
    check_clock();
    check_sizes();
    check_requests();
    check_refusals();
    check_forgotten();
    check_many_lines();
    return tap_done();
}
