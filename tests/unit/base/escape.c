/* SPDX-License-Identifier: MIT */
/* Unit tests of base/escape. */
#include "base/escape.h"

#include "tap.h"

#include <stdlib.h>

static void is_escaped(Span s, size_t size, const char *expected)
{
    char *to = malloc(size); /* of its own, so that AddressSanitizer sees its end */
    size_t n = escape_bytes(to, size, s);

    is_string(to, expected);
    is_int(n, strlen(expected));
    free(to);
}

static void test_octets(void)
{
    bool good = true;

    for (int c = 0; c < 256; c++) {
        char octet = (char)c, expected[8], to[8];
        size_t n = escape_bytes(to, sizeof(to), (Span){&octet, 1});

        if (c == '"' || c == '\\')
            snprintf(expected, sizeof(expected), "\\%c", c);
        else if (c >= ' ' && c <= '~')
            snprintf(expected, sizeof(expected), "%c", c);
        else
            snprintf(expected, sizeof(expected), "\\x%02x", (unsigned)c);
        good &= n == strlen(expected) && strcmp(to, expected) == 0;
    }
    ok(good, "each octet");
}

/* Whatever the room: nothing but printable ASCII, within it, whole or a prefix with "...". */
static void test_every_size(void)
{
    static const char text[] = "a\"b\x01\\\xff\xc3\xa9\n\x7f tail";
    char whole[256], to[256];
    bool good = true;
    size_t length = escape_bytes(whole, sizeof(whole), SPAN_LITERAL(text));

    for (size_t size = 4; size < sizeof(to); size++) {
        size_t n;

        memset(to, 'X', sizeof(to));
        n = escape_bytes(to, size, SPAN_LITERAL(text));
        good &= n < size && to[n] == '\0' && strlen(to) == n;
        if (length < size)
            good &= strcmp(to, whole) == 0;
        else
            good &=
                n >= 3 && strcmp(to + n - 3, "...") == 0 && strncmp(to, whole, n - 3) == 0 && n + 8 > size;
    }
    ok(good, "each size");
}

int main(void)
{
    test_octets();
    test_every_size();
    is_escaped((Span){NULL, 0}, 4, "");
    is_escaped(SPAN_LITERAL("abc"), 4, "abc");
    is_escaped(SPAN_LITERAL("abcd"), 4, "...");
    is_escaped(SPAN_LITERAL("abcd"), 5, "abcd");
    is_escaped(SPAN_LITERAL("\n"), 4, "...");
    is_escaped(SPAN_LITERAL("\n"), 5, "\\x0a");
    is_escaped(SPAN_LITERAL("a\nb"), 7, "a\\x0ab");
    is_escaped(SPAN_LITERAL("a\nbc"), 7, "a...");
    is_escaped(SPAN_LITERAL("/\r\nforged \x1b[31m"), 100, "/\\x0d\\x0aforged \\x1b[31m");
    return tap_done();
}
