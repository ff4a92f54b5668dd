/* SPDX-License-Identifier: MIT */
/* The atoms of an access log line, with gunicorn's meaning; what is missing is "-". */
#include "worker/access-line.h"

#include "base/base64.h"
#include "base/escape.h"

#include <inttypes.h>
#include <unistd.h>

#define VALUE_MAX ((size_t)16 * 1024)
#define USER_MAX 256

int access_line_append_escaped(Buffer *to, Span s)
{
    size_t room = s.size < VALUE_MAX / 4 ? 4 * s.size + 4 : VALUE_MAX;
    int r = buffer_reserve(to, room);

    if (r < 0)
        return r;
    to->end += escape_bytes(buffer_tail(to), room, s);
    return 0;
}

/* Escaped, "-" where there is none. */
static int append_value(Buffer *to, Span s)
{
    return s.data ? access_line_append_escaped(to, s) : buffer_append(to, "-", 1);
}

static Span non_empty(Span s)
{
    return s.size > 0 ? s : (Span){NULL, 0};
}

static Span protocol(const Request *q)
{
    return q->version_minor == 0 ? SPAN_LITERAL("HTTP/1.0") : SPAN_LITERAL("HTTP/1.1");
}

static int append_request_line(Buffer *to, const Request *q)
{
    int r;

    if (q->method.size == 0)
        return buffer_append(to, "-", 1);
    if ((r = access_line_append_escaped(to, q->method)) < 0 || (r = buffer_append(to, " ", 1)) < 0 ||
        (r = access_line_append_escaped(to, q->target)) < 0 || (r = buffer_append(to, " ", 1)) < 0)
        return r;
    return append_value(to, protocol(q));
}

static int append_time(Buffer *to, AccessTime *t)
{
    time_t now = time(NULL);
    struct tm tm;

    if (now != t->second || !t->text[0]) {
        localtime_r(&now, &tm);
        strftime(t->text, sizeof(t->text), "[%d/%b/%Y:%H:%M:%S %z]", &tm);
        t->second = now;
    }
    return buffer_append_string(to, t->text);
}

/* The user of "Basic BASE64(user:password)" (RFC 7617 §2), in `to`; data NULL where there is none. */
static Span basic_user(const Request *q, char to[static USER_MAX])
{
    const Span scheme = SPAN_LITERAL("Basic ");
    Span value = request_field(q, "authorization");
    const char *colon;
    size_t n;

    if (value.size < scheme.size || !span_equal_nocase((Span){value.data, scheme.size}, scheme))
        return (Span){NULL, 0};
    n = base64_decode((Span){value.data + scheme.size, value.size - scheme.size}, to, USER_MAX);
    colon = memchr(to, ':', n);
    return colon ? non_empty((Span){to, (size_t)(colon - to)}) : (Span){NULL, 0};
}

static int append_user(Buffer *to, const Request *q)
{
    char user[USER_MAX];

    return append_value(to, basic_user(q, user));
}

static int append_atom(Buffer *to, char atom, const AccessEntry *e, AccessTime *t)
{
    const Request *q = e->request;

    switch (atom) {
    case 'h':
        return append_value(to, non_empty(e->peer->remote_addr));
    case 'u':
        return append_user(to, q);
    case 't':
        return append_time(to, t);
    case 'r':
        return append_request_line(to, q);
    case 's':
        return buffer_printf(to, "%u", e->status);
    case 'm':
        return append_value(to, non_empty(q->method));
    case 'U':
        return append_value(to, non_empty(q->path));
    case 'q':
        return access_line_append_escaped(to, q->query);
    case 'H':
        return append_value(to, protocol(q));
    case 'b':
    case 'B':
        return buffer_printf(to, "%" PRIu64, e->body_size);
    case 'f':
        return append_value(to, request_field(q, "referer"));
    case 'a':
        return append_value(to, request_field(q, "user-agent"));
    case 'T':
        return buffer_printf(to, "%" PRIu64, e->duration_usec / USEC_PER_SEC);
    case 'D':
        return buffer_printf(to, "%" PRIu64, e->duration_usec);
    case 'M':
        return buffer_printf(to, "%" PRIu64, e->duration_usec / USEC_PER_MSEC);
    case 'L':
        return buffer_printf(to, "%" PRIu64 ".%06" PRIu64, e->duration_usec / USEC_PER_SEC,
                             e->duration_usec % USEC_PER_SEC);
    case 'p':
        return buffer_printf(to, "<%d>", (int)getpid());
    default: /* 'l' */
        return buffer_append(to, "-", 1);
    }
}

