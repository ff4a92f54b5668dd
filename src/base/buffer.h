/* SPDX-License-Identifier: MIT */
/* A growing byte queue: append at the end, consume at the front. Not a ring: the bytes are always contiguous.
 */
#pragma once

#include "base/span.h"

#include <stdarg.h>
#include <stddef.h>

typedef struct Buffer {
    char *data;
    size_t start; /* of the bytes not yet consumed */
    size_t end;
    size_t capacity;
} Buffer;

void buffer_init(Buffer *b);
void buffer_deinit(Buffer *b);

/* Makes room for n more bytes at buffer_tail(). May move the bytes. 0 or -ENOMEM. */
int buffer_reserve(Buffer *b, size_t n);

/* 0 or -ENOMEM, in which case nothing was appended. */
int buffer_append(Buffer *b, const void *data, size_t n);
int buffer_append_string(Buffer *b, const char *s);
int buffer_printf(Buffer *b, const char *format, ...) __attribute__((__format__(__printf__, 2, 3)));

/* Drops n bytes (at most buffer_size()) from the front; never moves the others, reuses the room when
 * empty. */
void buffer_consume(Buffer *b, size_t n);

/* Gives back the room that the bytes do not need; where there is none, they stay as they are. May move
 * them. */
void buffer_trim(Buffer *b);

/* Empties it and keeps the memory. */
static inline void buffer_clear(Buffer *b)
{
    b->start = b->end = 0;
}

static inline size_t buffer_size(const Buffer *b)
{
    return b->end - b->start;
}

static inline char *buffer_head(const Buffer *b)
{
    return b->data ? b->data + b->start : NULL; /* NULL + 0 is undefined in C17 */
}

static inline char *buffer_tail(const Buffer *b)
{
    return b->data ? b->data + b->end : NULL;
}

/* Bytes that fit at buffer_tail() without buffer_reserve(). */
static inline size_t buffer_room(const Buffer *b)
{
    return b->capacity - b->end;
}

static inline Span buffer_span(const Buffer *b)
{
    return (Span){buffer_head(b), buffer_size(b)};
}
