/* SPDX-License-Identifier: MIT */
/* Who may set the fields that are reserved for proxies. */
#include "http/forwarder-fields.h"

static char fold(char octet)
{
    return octet == '-' ? '_' : octet >= 'a' && octet <= 'z' ? (char)(octet - 'a' + 'A') : octet;
}

/* RFC 3875 §4.1.18 */
static bool is_same_in_cgi(Span a, Span b)
{
    if (a.size != b.size)
        return false;
    for (size_t i = 0; i < a.size; i++)
        if (fold(a.data[i]) != fold(b.data[i]))
            return false;
    return true;
}

static bool is_admitted(Span name, const HttpLimits *limits, bool is_trusted)
{
    for (char *const *reserved = limits->forwarder_fields; reserved && *reserved; reserved++)
        if (is_same_in_cgi(name, span_of(*reserved)))
            return is_trusted && span_equal_nocase(name, span_of(*reserved));
    return true;
}

int forwarder_fields_admit(Request *r, const HttpLimits *limits, bool is_trusted)
{
    size_t n = 0;

    for (size_t i = 0; i < r->n_fields; i++) {
        Span name = r->fields[i].name;

        if (is_admitted(name, limits, is_trusted)) {
            r->fields[n++] = r->fields[i];
            continue;
        }
        if (limits->refuses_ambiguous_names && memchr(name.data, '_', name.size)) {
            r->reason = "'_' in the name of a field of a peer that is not trusted";
            return 400;
        }
        r->dropped_field = name;
        r->n_dropped_fields++;
    }
    r->n_fields = n;
    return 0;
}
