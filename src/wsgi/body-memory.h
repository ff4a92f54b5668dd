/* SPDX-License-Identifier: MIT */
/* Memory for a request body that is the storage of a bytes object, the one that wsgi.input.read() returns: what was
 * received there is copied no more. Whoever fills it needs no GIL, as nobody else knows of the object until the
 * application does. */
#pragma once

#include <stddef.h>

/* All with the GIL. Room for size octets at *ret; returns its owner, see spool_lend(), or NULL: no memory. */
void *body_memory_new(size_t size, char **ret);
void body_memory_free(void *owner);
