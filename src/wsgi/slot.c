/* SPDX-License-Identifier: MIT */
/* The pool of slots: last given back, first taken, so that a worker with one thread always has the same. */
#include "wsgi/slot.h"

#include <stdlib.h>

static Slot *slot_free(Slot *slot)
{
    if (!PYTHON_HAS_GIL)
        environ_cache_free(slot->cache);
    environs_clear(&slot->environs);
    Py_CLEAR(slot->start_response);
    Py_CLEAR(slot->input);
    Py_CLEAR(slot->errors);
    free(slot);
    return NULL;
}
DEFINE_CLEANUP(Slot, slot)

static int renew_start_response(SlotPool *pool, Slot *slot)
{
    Py_CLEAR(slot->start_response);
    slot->start_response = start_response_new(&pool->start_response);
    return slot->start_response ? environs_set(&slot->environs, slot->cache, KEY_EARLY_HINTS,
                                               (PyObject *)slot->start_response->early_hints)
                                : -1;
}

static int renew_input(SlotPool *pool, Slot *slot)
{
    Py_CLEAR(slot->input);
    slot->input = input_new(pool->input);
    return slot->input ? environs_set(&slot->environs, slot->cache, KEY_INPUT, (PyObject *)slot->input) : -1;
}

/* Held by the slot and by its environs' bases: whoever else holds it still has it from an earlier request. */
static bool input_is_unshared(const Slot *slot)
{
    return python_is_held_by((PyObject *)slot->input, 1 + environs_count(&slot->environs));
}

static Slot *slot_new(SlotPool *pool)
{
    EnvironConstants constants = {pool->multithread, pool->multiprocess, (PyObject *)pool->files.wrapper};
    _cleanup_(slot_freep) Slot *slot = calloc(1, sizeof(Slot));

    if (!slot) {
        PyErr_NoMemory();
        return NULL;
    }
    slot->cache = PYTHON_HAS_GIL ? pool->cache : environ_cache_new();
    if (!slot->cache || environs_init(&slot->environs, slot->cache, &constants) < 0)
        return NULL;
    slot->errors = errors_new(pool->errors, pool->errors_fd);
    if (!slot->errors ||
        environs_set(&slot->environs, slot->cache, KEY_ERRORS, (PyObject *)slot->errors) < 0 ||
        renew_start_response(pool, slot) < 0 || renew_input(pool, slot) < 0)
        return NULL;
    return TAKE_PTR(slot);
}

static void pool_lock(SlotPool *pool)
{
#ifdef Py_GIL_DISABLED
    PyMutex_Lock(&pool->lock);
#endif
    (void)pool;
}

static void pool_unlock(SlotPool *pool)
{
#ifdef Py_GIL_DISABLED
    PyMutex_Unlock(&pool->lock);
#endif
    (void)pool;
}

/* NULL: none is free. */
static Slot *pool_pop(SlotPool *pool)
{
    Slot *slot;

    pool_lock(pool);
    slot = pool->free;
    if (slot)
        pool->free = slot->next;
    pool_unlock(pool);
    return slot;
}

static void pool_push(SlotPool *pool, Slot *slot)
{
    pool_lock(pool);
    slot->next = pool->free;
    pool->free = slot;
    pool_unlock(pool);
}

Slot *slot_take(SlotPool *pool, ResponseSink *sink, const Spool *body, BodySource *source)
{
    Slot *slot = pool_pop(pool);

    if (!slot)
        slot = slot_new(pool);
    if (!slot)
        return NULL;
    delivery_init(&slot->delivery, sink);
    start_response_attach(slot->start_response, &slot->delivery);
    input_attach(slot->input, body, source);
    return slot;
}

/* 0, or -1 with an exception. */
static int slot_renew(SlotPool *pool, Slot *slot)
{
    if (!start_response_is_unshared(slot->start_response, environs_count(&slot->environs)) &&
        renew_start_response(pool, slot) < 0)
        return -1;
    return input_is_unshared(slot) ? 0 : renew_input(pool, slot);
}

void slot_give_back(SlotPool *pool, Slot *slot)
{
    start_response_detach(slot->start_response);
    input_detach(slot->input);
    errors_end_line(slot->errors);
    if (slot_renew(pool, slot) < 0) {
        PyErr_Clear();
        slot_free(slot);
        return;
    }
    pool_push(pool, slot);
}

int slot_pool_init(SlotPool *pool)
{
    if (PYTHON_HAS_GIL && !(pool->cache = environ_cache_new()))
        return -1;
    if (file_types_init(&pool->files) < 0 || start_response_types_init(&pool->start_response) < 0)
        return -1;
    pool->input = input_type_new();
    pool->errors = errors_type_new();
    return pool->input && pool->errors ? 0 : -1;
}

void slot_pool_clear(SlotPool *pool)
{
    while (pool->free) {
        Slot *slot = pool->free;

        pool->free = slot->next;
        slot_free(slot);
    }
    environ_cache_free(pool->cache);
    pool->cache = NULL;
    file_types_clear(&pool->files);
    start_response_types_clear(&pool->start_response);
    Py_CLEAR(pool->input);
    Py_CLEAR(pool->errors);
}
