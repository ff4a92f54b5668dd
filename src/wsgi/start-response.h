/* SPDX-License-Identifier: MIT */
/* The start_response callable and the write callable that it returns (PEP 3333). */
#pragma once

#include "wsgi/python.h"

#include "wsgi/delivery.h"

typedef struct StartResponseTypes {
    PyTypeObject *start_response;
    PyTypeObject *write;
} StartResponseTypes;

/* A callable bound to a delivery: both types have this shape. */
typedef struct DeliveryCallable {
    PyObject_HEAD vectorcallfunc vectorcall;
    Delivery *delivery;             /* NULL: the request is over */
    struct DeliveryCallable *write; /* of start_response: what it returns, owned */
} DeliveryCallable;

/* 0, or -1 with an exception. */
int start_response_types_init(StartResponseTypes *types);
void start_response_types_clear(StartResponseTypes *types);

/* A pair, the write callable owned by the other; or NULL with an exception. */
DeliveryCallable *start_response_new(const StartResponseTypes *types);

/* For one request; then start_response_detach(), after which calls of either raise. */
static inline void start_response_attach(DeliveryCallable *s, Delivery *x)
{
    s->delivery = s->write->delivery = x;
}

static inline void start_response_detach(DeliveryCallable *s)
{
    s->delivery = s->write->delivery = NULL;
}

/* Whether nobody but its owner holds the pair, so that it can serve the next request. */
static inline bool start_response_is_unshared(DeliveryCallable *s)
{
    return Py_REFCNT(s) == 1 && Py_REFCNT(s->write) == 1;
}
