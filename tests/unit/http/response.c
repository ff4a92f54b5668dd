/* SPDX-License-Identifier: MIT */
/* Responses, compared octet for octet, and what an application may not say. */
#include "http/response.h"

#include "base/cleanup.h"
#include "tap.h"

#include <assert.h>
#include <stdlib.h>

#define DATE "Sun, 06 Nov 1994 08:49:37 GMT"
#define DATE_LINE "Date: " DATE "\r\n"
#define OWN DATE_LINE "Server: cgunicorn\r\n"

typedef struct Exchange {
    const char *name;
    /* the request: HTTP/1.1 GET of a client that stays, where not said otherwise */
    bool http10, head, client_closes, server_closes;
    /* the application */
    const char *status;
    const char *fields[6][2];
    int64_t known_length;
    const char *blocks[4];
    /* what comes of it */
    const char *octets;
    bool close;
    int end; /* result of response_end() */
    uint64_t body_size;
} Exchange;

/* Sends as a connection would. */
static void send_block(Response *r, const char *block, Buffer *out)
{
    char prefix[RESPONSE_PREFIX_MAX];
    size_t take, prefix_size;
    bool crlf;

    response_frame(r, strlen(block), &take, prefix, &prefix_size, &crlf);
    assert(buffer_append(out, prefix, prefix_size) == 0 && buffer_append(out, block, take) == 0);
    if (crlf)
        assert(buffer_append_string(out, "\r\n") == 0);
}

static bool says(const Buffer *out, const char *expected)
{
    size_t size = buffer_size(out);

    if (size == strlen(expected) && memcmp(buffer_head(out), expected, size) == 0)
        return true;
    printf("# got:\n%.*s\n# expected:\n%s\n", (int)size, size > 0 ? buffer_head(out) : "", expected);
    return false;
}

static void check(const Exchange *x, Response *r)
{
    Request q = {.version_minor = !x->http10, .keep_alive = !x->client_closes, .is_head = x->head};
    Buffer out;
    bool good = true;

    buffer_init(&out);
    response_reset(r);
    good &= response_set_status(r, x->status, strlen(x->status)) == 0;
    for (size_t i = 0; x->fields[i][0]; i++)
        good &= response_add_field(r, x->fields[i][0], strlen(x->fields[i][0]), x->fields[i][1],
                                   strlen(x->fields[i][1])) == 0;
    good &= response_begin(r, &q, x->known_length, !x->server_closes, DATE, &out) == 0;
    for (size_t i = 0; x->blocks[i]; i++)
        send_block(r, x->blocks[i], &out);
    good &= response_end(r, &out) == x->end;
    good &= r->close == x->close;
    good &= r->body_size == x->body_size;
    good &= says(&out, x->octets);
    tap_report(good, "%s", x->name);
    buffer_deinit(&out);
}

