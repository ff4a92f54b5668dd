/* SPDX-License-Identifier: MIT */
/* Target: what an application may say. Input: an octet of flags (about the request, "0" and up), then parts that end in
 * 0xff: the status, then names and values in turn, each tried as a field of an early hint, too; their values are the
 * blocks of the body as well. What comes out is read back line by line: exactly what was accepted, and one framing that
 * holds. */
#include "http/response.h"
#include "base/cleanup.h"
#include "fuzz.h"
#include "http/chunked.h"

#include <ctype.h>

#define SEPARATOR '\xff'
#define DATE "Sun, 06 Nov 1994 08:49:37 GMT"

typedef struct Case {
    Request request;
    bool keep_alive;
    int64_t known_length;
    Span blocks; /* what is left of the input after the status */
} Case;

/* What the head must have, as far as the application decides it. */
typedef struct Expected {
    Buffer lines; /* "NAME: VALUE" CRLF */
    bool date, server, close;
    int64_t length;
} Expected;

/* buffer_span() is for buffers that were used. */
static Span octets_of(const Buffer *b)
{
    return buffer_size(b) > 0 ? buffer_span(b) : SPAN_LITERAL("");
}

/* --- what may be said, a second time --- */

static bool is_text(Span s)
{
    for (size_t i = 0; i < s.size; i++)
        if (iscntrl((unsigned char)s.data[i]) && s.data[i] != '\t')
            return false;
    return true;
}

static bool is_token(Span s)
{
    for (size_t i = 0; i < s.size; i++)
        if (!isalnum((unsigned char)s.data[i]) && (!s.data[i] || !strchr("!#$%&'*+-.^_`|~", s.data[i])))
            return false;
    return s.size > 0;
}

static int judge_status(Span s)
{
    unsigned code = 0;

    for (size_t i = 0; i < 3; i++) {
        if (i >= s.size || !isdigit((unsigned char)s.data[i]))
            return RESPONSE_E_STATUS;
        code = code * 10 + (unsigned)(s.data[i] - '0');
    }
    if (code < 100 || s.size < 4 || s.data[3] != ' ' || !is_text(s))
        return RESPONSE_E_STATUS;
    return code < 200 ? RESPONSE_E_INTERIM : 0;
}

static int judge_length(Expected *e, Span value)
{
    __extension__ __int128 n = 0;

    for (size_t i = 0; i < value.size; i++) {
        if (!isdigit((unsigned char)value.data[i]))
            return RESPONSE_E_CONTENT_LENGTH;
        n = n * 10 + (value.data[i] - '0');
        if (n > INT64_MAX)
            return RESPONSE_E_CONTENT_LENGTH;
    }
    if (value.size == 0 || e->length >= 0)
        return RESPONSE_E_CONTENT_LENGTH;
    e->length = (int64_t)n;
    return 0;
}

static int judge_connection(Expected *e, Span value)
{
    Span option;
    bool close = false;
    int r = 0;

    while (r == 0 && fuzz_take(&value, ',', &option)) {
        option = fuzz_trim(option);
        close |= fuzz_is(option, "close");
        if (option.size > 0 && !fuzz_is(option, "close") && !fuzz_is(option, "keep-alive"))
            r = RESPONSE_E_HOP_BY_HOP;
    }
    e->close |= close;
    return r;
}

static int expect_line(Expected *e, Span name, Span value)
{
    fuzz_check(buffer_append(&e->lines, name.data, name.size) == 0 &&
                   buffer_append_string(&e->lines, ": ") == 0 &&
                   buffer_append(&e->lines, value.data, value.size) == 0 &&
                   buffer_append_string(&e->lines, "\r\n") == 0,
               "no memory");
    return 0;
}

static int judge_field(Expected *e, Span name, Span value)
{
    static const char *const servers_own[] = {
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "trailers",
        "upgrade",
        "transfer-encoding",
    };

    value = fuzz_trim(value);
    if (!is_token(name))
        return RESPONSE_E_NAME;
    if (!is_text(value))
        return RESPONSE_E_VALUE;
    for (size_t i = 0; i < ELEMENTSOF(servers_own); i++)
        if (fuzz_is(name, servers_own[i]))
            return RESPONSE_E_HOP_BY_HOP;
    if (fuzz_is(name, "connection"))
        return judge_connection(e, value);
    if (fuzz_is(name, "content-length"))
        return judge_length(e, value);
    if ((fuzz_is(name, "date") && e->date) || (fuzz_is(name, "server") && e->server))
        return 0;
    e->date |= fuzz_is(name, "date");
    e->server |= fuzz_is(name, "server");
    return expect_line(e, name, value);
}

