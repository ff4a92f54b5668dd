/* SPDX-License-Identifier: MIT */
/* develop.reload in a worker: tells the supervisor where the application's modules come from, and answers
 * with the reason where it does not load. */
#pragma once

#include "base/cleanup.h"
#include "worker/channel-end.h"
#include "wsgi/app.h"

typedef struct Develop Develop;

/* All with the GIL. NULL: no memory. */
Develop *develop_new(ChannelEnd channel);
Develop *develop_free(Develop *d);
DEFINE_CLEANUP(Develop, develop)

/* Logs why there is no application, takes over the text, which has tracebacks, and returns a page that says
 * the same. NULL: no memory. */
WsgiApp *develop_show(Develop *d, char *failure);

/* After everything that may have imported a module. Waits where the supervisor is slow to read. */
void develop_tell(Develop *d);
