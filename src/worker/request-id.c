/* SPDX-License-Identifier: MIT */
/* The name of a request in the log. */
#include "worker/request-id.h"

#include "worker/peer.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>

static bool id_is_sane(Span id)
{
    if (id.size == 0 || id.size > REQUEST_ID_MAX)
        return false;
    for (size_t i = 0; i < id.size; i++)
        if (!isalnum((unsigned char)id.data[i]) && !(id.data[i] && strchr("-._:+/=@", id.data[i])))
            return false;
    return true;
}

char *request_id_field(const Loop *l, const Connection *c, char to[static REQUEST_ID_FIELD_SIZE])
{
    const Exchange *x = c->exchange;
    Span id = request_field(&x->request, "x-request-id");

    if (id_is_sane(id) && peer_is_trusted(c))
        snprintf(to, REQUEST_ID_FIELD_SIZE, REQUEST_ID_KEY "%.*s", (int)id.size, id.data);
    else
        snprintf(to, REQUEST_ID_FIELD_SIZE, REQUEST_ID_KEY "%016" PRIx64, l->first_request + x->serial);
    return to;
}
