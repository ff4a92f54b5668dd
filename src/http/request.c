/* SPDX-License-Identifier: MIT */
/* The memory of a request's fields, looking one up, and which of them are the server's business. Filled by the
 * parser. */
#include "http/request.h"

#include "http/syntax.h"

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

static bool is_forwarding(Span name)
{
    static const Span prefix = SPAN_LITERAL("x-forwarded-");

    return name.size > prefix.size && token_is((Span){name.data, prefix.size}, prefix);
}

FieldRole field_role(Span name)
{
    switch (name.size) {
    case 4:
        return TOKEN_IS(name, "host") ? ROLE_HOST : ROLE_NONE;
    case 6:
        if (TOKEN_IS(name, "cookie"))
            return ROLE_CREDENTIALS;
        return TOKEN_IS(name, "expect") ? ROLE_EXPECT : ROLE_NONE;
    case 9:
        return TOKEN_IS(name, "forwarded") ? ROLE_FORWARDING : ROLE_NONE;
    case 10:
        return TOKEN_IS(name, "connection") ? ROLE_CONNECTION : ROLE_NONE;
    case 11:
        return span_equal_nocase(name, SPAN_LITERAL("script_name")) ? ROLE_FORWARDING : ROLE_NONE;
    case 13:
        if (TOKEN_IS(name, "authorization"))
            return ROLE_CREDENTIALS;
        break;
    case 14:
        if (TOKEN_IS(name, "content-length"))
            return ROLE_CONTENT_LENGTH;
        break;
    case 17:
        if (TOKEN_IS(name, "transfer-encoding"))
            return ROLE_TRANSFER_ENCODING;
        break;
    case 19:
        if (TOKEN_IS(name, "proxy-authorization"))
            return ROLE_CREDENTIALS;
        break;
    default:
        break;
    }
    return is_forwarding(name) ? ROLE_FORWARDING : ROLE_NONE;
}
