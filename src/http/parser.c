/* SPDX-License-Identifier: MIT */
/* llhttp splits the head into fields; what they mean for the message's framing, its host and its target is
 * decided here. It is given nothing but scanned heads (head.c), so that its versions 8.1 to 9.x give the same
 * answers. */
#include "http/parser.h"

#include "base/cleanup.h"
#include "http/syntax.h"
#include "http/target.h"

#include <errno.h>
#include <llhttp.h>
#include <stdlib.h>

/* The parser's view while llhttp runs. */
typedef struct Splitter {
    llhttp_t llhttp; /* first: the callbacks get a pointer to it */
    Request *request;
    unsigned max_fields;
    int result; /* of a callback that stopped it */
} Splitter;

/* What the fields say together. */
typedef struct Semantics {
    Span host;
    Span content_length;
    unsigned n_hosts;
    unsigned n_content_lengths;
    bool transfer_encoding;
    bool chunked;      /* is the last coding so far */
    bool other_coding; /* comes before it */
    bool close;
    bool keep_alive;
} Semantics;

static int refuse(Request *r, int status, const char *reason)
{
    r->reason = reason;
    return status;
}

/* --- fields, by llhttp --- */

static int fields_grow(Splitter *s)
{
    Request *r = s->request;
    size_t capacity = r->fields_capacity ? 2 * r->fields_capacity : 32;
    Field *fields;

    if (r->n_fields >= s->max_fields)
        return refuse(r, 431, "too many fields");
    fields = reallocarray(r->fields, capacity, sizeof(*fields));
    if (!fields)
        return -ENOMEM;
    r->fields = fields;
    r->fields_capacity = capacity;
    return 0;
}

static int on_name(llhttp_t *llhttp, const char *data, size_t size)
{
    Splitter *s = (Splitter *)llhttp;
    Request *r = s->request;

    if (r->n_fields == r->fields_capacity) {
        s->result = fields_grow(s);
        if (s->result != 0)
            return HPE_USER;
    }
    r->fields[r->n_fields++] = (Field){{data, size}, {data + size, 0}};

    /* "An ordinary field": llhttp would look into Content-Length, Transfer-Encoding, Connection and Upgrade,
     * and its versions disagree on which of them to refuse. */
    llhttp->header_state = 0;
    return 0;
}

static int on_value(llhttp_t *llhttp, const char *data, size_t size)
{
    Request *r = ((Splitter *)llhttp)->request;

    r->fields[r->n_fields - 1].value = span_trim((Span){data, size});
    return 0;
}

static int on_head(llhttp_t *llhttp)
{
    llhttp->upgrade = 0;
    return HPE_PAUSED; /* bodies are framed by chunked.c and by the caller */
}

static const llhttp_settings_t settings = {
    .on_header_field = on_name,
    .on_header_value = on_value,
    .on_headers_complete = on_head,
};

/* llhttp numbers RFC 9110's and WebDAV's methods up to UNLINK in all its versions; behind come those of other
 * protocols and those that only some versions know. */
static bool method_is_known(Span method)
{
    for (int i = 0; i <= HTTP_UNLINK; i++)
        if (i != HTTP_CONNECT && span_equal(method, span_of(llhttp_method_name((llhttp_method_t)i))))
            return true;
    return false;
}

#ifdef LLHTTP_SSE42
/* Finds the end of a value 16 octets at a time; otherwise the same as llhttp_execute(). */
int llhttp__internal_execute_sse42(llhttp__internal_t *parser, const char *data, const char *end);
#endif

static llhttp_errno_t execute(llhttp_t *llhttp, const char *data, size_t size)
{
#ifdef LLHTTP_SSE42
    if (__builtin_cpu_supports("sse4.2"))
        return (llhttp_errno_t)llhttp__internal_execute_sse42(llhttp, data, data + size);
#endif
    return llhttp_execute(llhttp, data, size);
}

static int split_fields(Request *r, const char *head, size_t size, unsigned max_fields)
{
    Splitter s = {.request = r, .max_fields = max_fields};
    llhttp_errno_t e;

    llhttp_init(&s.llhttp, HTTP_REQUEST, &settings);
    s.llhttp.lenient_flags |= LENIENT_VERSION; /* HTTP/1.2 is for us to serve, RFC 9110 §2.5 */
    e = execute(&s.llhttp, head, size);
    if (s.result != 0)
        return s.result;
    if (e == HPE_PAUSED && llhttp_get_error_pos(&s.llhttp) == head + size) {
        if (s.llhttp.method <= HTTP_UNLINK && s.llhttp.method != HTTP_CONNECT)
            return 0;
    } else if (method_is_known(r->method)) {
        return refuse(r, 400, "malformed request head");
    }
    return refuse(r, 501, "method not implemented");
}

/* --- request line --- */