static const Exchange exchanges[] = {
    {.name = "known length",
     .status = "200 OK",
     .fields = {{"Content-Type", "text/plain"}},
     .known_length = 5,
     .blocks = {"hello"},
     .octets = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n" OWN "Content-Length: 5\r\n\r\nhello",
     .body_size = 5},
    {.name = "length 0", .status = "200 OK", .octets = "HTTP/1.1 200 OK\r\n" OWN "Content-Length: 0\r\n\r\n"},
    {.name = "Content-Length of the application",
     .status = "200 OK",
     .fields = {{"content-length", " 007\t"}},
     .known_length = -1,
     .blocks = {"foo", "", "quux"},
     .octets = "HTTP/1.1 200 OK\r\n" OWN "Content-Length: 7\r\n\r\nfooquux",
     .body_size = 7},
    {.name = "too many octets are cut",
     .status = "200 OK",
     .fields = {{"Content-Length", "4"}},
     .known_length = 10,
     .blocks = {"foo", "quux", "more"},
     .octets = "HTTP/1.1 200 OK\r\n" OWN "Content-Length: 4\r\n\r\nfooq",
     .body_size = 4},
    {.name = "too few octets",
     .status = "200 OK",
     .fields = {{"Content-Length", "9223372036854775807"}},
     .known_length = -1,
     .blocks = {"foo"},
     .octets = "HTTP/1.1 200 OK\r\n" OWN "Content-Length: 9223372036854775807\r\n\r\nfoo",
     .end = RESPONSE_E_SHORT,
     .body_size = 3},
    {.name = "no length: chunked on HTTP/1.1, and an empty block ends nothing",
     .status = "200 OK",
     .known_length = -1,
     .blocks = {"hello", "", "0123456789abcdef"},
     .octets = "HTTP/1.1 200 OK\r\n" OWN
               "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n",
     .body_size = 21},
    {.name = "no length and no body",
     .status = "200 OK",
     .known_length = -1,
     .octets = "HTTP/1.1 200 OK\r\n" OWN "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
    {.name = "no length: the end of the connection on HTTP/1.0",
     .http10 = true,
     .status = "200 OK",
     .known_length = -1,
     .blocks = {"hello", "world"},
     .octets = "HTTP/1.1 200 OK\r\n" OWN "Connection: close\r\n\r\nhelloworld",
     .close = true,
     .body_size = 10},
    {.name = "HTTP/1.0 that stays",
     .http10 = true,
     .status = "200 OK",
     .known_length = 2,
     .blocks = {"hi"},
     .octets = "HTTP/1.1 200 OK\r\n" OWN "Content-Length: 2\r\nConnection: keep-alive\r\n\r\nhi",
     .body_size = 2},
    {.name = "HTTP/1.0 that goes",
     .http10 = true,
     .client_closes = true,
     .status = "200 OK",
     .known_length = 2,
     .blocks = {"hi"},
     .octets = "HTTP/1.1 200 OK\r\n" OWN "Content-Length: 2\r\nConnection: close\r\n\r\nhi",
     .close = true,
     .body_size = 2},
    {.name = "client closes",
     .client_closes = true,
     .status = "200 OK",
     .known_length = -1,
     .blocks = {"hi"},
     .octets = "HTTP/1.1 200 OK\r\n" OWN
               "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
     .close = true,
     .body_size = 2},
    {.name = "server closes",
     .server_closes = true,
     .status = "200 OK",
     .octets = "HTTP/1.1 200 OK\r\n" OWN "Content-Length: 0\r\nConnection: close\r\n\r\n",
     .close = true},
    {.name = "application closes",
     .status = "200 OK",
     .fields = {{"Connection", "Close"}},
     .octets = "HTTP/1.1 200 OK\r\n" OWN "Content-Length: 0\r\nConnection: close\r\n\r\n",
     .close = true},
    {.name = "application wants to stay: not its business",
     .client_closes = true,
     .status = "200 OK",
     .fields = {{"connection", "keep-alive"}},
     .octets = "HTTP/1.1 200 OK\r\n" OWN "Content-Length: 0\r\nConnection: close\r\n\r\n",
     .close = true},
    {.name = "HEAD says what GET would, and has no body",
     .head = true,
     .status = "200 OK",
     .known_length = 5,
     .blocks = {"hello"},
     .octets = "HTTP/1.1 200 OK\r\n" OWN "Content-Length: 5\r\n\r\n"},
    {.name = "HEAD with the application's Content-Length and no body",
     .head = true,
     .status = "200 OK",
     .fields = {{"Content-Length", "5"}},
     .octets = "HTTP/1.1 200 OK\r\n" OWN "Content-Length: 5\r\n\r\n"},
    {.name = "HEAD without a body: nobody knows what GET has",
     .head = true,
     .status = "200 OK",
     .octets = "HTTP/1.1 200 OK\r\n" OWN "\r\n"},
    {.name = "HEAD of unknown length, HTTP/1.0",
     .head = true,
     .http10 = true,
     .status = "200 OK",
     .known_length = -1,
     .blocks = {"hello"},
     .octets = "HTTP/1.1 200 OK\r\n" OWN "Connection: keep-alive\r\n\r\n"},
    {.name = "204 has neither length nor body",
     .status = "204 No Content",
     .fields = {{"Content-Length", "5"}},
     .known_length = 5,
     .blocks = {"hello"},
     .octets = "HTTP/1.1 204 No Content\r\n" OWN "\r\n"},
    {.name = "304 keeps its Content-Length and has no body",
     .status = "304 Not Modified",
     .fields = {{"ETag", "\"x\""}, {"Content-Length", "5"}},
     .blocks = {"hello"},
     .octets = "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n" OWN "Content-Length: 5\r\n\r\n"},
    {.name = "304 with its own length, which is not that of a 200",
     .status = "304 Not Modified",
     .fields = {{"Content-Length", "0"}},
     .octets = "HTTP/1.1 304 Not Modified\r\n" OWN "\r\n"},
    {.name = "304 without one",
     .status = "304 Not Modified",
     .octets = "HTTP/1.1 304 Not Modified\r\n" OWN "\r\n"},
    {.name = "fields in order, Set-Cookie lines apart, values trimmed, obs-text kept",
     .status = "404 Nicht \xe4rgern",
     .fields =
         {{"X-B", " 1 "}, {"Set-Cookie", "a=1"}, {"X-A", "\xe9\t\xff"}, {"Set-Cookie", "b=2"}, {"X-C", ""}},
     .octets =
         "HTTP/1.1 404 Nicht \xe4rgern\r\nX-B: 1\r\nSet-Cookie: a=1\r\nX-A: \xe9\t\xff\r\nSet-Cookie: b=2\r\n"
         "X-C: \r\n" OWN "Content-Length: 0\r\n\r\n"},
    {.name = "exactly one Date and Server, the application's",
     .status = "200 OK",
     .fields = {{"Date", "then"}, {"SERVER", "mine"}, {"date", "later"}, {"Server", "other"}},
     .octets = "HTTP/1.1 200 OK\r\nDate: then\r\nSERVER: mine\r\nContent-Length: 0\r\n\r\n"},
    {.name = "status without a reason",
     .status = "299 ",
     .octets = "HTTP/1.1 299 \r\n" OWN "Content-Length: 0\r\n\r\n"},
};

static void check_statuses(Response *r)
{
    static const char *const bad[] = {
        "",        "200",      "200OK",   "20 OK",      "2000 OK", "abc OK",     "+20 OK",       " 200 OK",
        "099 Low", "200 O\nK", "200\tOK", "200 OK\r\n", "-10 x",   "200 O\x7fK", "200 OK\rX: y", "200 \x01"};
    static const char *const interim[] = {"100 Continue", "101 Switching Protocols", "199 x"};

    for (size_t i = 0; i < ELEMENTSOF(bad); i++)
        is_int(response_set_status(r, bad[i], strlen(bad[i])), RESPONSE_E_STATUS);
    is_int(response_set_status(r, "200 O\0K", 7), RESPONSE_E_STATUS);
    for (size_t i = 0; i < ELEMENTSOF(interim); i++)
        is_int(response_set_status(r, interim[i], strlen(interim[i])), RESPONSE_E_INTERIM);
    is_int(buffer_size(&r->fields), 0);
    is_int(r->status, 0);
    is_int(response_set_status(r, "999 x", 5), 0);
    is_int(r->status, 999);
}

static int add(Response *r, const char *name, const char *value)
{
    return response_add_field(r, name, strlen(name), value, strlen(value));
}

static void check_fields(Response *r)
{
    static const char *const names[] = {"", "X Y", "X:", "X\r\nY", "\xe9", "X\tY", "X\x7f", "(", "X\r", " X"};
    static const char *const values[] = {
        "a\r\nX: b", "a\rb",     "a\nb",
        "\n",        "\r",       "a\x01",
        "\x7f",      "a\x1b[0m", "0123456789abcdef0123456789abcdef\n0123456789abcdef"};
    static const char *const hops[] = {"Transfer-Encoding",
                                       "transfer-encoding",
                                       "Keep-Alive",
                                       "Upgrade",
                                       "TE",
                                       "Trailer",
                                       "Trailers",
                                       "Proxy-Connection",
                                       "Proxy-Authenticate",
                                       "Proxy-Authorization"};
    static const char *const lengths[] = {"",
                                          " ",
                                          "x",
                                          "+5",
                                          "-5",
                                          "5 5",
                                          "5,5",
                                          "0x5",
                                          "5.0",
                                          "9223372036854775808",
                                          "99999999999999999999999"};

    assert(response_set_status(r, "200 OK", 6) == 0);
    for (size_t i = 0; i < ELEMENTSOF(names); i++)
        is_int(add(r, names[i], "x"), RESPONSE_E_NAME);
    is_int(response_add_field(r, "X\0Y", 3, "x", 1), RESPONSE_E_NAME);
    for (size_t i = 0; i < ELEMENTSOF(values); i++)
        is_int(add(r, "X", values[i]), RESPONSE_E_VALUE);
    is_int(response_add_field(r, "X", 1, "a\0b", 3), RESPONSE_E_VALUE);
    is_int(response_add_field(r, "X", 1, "\0", 1), RESPONSE_E_VALUE);
    is_int(add(r, "Content-Length", "5\r\nX: y"), RESPONSE_E_VALUE);
    for (size_t i = 0; i < ELEMENTSOF(hops); i++)
        is_int(add(r, hops[i], "chunked"), RESPONSE_E_HOP_BY_HOP);
    is_int(add(r, "Connection", "upgrade"), RESPONSE_E_HOP_BY_HOP);
    is_int(add(r, "Connection", "close, X"), RESPONSE_E_HOP_BY_HOP);
    for (size_t i = 0; i < ELEMENTSOF(lengths); i++)
        is_int(add(r, "Content-Length", lengths[i]), RESPONSE_E_CONTENT_LENGTH);
    is_int(add(r, "Content-Length", "5"), 0);
    is_int(add(r, "Content-Length", "5"), RESPONSE_E_CONTENT_LENGTH);
    is_int(buffer_size(&r->fields), strlen("200 OK\r\n"));
}

static void check_reset(Response *r)
{
    char *memory;

    response_reset(r);
    assert(response_set_status(r, "500 Oops", 8) == 0 && add(r, "Connection", "close") == 0 &&
           add(r, "Date", "x") == 0 && add(r, "Server", "x") == 0 && add(r, "Content-Length", "7") == 0);
    memory = r->fields.data;
    response_reset(r);
    is_int(r->status, 0);
    is_int(r->content_length, -1);
    ok(!r->close && !r->has_date && !r->has_server && buffer_size(&r->fields) == 0, "nothing is left");
    ok(r->fields.data == memory, "but the memory");
}

static void check_files(Response *r)
{
    response_reset(r);
    assert(response_set_status(r, "200 OK", 6) == 0);
    is_int(add(r, "X-Sendfile", "/a"), 0);
    is_int(add(r, "X-Accel-Redirect", "/b"), 0);
    ok(r->file_naming == FILE_NONE &&
           says(&r->fields, "200 OK\r\nX-Sendfile: /a\r\nX-Accel-Redirect: /b\r\n"),
       "fields like others");

    r->takes_file = true;
    response_reset(r);
    assert(response_set_status(r, "200 OK", 6) == 0);
    is_int(add(r, "x-sendFILE", " /srv/a b "), 0);
    ok(r->file_naming == FILE_BY_PATH && says(&r->file, "/srv/a b") && says(&r->fields, "200 OK\r\n"),
       "taken off");
    is_int(add(r, "X-Sendfile", "/c"), RESPONSE_E_FILE);
    is_int(add(r, "X-Accel-Redirect", "/c"), RESPONSE_E_FILE);
    is_int(add(r, "X-Sendfile", "/a\r\nX: b"), RESPONSE_E_VALUE);
    response_reset(r);
    ok(r->takes_file && r->file_naming == FILE_NONE && buffer_size(&r->file) == 0);
    assert(response_set_status(r, "200 OK", 6) == 0);
    is_int(add(r, "X-Accel-Redirect", ""), 0);
    ok(r->file_naming == FILE_BY_URI && buffer_size(&r->file) == 0);
    r->takes_file = false;
}

static int add_hint(Buffer *out, const char *name, const char *value)
{
    return response_add_hint(out, name, strlen(name), value, strlen(value));
}

static void check_hints(void)
{
    static const char *const hops[] = {"Connection", "Keep-Alive", "Transfer-Encoding",
                                       "TE",         "Upgrade",    "Trailer"};
    static const char *const finals[] = {"Content-Length",  "Date",       "Server",
                                         "SET-COOKIE",      "X-Sendfile", "X-Accel-Redirect",
                                         "WWW-Authenticate"};
    Buffer out;

    buffer_init(&out);
    is_int(add_hint(&out, "Link", " </a.css>; rel=preload "), 0);
    is_int(add_hint(&out, "Content-Security-Policy", "style-src: self"), 0);
    is_int(add_hint(&out, "Link", "</b.js>"), 0);
    is_int(add_hint(&out, "Link", "a\r\nX: y"), RESPONSE_E_VALUE);
    is_int(add_hint(&out, "Li nk", "a"), RESPONSE_E_NAME);
    is_int(add_hint(&out, "", "a"), RESPONSE_E_NAME);
    for (size_t i = 0; i < ELEMENTSOF(hops); i++)
        is_int(add_hint(&out, hops[i], "close"), RESPONSE_E_HOP_BY_HOP);
    for (size_t i = 0; i < ELEMENTSOF(finals); i++)
        is_int(add_hint(&out, finals[i], "0"), RESPONSE_E_FINAL);
    ok(says(&out, "Link: </a.css>; rel=preload\r\nContent-Security-Policy: style-src: self\r\nLink: "
                  "</b.js>\r\n"));
    buffer_deinit(&out);
}

static void check_chunk_sizes(Response *r)
{
    static const struct {
        size_t size;
        const char *prefix;
    } sizes[] = {{1, "1\r\n"},
                 {15, "f\r\n"},
                 {16, "10\r\n"},
                 {255, "ff\r\n"},
                 {256, "100\r\n"},
                 {65536, "10000\r\n"},
                 {SIZE_MAX, "ffffffffffffffff\r\n"}};
    char prefix[RESPONSE_PREFIX_MAX];
    size_t take, size;
    bool crlf;

    r->framing = BODY_CHUNKED;
    for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
        response_frame(r, sizes[i].size, &take, prefix, &size, &crlf);
        ok(crlf && take == sizes[i].size && size == strlen(sizes[i].prefix) &&
               memcmp(prefix, sizes[i].prefix, size) == 0,
           "%s", sizes[i].prefix);
    }
}

