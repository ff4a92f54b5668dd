/* SPDX-License-Identifier: MIT */
/* CPython, and greenlet after it, take pieces of the data stack from the arena allocator, which can be exchanged at any
 * time (PyObject_SetArenaAllocator(), C API manual). What else comes from there is larger, and handed on. */
#include "wsgi/python.h"

#include "wsgi/chunks.h"

#define CHUNK_SIZE ((size_t)16 * 1024) /* DATA_STACK_CHUNK_SIZE */
#define KEPT_MAX 512

typedef struct Chunk {
    struct Chunk *next;
} Chunk;

/* The GIL guards it. */
static PyObjectArenaAllocator arenas;
static Chunk *kept;
static unsigned n_kept;

static void *chunks_alloc(void *ctx, size_t size)
{
    Chunk *c = kept;

    if (size != CHUNK_SIZE || !c)
        return arenas.alloc(ctx, size);
    kept = c->next;
    n_kept--;
    return c;
}

static void chunks_free(void *ctx, void *p, size_t size)
{
    Chunk *c = p;

    if (size != CHUNK_SIZE || n_kept == KEPT_MAX) {
        arenas.free(ctx, p, size);
        return;
    }
    c->next = kept;
    kept = c;
    n_kept++;
}

void chunks_keep(void)
{
    PyObjectArenaAllocator keeping = {.alloc = chunks_alloc, .free = chunks_free};

    if (!PYTHON_HAS_GIL) /* nothing would guard what is kept */
        return;
    PyObject_GetArenaAllocator(&arenas);
    keeping.ctx = arenas.ctx;
    PyObject_SetArenaAllocator(&keeping);
}

void chunks_trim(void)
{
    for (Chunk *c; (c = kept);) {
        kept = c->next;
        n_kept--;
        arenas.free(arenas.ctx, c, CHUNK_SIZE);
    }
}