/* The same field of a 103: one line of its own, or nothing. */
static void check_hint(Span name, Span value)
{
    static const char *const finals[] = {
        "content-length",   "date",       "server",           "set-cookie",
        "www-authenticate", "x-sendfile", "x-accel-redirect",
    };
    _cleanup_(buffer_deinit) Buffer out = {0};
    Expected e = {.length = -1};
    int judged = fuzz_is(name, "connection") && is_text(fuzz_trim(value)) ? RESPONSE_E_HOP_BY_HOP : 0;
    int got = response_add_hint(&out, name.data, name.size, value.data, value.size);

    for (size_t i = 0; i < ELEMENTSOF(finals); i++)
        if (fuzz_is(name, finals[i]) && is_text(fuzz_trim(value)))
            judged = RESPONSE_E_FINAL;
    judged = judged != 0 ? judged : judge_field(&e, name, value);
    fuzz_check(got == judged, "hint \"%.*s\": %d, expected %d", (int)name.size, name.data, got, judged);
    fuzz_check(span_equal(octets_of(&out), octets_of(&e.lines)), "another line than that of a response");
    buffer_deinit(&e.lines);
}

/* --- the head, read back --- */

typedef struct Head {
    unsigned n_dates, n_servers, n_lengths, n_chunked, n_connections;
    int64_t length;
    bool close;
} Head;

static Span take_line(Span *rest)
{
    const char *end = memmem(rest->data, rest->size, "\r\n", 2);
    Span line;

    fuzz_check(end, "a line without an end");
    line = (Span){rest->data, (size_t)(end - rest->data)};
    fuzz_check(is_text(line), "a control octet in the head");
    *rest = (Span){end + 2, rest->size - line.size - 2};
    return line;
}

static bool has_prefix(Span s, Span prefix)
{
    return s.size >= prefix.size && (prefix.size == 0 || memcmp(s.data, prefix.data, prefix.size) == 0);
}

static void read_own_line(Head *h, Span line)
{
    static const Span length = SPAN_LITERAL("Content-Length: ");

    if (span_equal(line, SPAN_LITERAL("Date: " DATE))) {
        h->n_dates++;
    } else if (span_equal(line, SPAN_LITERAL("Server: cgunicorn"))) {
        h->n_servers++;
    } else if (span_equal(line, SPAN_LITERAL("Transfer-Encoding: chunked"))) {
        h->n_chunked++;
    } else if (span_equal(line, SPAN_LITERAL("Connection: close"))) {
        h->n_connections++;
        h->close = true;
    } else if (span_equal(line, SPAN_LITERAL("Connection: keep-alive"))) {
        h->n_connections++;
    } else {
        fuzz_check(has_prefix(line, length), "unexpected \"%.*s\"", (int)line.size, line.data);
        h->n_lengths++;
        h->length = strtoll(line.data + length.size, NULL, 10); /* CR ends it */
    }
}

static Head read_head(Span head, Span status, const Expected *e)
{
    Span lines = octets_of(&e->lines), line = take_line(&head);
    Head h = {.n_dates = e->date, .n_servers = e->server, .length = -1};

    fuzz_check(has_prefix(line, SPAN_LITERAL("HTTP/1.1 ")) &&
                   span_equal((Span){line.data + 9, line.size - 9}, status),
               "status line \"%.*s\"", (int)line.size, line.data);
    fuzz_check(has_prefix(head, lines), "not the fields that were accepted");
    head = (Span){head.data + lines.size, head.size - lines.size};
    for (line = take_line(&head); line.size > 0; line = take_line(&head))
        read_own_line(&h, line);
    fuzz_check(head.size == 0, "%zu octets behind the head", head.size);
    return h;
}

/* RFC 9112 §6.3, from the client's side. */
static void check_framing(const Head *h, const Response *r, const Case *c, const Expected *e)
{
    bool bodyless = c->request.is_head || r->status == 204 || r->status == 304;

    fuzz_check(h->n_dates == 1 && h->n_servers == 1, "%u dates, %u servers", h->n_dates, h->n_servers);
    fuzz_check(h->n_lengths + h->n_chunked <= 1 && h->n_connections <= 1, "fields twice");
    fuzz_check(r->status != 204 || h->n_lengths + h->n_chunked == 0, "204 with a framing");
    fuzz_check(h->n_chunked == 0 || (c->request.version_minor == 1 && !bodyless), "chunked");
    fuzz_check((h->n_chunked == 1) == (r->framing == BODY_CHUNKED), "chunked");
    fuzz_check(bodyless == (r->framing == BODY_NONE), "framing %d", (int)r->framing);
    fuzz_check(bodyless || h->n_lengths + h->n_chunked == 1 || h->close, "the body has no end");
    fuzz_check(r->framing != BODY_LENGTH || r->remaining == (uint64_t)h->length, "length");
    fuzz_check(e->length < 0 || r->status == 204 || h->length == e->length, "%lld", (long long)h->length);
    fuzz_check(h->close == r->close, "close");
    fuzz_check(h->close || (c->keep_alive && c->request.keep_alive && !e->close), "not closed");
    fuzz_check(h->close || c->request.version_minor == 1 || h->n_connections == 1, "keep-alive not said");
}

