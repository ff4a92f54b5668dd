/* SPDX-License-Identifier: MIT */
/* The byte queue. Appending is amortised O(1): bytes move only where at least as many were consumed before
 * them. */
#include "base/buffer.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CAPACITY_MIN ((size_t)256)

void buffer_init(Buffer *b)
{
    *b = (Buffer){0};
}

void buffer_deinit(Buffer *b)
{
    free(b->data);
    *b = (Buffer){0};
}

/* The doubling that holds `needed` bytes; 0 when there is none. */
static size_t next_capacity(size_t capacity, size_t needed)
{
    if (capacity < CAPACITY_MIN)
        capacity = CAPACITY_MIN;
    while (capacity < needed) {
        if (capacity > SIZE_MAX / 4)
            return 0;
        capacity *= 2;
    }
    return capacity;
}

static int buffer_grow(Buffer *b, size_t capacity)
{
    size_t size = buffer_size(b);
    char *data;

    if (b->start == 0) {
        data = realloc(b->data, capacity); /* mremap(2) for the large: nothing is copied */
        if (!data)
            return -ENOMEM;
    } else {
        data = malloc(capacity);
        if (!data)
            return -ENOMEM;
        memcpy(data, buffer_head(b), size);
        free(b->data);
    }
    *b = (Buffer){.data = data, .end = size, .capacity = capacity};
    return 0;
}

int buffer_reserve(Buffer *b, size_t n)
{
    size_t size = buffer_size(b), capacity, needed;

    if (buffer_room(b) >= n && b->data)
        return 0;
    if (__builtin_add_overflow(size, n, &needed))
        return -ENOMEM;
    if (b->data && needed <= b->capacity && b->start >= size) {
        if (size > 0)
            memcpy(b->data, buffer_head(b), size);
        b->start = 0;
        b->end = size;
        return 0;
    }
    if (needed <= b->capacity)
        needed = b->capacity + 1; /* so that the next move has paid for itself */
    capacity = next_capacity(b->capacity, needed);
    return capacity == 0 ? -ENOMEM : buffer_grow(b, capacity);
}

void buffer_trim(Buffer *b)
{
    size_t size = buffer_size(b);

    if (size == 0)
        buffer_deinit(b);
    else if (size < b->capacity)
        (void)buffer_grow(b, size);
}

int buffer_append(Buffer *b, const void *data, size_t n)
{
    int r;

    if (n == 0)
        return 0;
    r = buffer_reserve(b, n);
    if (r < 0)
        return r;
    memcpy(buffer_tail(b), data, n);
    b->end += n;
    return 0;
}

int buffer_append_string(Buffer *b, const char *s)
{
    return buffer_append(b, s, strlen(s));
}

int buffer_printf(Buffer *b, const char *format, ...)
{
    va_list ap;
    int n, r;

    r = buffer_reserve(b, 1);
    if (r < 0)
        return r;
    va_start(ap, format);
    n = vsnprintf(buffer_tail(b), buffer_room(b), format, ap);
    va_end(ap);
    if (n < 0)
        return -ENOMEM; /* the format is ours: nothing else can fail in the C locale */
    if ((size_t)n >= buffer_room(b)) {
        r = buffer_reserve(b, (size_t)n + 1);
        if (r < 0)
            return r;
        va_start(ap, format);
        n = vsnprintf(buffer_tail(b), buffer_room(b), format, ap);
        va_end(ap);
        assert(n >= 0 && (size_t)n < buffer_room(b));
    }
    b->end += (size_t)n;
    return 0;
}

void buffer_consume(Buffer *b, size_t n)
{
    assert(n <= buffer_size(b));
    b->start += n;
    if (b->start == b->end)
        buffer_clear(b);
}
