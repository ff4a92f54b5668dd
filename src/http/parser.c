/* SPDX-License-Identifier: MIT */
/* What the fields mean for the message's framing, its host and its target. */
#include "http/parser.h"

#include "base/cleanup.h"
#include "http/splitter.h"
#include "http/syntax.h"
#include "http/target.h"

/* What the fields say together. */
typedef struct Semantics {
    Span host;
    bool host_is_known; /* from a request that was accepted with it */
    Span content_length;
    unsigned n_hosts;
    unsigned n_content_lengths;
    bool transfer_encoding;
    bool chunked;      /* is the last coding so far */
    bool other_coding; /* comes before it */
    bool close;
    bool keep_alive;
} Semantics;

/* --- request line --- */

static void split_path(Request *r, Span s)
{
    const char *mark = memchr(s.data, '?', s.size);

    r->path = s;
    r->query = (Span){"", 0};
    if (mark) {
        r->path.size = (size_t)(mark - s.data);
        r->query = (Span){mark + 1, (size_t)(s.data + s.size - (mark + 1))};
    }
}

/* absolute-form (RFC 9112 §3.2.2), of a scheme that this server can answer for (RFC 9110 §4.2). */
static int parse_absolute_target(Request *r)
{
    static const Span schemes[] = {SPAN_LITERAL("http://"), SPAN_LITERAL("https://")};
    Span authority, rest = r->target;

    for (size_t i = 0; i < ELEMENTSOF(schemes); i++)
        if (rest.size == r->target.size && rest.size > schemes[i].size &&
            strncasecmp(rest.data, schemes[i].data, schemes[i].size) == 0)
            rest = (Span){rest.data + schemes[i].size, rest.size - schemes[i].size};
    if (rest.size == r->target.size)
        return request_refuse(r, 400, "malformed request target");

    authority = (Span){rest.data, 0};
    while (authority.size < rest.size && rest.data[authority.size] != '/' && rest.data[authority.size] != '?')
        authority.size++;
    if (!target_authority_is_valid(authority))
        return request_refuse(r, 400, "bad authority in the request target");
    r->host = authority;
    split_path(r, (Span){rest.data + authority.size, rest.size - authority.size});
    if (r->path.size == 0)
        r->path = SPAN_LITERAL("/");
    return 0;
}

static int parse_target(Request *r)
{
    if (r->target.data[0] == '/') {
        split_path(r, r->target);
        return 0;
    }
    if (span_equal(r->target, SPAN_LITERAL("*"))) {
        if (!span_equal(r->method, SPAN_LITERAL("OPTIONS")))
            return request_refuse(r, 400, "request target '*' is for OPTIONS");
        r->is_server_options = true;
        split_path(r, r->target);
        return 0;
    }
    return parse_absolute_target(r);
}

/* --- meaning of the fields --- */

/* RFC 9112 §6.1. Elements are tokens: the registered codings take no parameters that anyone sends. */
static int on_transfer_encoding(Request *r, Semantics *m, Span value)
{
    Span coding;

    m->transfer_encoding = true;
    while (list_next(&value, &coding)) {
        if (!span_is_token(coding) || TOKEN_IS(coding, "identity"))
            return request_refuse(r, 400, "malformed Transfer-Encoding");
        if (m->chunked)
            return request_refuse(r, 400, "chunked is not the last transfer coding");
        if (TOKEN_IS(coding, "chunked"))
            m->chunked = true;
        else
            m->other_coding = true;
    }
    return 0;
}

static void on_connection(Semantics *m, Span value)
{
    Span option;

    while (list_next(&value, &option)) {
        m->close |= span_equal_nocase(option, SPAN_LITERAL("close"));
        m->keep_alive |= span_equal_nocase(option, SPAN_LITERAL("keep-alive"));
    }
}

/* RFC 9110 §10.1.1: HTTP/1.0 has no expectations. */
static int on_expect(Request *r, Span value)
{
    Span expectation;

    if (r->version_minor == 0)
        return 0;
    while (list_next(&value, &expectation)) {
        if (!span_equal_nocase(expectation, SPAN_LITERAL("100-continue")))
            return request_refuse(r, 417, "unknown expectation");
        r->expect_continue = true;
    }
    return 0;
}

static int on_field(Request *r, Semantics *m, const Field *f)
{
    switch (f->role) {
    case ROLE_HOST:
        m->host = f->value;
        m->host_is_known = f->line != 0;
        m->n_hosts++;
        break;
    case ROLE_EXPECT:
        return on_expect(r, f->value);
    case ROLE_CONNECTION:
        on_connection(m, f->value);
        break;
    case ROLE_CONTENT_LENGTH:
        m->content_length = f->value;
        m->n_content_lengths++;
        break;
    case ROLE_TRANSFER_ENCODING:
        return on_transfer_encoding(r, m, f->value);
    default:
        break;
    }
    return 0;
}