/* --- the body --- */

static void frame_block(Response *r, Span block, Buffer *wire, Buffer *body)
{
    char prefix[RESPONSE_PREFIX_MAX];
    size_t take, prefix_size;
    bool crlf;

    response_frame(r, block.size, &take, prefix, &prefix_size, &crlf);
    fuzz_check(take <= block.size && prefix_size <= sizeof(prefix), "%zu of %zu", take, block.size);
    fuzz_check(buffer_append(wire, prefix, prefix_size) == 0 && buffer_append(wire, block.data, take) == 0 &&
                   buffer_append(wire, "\r\n", crlf ? 2 : 0) == 0 &&
                   buffer_append(body, block.data, take) == 0,
               "no memory");
}

static void check_chunks(Span wire, Span body)
{
    static const HttpLimits limits = {.body = UINT64_MAX};
    ChunkedDecoder d = {0};
    int status = HTTP_E_MORE;

    for (size_t n; status == HTTP_E_MORE && wire.size > 0; wire = (Span){wire.data + n, wire.size - n}) {
        Span run;

        status = chunked_decode(&d, wire.data, wire.size, &limits, &n, &run);
        fuzz_check(has_prefix(body, run), "another body");
        body = (Span){body.data + run.size, body.size - run.size};
    }
    fuzz_check(status == 0 && wire.size == 0 && body.size == 0, "%d, %zu octets are left", status, wire.size);
}

static void check_body(Response *r, const Case *c)
{
    _cleanup_(buffer_deinit) Buffer wire = {0}, body = {0};
    uint64_t owed = r->remaining, given = 0;
    Span rest = c->blocks, block;
    int e;

    for (; fuzz_take(&rest, SEPARATOR, &block); given += block.size)
        frame_block(r, block, &wire, &body);
    e = response_end(r, &wire);
    fuzz_check(r->body_size == buffer_size(&body), "body_size");
    fuzz_check(e == (r->framing == BODY_LENGTH && given < owed ? RESPONSE_E_SHORT : 0), "%d", e);
    if (r->framing == BODY_CHUNKED)
        check_chunks(octets_of(&wire), octets_of(&body));
    else
        fuzz_check(span_equal(octets_of(&wire), octets_of(&body)), "framed without need");
    if (r->framing == BODY_LENGTH)
        fuzz_check(r->body_size == MIN(given, owed), "not cut at Content-Length");
    else
        fuzz_check(r->body_size == (r->framing == BODY_NONE ? 0 : given), "octets lost");
}

/* --- */

static void read_flags(Case *c, char flags)
{
    static const int64_t known_lengths[] = {-1, 0, 5, INT64_MAX};

    *c = (Case){
        .request = {.version_minor = flags & 1, .is_head = flags & 2, .keep_alive = flags & 4},
        .keep_alive = flags & 8,
        .known_length = known_lengths[(uint8_t)flags >> 6],
    };
}

static void check_response(Response *r, Case *c, Span rest)
{
    _cleanup_(buffer_deinit) Buffer out = {0};
    Expected e = {.length = -1};
    Span status, name, value;
    Head h;
    int judged, got;

    if (!fuzz_take(&rest, SEPARATOR, &status))
        return;
    judged = judge_status(status);
    got = response_set_status(r, status.data, status.size);
    fuzz_check(got == judged, "status: %d, expected %d", got, judged);
    c->blocks = rest;
    while (got == 0 && fuzz_take(&rest, SEPARATOR, &name) && fuzz_take(&rest, SEPARATOR, &value)) {
        check_hint(name, value);
        judged = judge_field(&e, name, value);
        got = response_add_field(r, name.data, name.size, value.data, value.size);
        fuzz_check(got == judged, "field \"%.*s\": %d, expected %d", (int)name.size, name.data, got, judged);
    }
    if (got == 0) {
        got = response_begin(r, &c->request, c->known_length, c->keep_alive, DATE, &out);
        fuzz_check(got == 0, "%d", got);
        h = read_head(octets_of(&out), status, &e);
        check_framing(&h, r, c, &e);
        check_body(r, c);
    }
    buffer_deinit(&e.lines);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Response r;
    Case c;

    if (size == 0)
        return 0;
    read_flags(&c, (char)data[0]);
    response_init(&r);
    check_response(&r, &c, (Span){(const char *)data + 1, size - 1});
    response_deinit(&r);
    return 0;
}