static Span find_request_field(const Request *q, Span name)
{
    for (size_t i = 0; i < q->n_fields; i++)
        if (span_equal_nocase(q->fields[i].name, name))
            return q->fields[i].value;
    return (Span){NULL, 0};
}

/* In "200 OK\r\nName: value\r\n…". */
static Span find_response_field(const Response *p, Span name)
{
    Span rest = p ? buffer_span(&p->fields) : (Span){NULL, 0};
    const char *end;

    while (rest.size > 0 && (end = memchr(rest.data, '\n', rest.size))) {
        size_t line = (size_t)(end - rest.data);

        if (line >= name.size + 3 && rest.data[name.size] == ':' &&
            span_equal_nocase((Span){rest.data, name.size}, name))
            return (Span){rest.data + name.size + 2, line - name.size - 3};
        rest = (Span){end + 1, rest.size - line - 1};
    }
    return (Span){NULL, 0};
}

/* HTTP_USER_AGENT is of the field User-Agent (RFC 3875 §4.1.18). */
static bool is_environ_name(Span field, Span name)
{
    if (field.size != name.size)
        return false;
    for (size_t i = 0; i < field.size; i++) {
        char c = field.data[i];

        c = c == '-' ? '_' : (char)(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
        if (c != name.data[i])
            return false;
    }
    return true;
}

static Span find_environ(const AccessEntry *e, Span name)
{
    const Span prefix = SPAN_LITERAL("HTTP_");
    const Request *q = e->request;

    if (span_equal(name, SPAN_LITERAL("REQUEST_METHOD")))
        return non_empty(q->method);
    if (span_equal(name, SPAN_LITERAL("PATH_INFO")))
        return non_empty(q->path);
    if (span_equal(name, SPAN_LITERAL("QUERY_STRING")))
        return q->query.data ? q->query : SPAN_LITERAL("");
    if (span_equal(name, SPAN_LITERAL("REMOTE_ADDR")))
        return non_empty(e->peer->remote_addr);
    if (span_equal(name, SPAN_LITERAL("REMOTE_PORT")))
        return non_empty(e->peer->remote_port);
    if (span_equal(name, SPAN_LITERAL("SERVER_NAME")))
        return e->peer->server_name;
    if (span_equal(name, SPAN_LITERAL("SERVER_PORT")))
        return e->peer->server_port;
    if (span_equal(name, SPAN_LITERAL("SERVER_PROTOCOL")))
        return protocol(q);
    if (span_equal(name, SPAN_LITERAL("wsgi.url_scheme")))
        return e->peer->https ? SPAN_LITERAL("https") : SPAN_LITERAL("http");
    if (span_equal(name, SPAN_LITERAL("CONTENT_TYPE")))
        return request_field(q, "content-type");
    if (span_equal(name, SPAN_LITERAL("CONTENT_LENGTH")))
        return request_field(q, "content-length");
    if (name.size > prefix.size && memcmp(name.data, prefix.data, prefix.size) == 0) {
        name = (Span){name.data + prefix.size, name.size - prefix.size};
        for (size_t i = 0; i < q->n_fields; i++)
            if (is_environ_name(q->fields[i].name, name))
                return q->fields[i].value;
    }
    return (Span){NULL, 0};
}

int access_line_append(Buffer *to, const AccessFormat *format, const AccessEntry *e, AccessTime *t)
{
    int r = 0;

    for (size_t i = 0; i < format->n_atoms && r >= 0; i++) {
        const AccessAtom *a = &format->atoms[i];

        switch (a->type) {
        case ACCESS_LITERAL:
            r = buffer_append(to, a->text.data, a->text.size);
            break;
        case ACCESS_ATOM:
            r = append_atom(to, a->atom, e, t);
            break;
        case ACCESS_REQUEST_FIELD:
            r = append_value(to, find_request_field(e->request, a->text));
            break;
        case ACCESS_RESPONSE_FIELD:
            r = append_value(to, find_response_field(e->response, a->text));
            break;
        case ACCESS_ENVIRON:
            r = append_value(to, find_environ(e, a->text));
            break;
        }
    }
    return r < 0 ? r : buffer_append(to, "\n", 1);
}
