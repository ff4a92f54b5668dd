/* SPDX-License-Identifier: MIT */
/* What one request needs and the next can use again. As many exist as requests were under way at one time. */
#pragma once

#include "wsgi/python.h"

#include "wsgi/delivery.h"
#include "wsgi/environ.h"
#include "wsgi/errors.h"
#include "wsgi/file-wrapper.h"
#include "wsgi/input.h"
#include "wsgi/start-response.h"

typedef struct Slot {
    struct Slot *next;
    EnvironCache *cache; /* the pool's, or where there is no GIL its own */
    Environs environs;
    DeliveryCallable *start_response;
    Input *input;
    Errors *errors;
    Delivery delivery; /* here, as a greenlet's stack is not for others to point to */
} Slot;

/* The free slots and what they are made of. Zero-initialised. The GIL guards it: it isn't released between
 * the look at the list and its change. Without one, a lock guards the list, and nothing else changes: no thread looks
 * into the cache of another, as each slot has one. */
typedef struct SlotPool {
    Slot *free;
    EnvironCache *cache; /* NULL without a GIL */
#ifdef Py_GIL_DISABLED
    PyMutex lock;
#endif
    FileTypes files;
    StartResponseTypes start_response;
    PyTypeObject *input;
    PyTypeObject *errors;
    bool multithread;
    bool multiprocess;
    int errors_fd; /* borrowed */
} SlotPool;

/* 0, or -1 with an exception; in any case slot_pool_clear() frees. */
int slot_pool_init(SlotPool *pool);
void slot_pool_clear(SlotPool *pool);

/* A slot bound to a delivery into the sink and a body, from one of both (NULL, NULL: empty); NULL with an
 * exception. slot_give_back() unbinds it and renews what the application has kept. */
Slot *slot_take(SlotPool *pool, ResponseSink *sink, const Spool *body, BodySource *source);
void slot_give_back(SlotPool *pool, Slot *slot);
