/* SPDX-License-Identifier: MIT */
/* Chunks: what Python gives back is what it gets next, and what is not a piece of its data stack goes its own way.
 * Without a GIL nothing is kept. */
#include "harness.h"

#include "wsgi/chunks.h"
#include "wsgi/interpreter.h"

#define CHUNK_SIZE ((size_t)16 * 1024)
#define N_CHUNKS 2000 /* more than are kept */

static PyObjectArenaAllocator arenas; /* as Python sees it */

static void *chunk_new(void)
{
    void *p = arenas.alloc(arenas.ctx, CHUNK_SIZE);

    ok(p);
    return p ? memset(p, 1, CHUNK_SIZE) : NULL;
}

static void test_reuse(void)
{
    void *a = chunk_new(), *b = chunk_new(), *c, *d;

    ok(a != b);
    arenas.free(arenas.ctx, a, CHUNK_SIZE);
    arenas.free(arenas.ctx, b, CHUNK_SIZE);
    c = chunk_new();
    d = chunk_new();
    ok(c == b || !PYTHON_HAS_GIL, "the last one comes first");
    ok(d == a || !PYTHON_HAS_GIL);
    arenas.free(arenas.ctx, c, CHUNK_SIZE);
    arenas.free(arenas.ctx, d, CHUNK_SIZE);
}

static void test_other_sizes(void)
{
    void *chunk = chunk_new(), *arena = arenas.alloc(arenas.ctx, 2 * CHUNK_SIZE), *next;

    arenas.free(arenas.ctx, chunk, CHUNK_SIZE);
    ok(arena && arena != chunk);
    memset(arena, 1, 2 * CHUNK_SIZE);
    arenas.free(arenas.ctx, arena, 2 * CHUNK_SIZE);
    next = chunk_new();
    ok(next == chunk || !PYTHON_HAS_GIL);
    arenas.free(arenas.ctx, next, CHUNK_SIZE);
}

static void test_many(void)
{
    static void *chunks[N_CHUNKS];

    for (size_t i = 0; i < N_CHUNKS; i++)
        chunks[i] = arenas.alloc(arenas.ctx, CHUNK_SIZE);
    for (size_t i = 0; i < N_CHUNKS; i++)
        arenas.free(arenas.ctx, chunks[i], CHUNK_SIZE);
    chunks_trim();
    arenas.free(arenas.ctx, chunk_new(), CHUNK_SIZE);
    chunks_trim();
}

/* Frames of a depth that no single piece holds. */
static void test_deep_calls(void)
{
    harness_exec("deep", "import sys\nsys.setrecursionlimit(5000)\ndef f(n): return n and 1 + f(n - 1)");
    for (int i = 0; i < 3; i++)
        is_int(harness_int("deep", "f(4000)"), 4000);
    chunks_trim();
    is_int(harness_int("deep", "f(4000)"), 4000);
}

int main(void)
{
    harness_start();
    PyObject_GetArenaAllocator(&arenas);
    test_reuse();
    test_other_sizes();
    test_many();
    test_deep_calls();
    interpreter_finalize();
    return tap_done();
}
