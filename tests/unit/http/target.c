/* SPDX-License-Identifier: MIT */
/* Percent-decoding; authorities are in tables/host.http. */
#include "http/target.h"

#include "base/cleanup.h"
#include "tap.h"

#include <assert.h>
#include <stdlib.h>

static void check(Span path, Span expected)
{
    _cleanup_free_ char *from = malloc(path.size + 1), *to = malloc(path.size + 1);
    size_t n;

    assert(from && to);
    memcpy(from, path.data, path.size);
    n = target_decode_path((Span){from, path.size}, to);
    ok(span_equal((Span){to, n}, expected), "%.*s", (int)path.size, path.data);
}
#define CHECK(path, expected) check(SPAN_LITERAL(path), SPAN_LITERAL(expected))

int main(void)
{
    CHECK("", "");
    CHECK("/", "/");
    CHECK("/plain/path", "/plain/path");
    CHECK("/a%20b", "/a b");
    CHECK("%2f%2F%41%7a", "//Az");
    CHECK("/%00%ff%C3%a9", "/\0\xff\xc3\xa9");
    CHECK("/a+b", "/a+b");
    CHECK("/%", "/%");
    CHECK("/%4", "/%4");
    CHECK("/%zz%4g%g4", "/%zz%4g%g4");
    CHECK("/%2541", "/%41"); /* once */
    CHECK("/%%41", "/%A");
    ok(target_authority_is_valid(SPAN_LITERAL("a:1")) && !target_authority_is_valid((Span){NULL, 0}));
    return tap_done();
}
