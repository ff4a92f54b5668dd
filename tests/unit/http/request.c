/* SPDX-License-Identifier: MIT */
/* The parser's memory and the look-up of fields; what it accepts is in tables/. */
#include "http/request.h"

#include "base/cleanup.h"
#include "http/parser.h"
#include "tap.h"

static const HttpLimits limits = {
    .request_line = 8190, .field_size = 8190, .head = 65536, .fields = 100, .body = 1000};

static int parse(Request *r, const char *head)
{
    return request_parse(r, NULL, head, strlen(head), &limits);
}

static bool span_is(Span s, const char *text)
{
    return s.data && span_equal(s, span_of(text));
}

static void check_fields(Request *r)
{
    is_int(parse(r, "GET /a HTTP/1.1\r\nHost: h\r\nCookie: a\r\nX_Y: 1\r\ncookie: b\r\nEmpty:\r\n\r\n"), 0);
    is_int(r->n_fields, 4);
    is_int(r->n_dropped_fields, 1);
    ok(span_is(request_field(r, "cookie"), "a"), "the first one, in any case");
    ok(span_is(request_field(r, "HOST"), "h"));
    ok(span_is(request_field(r, "empty"), ""), "an empty value is not none");
    ok(!request_field(r, "cooki").data && !request_field(r, "x_y").data, "no such field");
    ok(!request_has_body(r));
}

/* Names with '_' that are for proxies are kept for forwarder_fields_admit(). */
static void check_ambiguous_names(Request *r)
{
    static const char head[] =
        "GET / HTTP/1.1\r\nHost: h\r\nscript_NAME: /a\r\nX_Y: 1\r\nScript-Name: b\r\n\r\n";
    static const char first_bad[] = "GET / HTTP/1.1\r\nHost: h\r\n_: 1\r\n\r\n";
    char *names[] = {(char *)"SCRIPT_NAME", (char *)"REMOTE_USER", NULL};
    HttpLimits l = limits;

    l.forwarder_fields = names;
    is_int(request_parse(r, NULL, head, strlen(head), &l), 0);
    ok(r->n_fields == 3 && span_is(request_field(r, "script_name"), "/a"));
    ok(r->n_dropped_fields == 1 && span_is(r->dropped_field, "X_Y"));
    l.refuses_ambiguous_names = true;
    is_int(request_parse(r, NULL, head, strlen(head), &l), 400);
    is_string(r->reason, "'_' in the name of a field");
    is_int(request_parse(r, NULL, first_bad, strlen(first_bad), &l), 400);
    names[1] = (char *)"x_y";
    is_int(request_parse(r, NULL, head, strlen(head), &l), 0);
    is_int(r->n_fields, 4);
    is_int(r->n_dropped_fields, 0);
}

static void check_reuse(Request *r)
{
    Field *memory = r->fields;

    is_int(parse(r, "POST /b HTTP/1.0\r\nContent-Length: 7\r\n\r\n"), 0);
    is_int(r->n_fields, 1);
    is_int(r->n_dropped_fields, 0);
    ok(r->fields == memory, "no new memory");
    ok(request_has_body(r) && !r->keep_alive && r->host.size == 0);

    is_int(
        parse(r, "HEAD /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n"),
        0);
    ok(r->chunked && r->expect_continue && r->is_head && request_has_body(r));
    is_int(r->content_length, -1);

    is_int(parse(r, "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n"), 0);
    ok(r->is_server_options && !r->chunked && !r->expect_continue && !r->is_head, "nothing is left");
}

/* What a refused request was is known for the log. */
static void check_refused(Request *r)
{
    is_int(parse(r, "HEAD /d?e HTTP/1.0\r\nHost: a b\r\n\r\n"), 400);
    is_string(r->reason, "bad Host");
    ok(span_is(r->method, "HEAD") && span_is(r->target, "/d?e") && r->is_head && r->version_minor == 0);
    is_int(parse(r, "BREW /pot HTTP/1.1\r\nHost: h\r\n\r\n"), 501);
    ok(span_is(r->method, "BREW") && span_is(r->target, "/pot") && !r->is_head && r->version_minor == 1);
    is_int(parse(r, "GET / HTTP/1.1\r\nHost: h\r\n\r\n"), 0);
    ok(!r->reason);
}

static void check_many_fields(Request *r)
{
    char head[4096] = "GET / HTTP/1.1\r\nHost: h\r\n";
    HttpLimits few = limits;

    for (int i = 0; i < 99; i++)
        strcat(head, "X: y\r\n");
    strcat(head, "\r\n");
    is_int(parse(r, head), 0);
    is_int(r->n_fields, 100);
    ok(span_is(r->fields[99].value, "y"));
    few.fields = 50;
    request_deinit(r);
    is_int(request_parse(r, NULL, head, strlen(head), &few), 431);
}

int main(void)
{
    Request r;

    request_init(&r);
    check_fields(&r);
    check_ambiguous_names(&r);
    check_reuse(&r);
    check_refused(&r);
    check_many_fields(&r);
    request_deinit(&r);
    return tap_done();
}