static void check_errors(void)
{
    Buffer out;

    buffer_init(&out);
    is_int(response_append_error(&out, 404, false, true, DATE), 0);
    ok(says(&out, "HTTP/1.1 404 Not Found\r\n" OWN "Content-Type: text/plain\r\nContent-Length: 14\r\n"
                  "Connection: close\r\n\r\n404 Not Found\n"));
    buffer_clear(&out);
    is_int(response_append_error(&out, 503, true, false, DATE), 0);
    ok(says(&out, "HTTP/1.1 503 Service Unavailable\r\n" OWN
                  "Content-Type: text/plain\r\nContent-Length: 24\r\nRetry-After: 5\r\n\r\n"));
    buffer_deinit(&out);
    for (int e = RESPONSE_E_STATUS; e <= RESPONSE_E_SHORT; e++)
        ok(strcmp(response_error_text(e), response_error_text(0)) != 0, "error %d has a text", e);
}

int main(void)
{
    Response r;

    response_init(&r);
    for (size_t i = 0; i < ELEMENTSOF(exchanges); i++)
        check(&exchanges[i], &r);
    response_reset(&r);
    check_statuses(&r);
    response_reset(&r);
    check_fields(&r);
    check_reset(&r);
    check_files(&r);
    check_hints();
    check_chunk_sizes(&r);
    check_errors();
    response_deinit(&r);
    return tap_done();
}
