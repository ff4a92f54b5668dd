/* SPDX-License-Identifier: MIT */
/* Unit tests of base/buffer. */
#include "base/buffer.h"

#include "base/cleanup.h"
#include "tap.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

static void test_append_consume(void)
{
    Buffer b;

    buffer_init(&b);
    is_int(buffer_size(&b), 0);
    ok(!b.data, "no memory before the first append");
    is_int(buffer_append(&b, "", 0), 0);
    is_int(buffer_append(&b, "hello ", 6), 0);
    is_int(buffer_append_string(&b, "world"), 0);
    ok(span_equal(buffer_span(&b), SPAN_LITERAL("hello world")));
    buffer_consume(&b, 6);
    ok(span_equal(buffer_span(&b), SPAN_LITERAL("world")));
    buffer_consume(&b, 5);
    is_int(b.start, 0);
    is_int(b.end, 0);
    ok(b.data && b.capacity > 0, "memory is kept when it is empty");
    buffer_append_string(&b, "x");
    buffer_clear(&b);
    is_int(buffer_size(&b), 0);
    buffer_deinit(&b);
    ok(!b.data);
}

static void test_reserve(void)
{
    Buffer b;

    buffer_init(&b);
    is_int(buffer_reserve(&b, 0), 0);
    ok(buffer_tail(&b) != NULL, "reserve of nothing gives an address");
    is_int(buffer_reserve(&b, 5000), 0);
    ok(buffer_room(&b) >= 5000);
    memset(buffer_tail(&b), 'a', 5000);
    b.end += 5000;
    is_int(buffer_reserve(&b, SIZE_MAX), -ENOMEM);
    is_int(buffer_reserve(&b, SIZE_MAX / 2), -ENOMEM);
    is_int(buffer_append(&b, "", SIZE_MAX - 4999), -ENOMEM);
    is_int(buffer_size(&b), 5000);
    buffer_deinit(&b);
}

static void test_printf(void)
{
    Buffer b;
    char expected[2001];

    memset(expected, 'x', 2000);
    expected[2000] = '\0';
    buffer_init(&b);
    is_int(buffer_printf(&b, "%d-%s;", 42, "a"), 0);
    ok(span_equal(buffer_span(&b), SPAN_LITERAL("42-a;")));
    buffer_clear(&b);
    is_int(buffer_printf(&b, "%s", expected), 0);
    ok(span_equal(buffer_span(&b), span_of(expected)), "longer than the first room");
    for (size_t left = 0; left < 3; left++) { /* exactly no room for the NUL, and one octet beside */
        size_t n;
        bool good;

        buffer_clear(&b);
        b.end = b.capacity - 5 - left;
        n = buffer_size(&b);
        good = buffer_printf(&b, "%s", "12345") == 0 && buffer_size(&b) == n + 5 &&
               memcmp(buffer_tail(&b) - 5, "12345", 5) == 0;
        ok(good, "at %zu from the end", left);
    }
    buffer_deinit(&b);
}

static void test_trim(void)
{
    Buffer b;

    buffer_init(&b);
    buffer_append(&b, "one two", 7);
    buffer_trim(&b);
    ok(b.capacity == 7 && span_equal(buffer_span(&b), SPAN_LITERAL("one two")));
    buffer_consume(&b, 4);
    buffer_trim(&b);
    ok(b.capacity == 3 && span_equal(buffer_span(&b), SPAN_LITERAL("two")));
    buffer_append(&b, "!", 1);
    ok(span_equal(buffer_span(&b), SPAN_LITERAL("two!")));
    buffer_consume(&b, 4);
    buffer_trim(&b);
    ok(b.capacity == 0 && !b.data);
}

/* A queue that is never empty, against a model: counting octets in, the same out. */
static void test_queue(void)
{
    Buffer b;
    unsigned seed = 1;
    uint64_t in = 0, out = 0;
    size_t capacity_max = 0;
    bool same = true;

    buffer_init(&b);
    for (int i = 0; i < 200000; i++) {
        char piece[300];
        size_t n = (size_t)rand_r(&seed) % sizeof(piece);

        for (size_t k = 0; k < n; k++)
            piece[k] = (char)(in++ % 251);
        same &= buffer_append(&b, piece, n) == 0;
        n = (size_t)rand_r(&seed) % (2 * sizeof(piece));
        n = MIN(n, buffer_size(&b) > 1 ? buffer_size(&b) - 1 : 0);
        for (size_t k = 0; k < n; k++)
            same &= buffer_head(&b)[k] == (char)(out++ % 251);
        buffer_consume(&b, n);
        if (b.capacity > capacity_max)
            capacity_max = b.capacity;
    }
    ok(same, "octets come out as they went in");
    is_int(buffer_size(&b), in - out);
    ok(capacity_max <= 16384, "consumed room is used again");
    buffer_deinit(&b);
}

int main(void)
{
    test_append_consume();
    test_reserve();
    test_trim();
    test_printf();
    test_queue();
    return tap_done();
}