/* The scan has seen to its form: TOKEN SP TARGET SP "HTTP/1." DIGIT. */
static void split_request_line(Request *r, const char *head, size_t size)
{
    const char *method_end = memchr(head, ' ', size);
    const char *target = method_end + 1;
    const char *target_end = memchr(target, ' ', (size_t)(head + size - target));

    r->method = (Span){head, (size_t)(method_end - head)};
    r->target = (Span){target, (size_t)(target_end - target)};
    r->version_minor = target_end[sizeof("HTTP/1.")] != '0';
    r->is_head = span_equal(r->method, SPAN_LITERAL("HEAD"));
}

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
        return refuse(r, 400, "malformed request target");

    authority = (Span){rest.data, 0};
    while (authority.size < rest.size && rest.data[authority.size] != '/' && rest.data[authority.size] != '?')
        authority.size++;
    if (!target_authority_is_valid(authority))
        return refuse(r, 400, "bad authority in the request target");
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
            return refuse(r, 400, "request target '*' is for OPTIONS");
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
            return refuse(r, 400, "malformed Transfer-Encoding");
        if (m->chunked)
            return refuse(r, 400, "chunked is not the last transfer coding");
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
            return refuse(r, 417, "unknown expectation");
        r->expect_continue = true;
    }
    return 0;
}

static int on_field(Request *r, Semantics *m, const Field *f)
{
    switch (f->name.size) {
    case 4:
        if (TOKEN_IS(f->name, "host")) {
            m->host = f->value;
            m->n_hosts++;
        }
        break;
    case 6:
        if (TOKEN_IS(f->name, "expect"))
            return on_expect(r, f->value);
        break;
    case 10:
        if (TOKEN_IS(f->name, "connection"))
            on_connection(m, f->value);
        break;
    case 14:
        if (TOKEN_IS(f->name, "content-length")) {
            m->content_length = f->value;
            m->n_content_lengths++;
        }
        break;
    case 17:
        if (TOKEN_IS(f->name, "transfer-encoding"))
            return on_transfer_encoding(r, m, f->value);
        break;
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

static int read_fields(Request *r, Semantics *m, const HttpLimits *limits)
{
    size_t n = 0;

    for (size_t i = 0; i < r->n_fields; i++) {
        int status;

        if (is_ambiguous(r->fields[i].name) && !is_kept(r->fields[i].name, limits)) {
            if (limits->refuses_ambiguous_names)
                return refuse(r, 400, "'_' in the name of a field");
            r->dropped_field = r->fields[i].name;
            r->n_dropped_fields++;
            continue;
        }
        r->fields[n] = r->fields[i];
        status = on_field(r, m, &r->fields[n++]);
        if (status != 0)
            return status;
    }
    r->n_fields = n;
    return 0;
}

/* --- consequences --- */

/* RFC 9112 §3.2: every HTTP/1.1 request has one valid Host, which an absolute-form target then overrides. */
static int decide_host(Request *r, const Semantics *m)
{
    if (m->n_hosts > 1)
        return refuse(r, 400, "more than one Host");
    if (m->n_hosts == 0)
        return r->version_minor == 0 ? 0 : refuse(r, 400, "no Host");
    if (!target_authority_is_valid(m->host))
        return refuse(r, 400, "bad Host");
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
        return refuse(r, 400, "more than one Content-Length");
    if (s.size == 0)
        return refuse(r, 400, "malformed Content-Length");
    for (size_t i = 0; i < s.size; i++) {
        if (!octet_is_digit(s.data[i]))
            return refuse(r, 400, "malformed Content-Length");
        overflow |= __builtin_mul_overflow(length, 10, &length);
        overflow |= __builtin_add_overflow(length, s.data[i] - '0', &length);
    }
    if (overflow || (uint64_t)length > limit)
        return refuse(r, 413, "body too large");
    r->content_length = length;
    return 0;
}

/* RFC 9112 §6.3. */
static int decide_framing(Request *r, const Semantics *m, uint64_t limit)
{
    if (!m->transfer_encoding)
        return m->n_content_lengths == 0 ? 0 : decide_content_length(r, m, limit);
    if (m->n_content_lengths > 0)
        return refuse(r, 400, "both Transfer-Encoding and Content-Length");
    if (r->version_minor == 0)
        return refuse(r, 400, "Transfer-Encoding in HTTP/1.0");
    if (!m->chunked)
        return refuse(r, 400, "chunked is not the last transfer coding");
    if (m->other_coding)
        return refuse(r, 501, "transfer coding not implemented");
    r->chunked = true;
    return 0;
}

int request_parse(Request *r, const char *head, size_t size, const HttpLimits *limits)
{
    Semantics m = {0};
    int status;

    *r = (Request){.fields = r->fields, .fields_capacity = r->fields_capacity, .content_length = -1};
    split_request_line(r, head, size);
    status = split_fields(r, head, size, limits->fields);
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
    return 0;
}
