/* SPDX-License-Identifier: MIT */
/* Fields found and removed, a status replaced. */
#include "http/response-edit.h"

#include "tap.h"

static void add(Response *r, const char *name, const char *value)
{
    is_int(response_add_field(r, name, strlen(name), value, strlen(value)), 0);
}

static bool has(const Response *r, const char *name, const char *value)
{
    Span got = response_field(r, span_of(name));

    return got.data && span_equal(got, span_of(value));
}

static bool has_none(const Response *r, const char *name)
{
    return !response_field(r, span_of(name)).data;
}

static bool says(const Response *r, const char *octets)
{
    return span_equal(buffer_span(&r->fields), span_of(octets));
}

int main(void)
{
    Response r;

    response_init(&r);
    is_int(response_set_status(&r, "200 All is well", 15), 0);
    add(&r, "ETag", "\"a\"");
    add(&r, "X", "");
    add(&r, "etag", "b");
    add(&r, "Content-Length", "5");

    ok(has(&r, "ETAG", "\"a\"") && has(&r, "x", ""), "the first of that name, in any case");
    ok(has_none(&r, "tag") && has_none(&r, "ET") && has_none(&r, "content-length"));

    is_int(response_replace_status(&r, 304), 0);
    is_int(r.status, 304);
    ok(says(&r, "304 Not Modified\r\nETag: \"a\"\r\nX: \r\netag: b\r\n"), "longer than the one before");

    response_remove_field(&r, SPAN_LITERAL("Etag"));
    response_remove_field(&r, SPAN_LITERAL("None"));
    is_int(response_replace_status(&r, 200), 0);
    ok(says(&r, "200 OK\r\nX: \r\n"), "both of that name, and a shorter status");

    response_deinit(&r);
    return tap_done();
}
