/* SPDX-License-Identifier: MIT */
/* An application in the place of one that could not be loaded: answers every request with status 500 and the
 * reason. For development alone, as it shows source code. */
#pragma once

#include "wsgi/app.h"

/* With the GIL. text: UTF-8. 0, or -1: no memory. */
int wsgi_error_page_new(const char *text, WsgiApp **ret);
