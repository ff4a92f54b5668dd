/* SPDX-License-Identifier: MIT */
/* The memory of a request's fields, and looking one up. Filled by the parser. */
#include "http/request.h"

#include <stdlib.h>

void request_init(Request *r)
{
    *r = (Request){.content_length = -1};
}

void request_deinit(Request *r)
{
    free(r->fields);
    request_init(r);
}

Span request_field(const Request *r, const char *name)
{
    Span wanted = span_of(name);

    for (size_t i = 0; i < r->n_fields; i++)
        if (span_equal_nocase(r->fields[i].name, wanted))
            return r->fields[i].value;
    return (Span){NULL, 0};
}