/* CGI makes the same HTTP_X_Y of X-Y and X_Y: a client must not get the second past a proxy that checks the
 * first. */
static bool is_ambiguous(Span name)
{
    return memchr(name.data, '_', name.size);
}

static bool is_kept(Span name, const HttpLimits *limits)
{
    for (char *const *kept = limits->forwarder_fields; kept && *kept; kept++)
        if (span_equal_nocase(name, span_of(*kept)))
            return true;
    return false;
}

static int drop_field(Request *r, Span name, const HttpLimits *limits)
{
    if (limits->refuses_ambiguous_names)
        return request_refuse(r, 400, "'_' in the name of a field");
    r->dropped_field = name;
    r->n_dropped_fields++;
    return 0;
}

static int read_fields(Request *r, Semantics *m, const HttpLimits *limits)
{
    size_t n = 0;
    int status = 0;

    for (size_t i = 0; i < r->n_fields && status == 0; i++) {
        Field *f = &r->fields[i];

        if (f->line == 0 && is_ambiguous(f->name) && !is_kept(f->name, limits)) {
            status = drop_field(r, f->name, limits);
            continue;
        }
        if (f->line == 0)
            f->role = field_role(f->name);
        status = on_field(r, m, f);
        if (n < i)
            r->fields[n] = *f;
        n++;
    }
    if (status == 0)
        r->n_fields = n;
    return status;
}

/* --- consequences --- */

/* RFC 9112 §3.2: every HTTP/1.1 request has one valid Host, which an absolute-form target then overrides. */
static int decide_host(Request *r, const Semantics *m)
{
    if (m->n_hosts > 1)
        return request_refuse(r, 400, "more than one Host");
    if (m->n_hosts == 0)
        return r->version_minor == 0 ? 0 : request_refuse(r, 400, "no Host");
    if (!m->host_is_known && !target_authority_is_valid(m->host))
        return request_refuse(r, 400, "bad Host");
    if (!r->host.data)
        r->host = m->host;
    return 0;
}

/* RFC 9110 §8.6. */
static int decide_content_length(Request *r, const Semantics *m, uint64_t limit)
{
    Span s = m->content_length;
    int64_t length = 0;
    bool overflow = false;

    if (m->n_content_lengths > 1)
        return request_refuse(r, 400, "more than one Content-Length");
    if (s.size == 0)
        return request_refuse(r, 400, "malformed Content-Length");
    for (size_t i = 0; i < s.size; i++) {
        if (!octet_is_digit(s.data[i]))
            return request_refuse(r, 400, "malformed Content-Length");
        overflow |= __builtin_mul_overflow(length, 10, &length);
        overflow |= __builtin_add_overflow(length, s.data[i] - '0', &length);
    }
    if (overflow || (uint64_t)length > limit)
        return request_refuse(r, 413, "body too large");
    r->content_length = length;
    return 0;
}

/* RFC 9112 §6.3. */
static int decide_framing(Request *r, const Semantics *m, uint64_t limit)
{
    if (!m->transfer_encoding)
        return m->n_content_lengths == 0 ? 0 : decide_content_length(r, m, limit);
    if (m->n_content_lengths > 0)
        return request_refuse(r, 400, "both Transfer-Encoding and Content-Length");
    if (r->version_minor == 0)
        return request_refuse(r, 400, "Transfer-Encoding in HTTP/1.0");
    if (!m->chunked)
        return request_refuse(r, 400, "chunked is not the last transfer coding");
    if (m->other_coding)
        return request_refuse(r, 501, "transfer coding not implemented");
    r->chunked = true;
    return 0;
}

int request_parse(Request *r, const HeadScan *scan, const char *head, size_t size, const HttpLimits *limits)
{
    Semantics m = {0};
    bool is_new;
    int status;

    *r = (Request){.fields = r->fields, .fields_capacity = r->fields_capacity, .content_length = -1};
    status = splitter_run(r, scan, head, size, limits, &is_new);
    if (status == 0)
        status = parse_target(r);
    if (status == 0)
        status = read_fields(r, &m, limits);
    if (status == 0)
        status = decide_host(r, &m);
    if (status == 0)
        status = decide_framing(r, &m, limits->body);
    if (status != 0)
        return status;

    if (!r->host.data)
        r->host = (Span){"", 0};
    r->keep_alive = !m.close && (r->version_minor > 0 || m.keep_alive);
    if (is_new && limits->known)
        splitter_remember(r, limits->known);
    return 0;
}
