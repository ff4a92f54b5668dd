/* SPDX-License-Identifier: MIT */
/* Where the code of the application is: the directories of the imported modules and of sys.path, without the
 * standard library. For those who watch them. All with the GIL. */
#pragma once

#include "base/buffer.h"
#include "base/cleanup.h"

typedef struct WsgiModules WsgiModules;

WsgiModules *wsgi_modules_new(void); /* NULL: no memory */
WsgiModules *wsgi_modules_free(WsgiModules *m);
DEFINE_CLEANUP(WsgiModules, wsgi_modules)

/* Appends the directories that it has not told before, a newline behind each. Costs nothing where no module
 * came. What can't be told is left out. */
void wsgi_modules_tell(WsgiModules *m, Buffer *to);
