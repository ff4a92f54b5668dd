/* SPDX-License-Identifier: MIT */
/* The cache of field names: right whatever is in it, and bounded. */
#include "harness.h"

#include "wsgi/header-names.h"
#include "wsgi/interpreter.h"

static HeaderNames names;

static const char *key_of(const char *name)
{
    HeaderName *n = header_names_find(&names, span_of(name));

    return n ? PyUnicode_AsUTF8(n->key) : NULL;
}

static void test_keys(void)
{
    for (int i = 0; i < 2; i++) {
        is_string(key_of("User-Agent"), "HTTP_USER_AGENT");
        is_string(key_of("user-agent"), "HTTP_USER_AGENT");
        is_string(key_of("content-type"), "CONTENT_TYPE");
        is_string(key_of("X"), "HTTP_X");
        is_string(key_of("!#$%&'*+.^`|~09aZ"), "HTTP_!#$%&'*+.^`|~09AZ");
    }
    ok(header_names_find(&names, span_of("HOST"))->kind == HEADER_SKIP);
    ok(header_names_find(&names, span_of("content-Length"))->kind == HEADER_SKIP);
    ok(header_names_find(&names, span_of("transfer-encoding"))->kind == HEADER_SKIP);
    ok(header_names_find(&names, span_of("Cookie"))->kind == HEADER_COOKIE);
    ok(header_names_find(&names, span_of("Cookie2"))->kind == HEADER_JOIN);
    ok(header_names_find(&names, span_of("Accept"))->key == header_names_find(&names, span_of("aCCEPT"))->key,
       "known names share their key");
}

/* More names than there is room for, each found again with its own key. */
static void test_many(void)
{
    int n_wrong = 0;

    for (int i = 0; i < 5000; i++) {
        char name[64], key[64];

        snprintf(name, sizeof(name), "x-%d-%s", i % 1500,
                 i % 2 ? "a" : "some-longer-name-that-is-kept-still");
        snprintf(key, sizeof(key), "HTTP_X_%d_%s", i % 1500,
                 i % 2 ? "A" : "SOME_LONGER_NAME_THAT_IS_KEPT_STILL");
        n_wrong += strcmp(key_of(name), key) != 0;
    }
    is_int(n_wrong, 0);
}

int main(void)
{
    harness_start();
    is_int(header_names_init(&names), 0);
    test_keys();
    test_many();
    header_names_clear(&names);
    interpreter_finalize();
    return tap_done();
}
