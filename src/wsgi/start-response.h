/* SPDX-License-Identifier: MIT */
/* What an application calls to speak to its client: start_response and the write callable that it returns
 * (PEP 3333), and wsgi.early_hints. */
#pragma once

#include "wsgi/python.h"

#include "wsgi/delivery.h"

typedef struct StartResponseTypes {
    PyTypeObject *start_response;
    PyTypeObject *write;
    PyTypeObject *early_hints;
} StartResponseTypes;

/* A callable bound to a delivery: all three types have this shape. */
typedef struct DeliveryCallable {
    PyObject_HEAD vectorcallfunc vectorcall;
    Delivery *delivery;   /* NULL: the request is over */
    unsigned long thread; /* that runs the application; without a GIL, the only one that looks at delivery */
    /* Of start_response, owned: what it returns, and what goes along with it. */
    struct DeliveryCallable *write;
    struct DeliveryCallable *early_hints;
} DeliveryCallable;

/* 0, or -1 with an exception. */
int start_response_types_init(StartResponseTypes *types);
void start_response_types_clear(StartResponseTypes *types);

/* start_response, which owns the two others; or NULL with an exception. */
DeliveryCallable *start_response_new(const StartResponseTypes *types);

/* For one request; then start_response_detach(), after which calls of any raise. */
static inline void start_response_attach(DeliveryCallable *s, Delivery *x)
{
    s->thread = s->write->thread = s->early_hints->thread = PyThread_get_thread_ident();
    s->delivery = s->write->delivery = s->early_hints->delivery = x;
}

static inline void start_response_detach(DeliveryCallable *s)
{
    s->delivery = s->write->delivery = s->early_hints->delivery = NULL;
}

/* Whether nobody but its owner holds them, and n_environs of the owner's wsgi.early_hints, so that they can serve the
 * next request. */
static inline bool start_response_is_unshared(DeliveryCallable *s, Py_ssize_t n_environs)
{
    return python_is_held_by((PyObject *)s, 1) && python_is_held_by((PyObject *)s->write, 1) &&
           python_is_held_by((PyObject *)s->early_hints, 1 + n_environs);
}
