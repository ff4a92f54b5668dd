/* SPDX-License-Identifier: MIT */
/* The inside of WsgiApp, for call.c and app.c. */
#pragma once

#include "wsgi/python.h"

#include "wsgi/app.h"
#include "wsgi/slot.h"

struct WsgiApp {
    PyObject *callable;
    SlotPool slots;         /* from wsgi_app_prepare() on */
    const WsgiHooks *hooks; /* NULL: none around requests; borrowed */
};
