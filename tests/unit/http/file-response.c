/* SPDX-License-Identifier: MIT */
/* A file of 1000 octets, or another size, asked for with preconditions and ranges (RFC 9110 §13, §14). */
#include "http/file-response.h"

#include "base/cleanup.h"
#include "http/parser.h"
#include "http/response-edit.h"
#include "tap.h"

#include <assert.h>
#include <stdlib.h>

#define MODIFIED 784111777
#define DATE "Sun, 06 Nov 1994 08:49:37 GMT"
#define EARLIER "Sun, 06 Nov 1994 08:49:36 GMT"
#define LATER "Sun, 06 Nov 1994 08:49:38 GMT"
#define TAG "\"2ebc98a1-3e8\""
#define NOT_SAME "\"2ebc98a1-3e9\""

#define VALIDATORS "ETag: " TAG "\r\nLast-Modified: " DATE "\r\nAccept-Ranges: bytes\r\n"
#define WHOLE "200 OK\r\n" VALIDATORS
#define NOT_MODIFIED "304 Not Modified\r\n" VALIDATORS
#define FAILED "412 Precondition Failed\r\n"
#define PART(range) "206 Partial Content\r\n" VALIDATORS "Content-Range: bytes " range "\r\n"
#define UNSATISFIABLE "416 Range Not Satisfiable\r\nContent-Range: bytes */1000\r\n"

typedef struct Case {
    const char *name;
    const char *method; /* NULL: GET */
    const char *request;
    const char *status;       /* NULL: "200 OK" */
    const char *fields[4][2]; /* the application's */
    uint64_t size;            /* 0: 1000 octets; 1: none */
    const char *head;         /* the whole of Response.fields */
    uint64_t offset, n;
    int64_t length; /* -1: no Content-Length; 0: n of them */
} Case;

static const Case cases[] = {
    {"no condition", .head = WHOLE, .n = 1000},
    {"HEAD", "HEAD", .head = WHOLE, .n = 1000},
    {"an empty file", .size = 1,
     .head = "200 OK\r\nETag: \"2ebc98a1-0\"\r\nLast-Modified: " DATE "\r\nAccept-Ranges: bytes\r\n"},
    {"POST has no validators and no conditions", "POST",
     "If-None-Match: *\r\nIf-Match: \"x\"\r\nRange: bytes=0-0\r\n", .head = "200 OK\r\n", .n = 1000},
    {"another status is sent as it is", .status = "404 Not Found",
     .request = "If-None-Match: *\r\nRange: bytes=0-0\r\n", .fields = {{"X", "y"}, {"Content-Length", "7"}},
     .head = "404 Not Found\r\nX: y\r\n", .n = 1000},
    {"the application's length is replaced", .fields = {{"Content-Length", "0"}, {"Content-Type", "a/b"}},
     .head = "200 OK\r\nContent-Type: a/b\r\n" VALIDATORS, .n = 1000},

    /* §13.1.2, §13.1.3 */
    {"If-None-Match", .request = "If-None-Match: " TAG "\r\n", .head = NOT_MODIFIED, .length = -1},
    {"If-None-Match, HEAD", "HEAD", "If-None-Match: " TAG "\r\n", .head = NOT_MODIFIED, .length = -1},
    {"If-None-Match compares weakly", .request = "If-None-Match: W/" TAG "\r\n", .head = NOT_MODIFIED,
     .length = -1},
    {"If-None-Match: a list", .request = "If-None-Match: \"a,b\" , W/\"c\",," TAG ", \"d\"\r\n",
     .head = NOT_MODIFIED, .length = -1},
    {"If-None-Match: two fields", .request = "If-None-Match: \"a\"\r\nif-none-match: " TAG "\r\n",
     .head = NOT_MODIFIED, .length = -1},
    {"If-None-Match: *", .request = "If-None-Match: *\r\n", .head = NOT_MODIFIED, .length = -1},
    {"If-None-Match of another", .request = "If-None-Match: " NOT_SAME "\r\n", .head = WHOLE, .n = 1000},
    {"If-None-Match, malformed", .request = "If-None-Match: 2ebc98a1-3e8\r\n", .head = WHOLE, .n = 1000},
    {"If-None-Match, an open quote", .request = "If-None-Match: \"2ebc98a1-3e8\r\n", .head = WHOLE,
     .n = 1000},
    {"If-None-Match, empty", .request = "If-None-Match:\r\n", .head = WHOLE, .n = 1000},
    {"If-None-Match goes before If-Modified-Since",
     .request = "If-Modified-Since: " DATE "\r\nIf-None-Match: " NOT_SAME "\r\n", .head = WHOLE, .n = 1000},
    {"If-Modified-Since, the same", .request = "If-Modified-Since: " DATE "\r\n", .head = NOT_MODIFIED,
     .length = -1},
    {"If-Modified-Since, RFC 850", .request = "If-Modified-Since: Sunday, 06-Nov-94 08:49:37 GMT\r\n",
     .head = NOT_MODIFIED, .length = -1},
    {"If-Modified-Since, asctime()", .request = "If-Modified-Since: Sun Nov  6 08:49:37 1994\r\n",
     .head = NOT_MODIFIED, .length = -1},
    {"If-Modified-Since, later", .request = "If-Modified-Since: " LATER "\r\n", .head = NOT_MODIFIED,
     .length = -1},
    {"If-Modified-Since, earlier", .request = "If-Modified-Since: " EARLIER "\r\n", .head = WHOLE, .n = 1000},
    {"If-Modified-Since, no date", .request = "If-Modified-Since: 0\r\n", .head = WHOLE, .n = 1000},
    {"If-Modified-Since twice", .request = "If-Modified-Since: " DATE "\r\nIf-Modified-Since: " DATE "\r\n",
     .head = WHOLE, .n = 1000},

    /* §13.1.1, §13.1.4 */
    {"If-Match", .request = "If-Match: \"x\", " TAG "\r\n", .head = WHOLE, .n = 1000},
    {"If-Match: *", .request = "If-Match: *\r\n", .head = WHOLE, .n = 1000},
    {"If-Match of another", .request = "If-Match: " NOT_SAME "\r\n", .head = FAILED},
    {"If-Match compares strongly", .request = "If-Match: W/" TAG "\r\n", .head = FAILED},
    {"If-Match goes before If-Unmodified-Since",
     .request = "If-Unmodified-Since: " EARLIER "\r\nIf-Match: " TAG "\r\n", .head = WHOLE, .n = 1000},
    {"If-Match, then If-None-Match", .request = "If-None-Match: " TAG "\r\nIf-Match: " TAG "\r\n",
     .head = NOT_MODIFIED, .length = -1},
    {"If-Unmodified-Since, the same", .request = "If-Unmodified-Since: " DATE "\r\n", .head = WHOLE,
     .n = 1000},
    {"If-Unmodified-Since, earlier", .request = "If-Unmodified-Since: " EARLIER "\r\n", .head = FAILED},
    {"If-Unmodified-Since, no date", .request = "If-Unmodified-Since: yesterday\r\n", .head = WHOLE,
     .n = 1000},

    /* §14.1.2, §14.2 */
    {"first and last", .request = "Range: bytes=0-499\r\n", .head = PART("0-499/1000"), .n = 500},
    {"one octet", .request = "Range: bytes=999-999\r\n", .head = PART("999-999/1000"), .offset = 999, .n = 1},
    {"first", .request = "Range: bytes=500-\r\n", .head = PART("500-999/1000"), .offset = 500, .n = 500},
    {"past the end", .request = "Range: bytes=990-2000\r\n", .head = PART("990-999/1000"), .offset = 990,
     .n = 10},
    {"a last beyond all numbers", .request = "Range: bytes=1-99999999999999999999999\r\n",
     .head = PART("1-999/1000"), .offset = 1, .n = 999},
    {"suffix", .request = "Range: bytes=-100\r\n", .head = PART("900-999/1000"), .offset = 900, .n = 100},
    {"suffix of more than all", .request = "Range: bytes=-99999999999999999999999\r\n",
     .head = PART("0-999/1000"), .n = 1000},
    {"blanks, upper case", .request = "Range: BYTES= 0-0 \r\n", .head = PART("0-0/1000"), .n = 1},
    {"over 4 GiB", .request = "Range: bytes=5000000000-\r\n", .size = 5000000010,
     .head = "206 Partial Content\r\nETag: \"2ebc98a1-12a05f20a\"\r\nLast-Modified: " DATE
             "\r\nAccept-Ranges: bytes\r\nContent-Range: bytes 5000000000-5000000009/5000000010\r\n",
     .offset = 5000000000, .n = 10},
    {"unsatisfiable", .request = "Range: bytes=1000-\r\n", .head = UNSATISFIABLE},
    {"unsatisfiable, without the fields of another answer", .request = "Range: bytes=1000-1000\r\n",
     .fields = {{"Content-Type", "a/b"}, {"Cache-Control", "max-age=9"}}, .head = UNSATISFIABLE},
    {"a first beyond all numbers", .request = "Range: bytes=99999999999999999999999-\r\n",
     .head = UNSATISFIABLE},
    {"the last none", .request = "Range: bytes=-0\r\n", .head = UNSATISFIABLE},
    {"of an empty file", .request = "Range: bytes=0-\r\n", .size = 1,
     .head = "416 Range Not Satisfiable\r\nContent-Range: bytes */0\r\n"},
    {"a suffix of an empty file", .request = "Range: bytes=-5\r\n", .size = 1,
     .head = "200 OK\r\nETag: \"2ebc98a1-0\"\r\nLast-Modified: " DATE "\r\nAccept-Ranges: bytes\r\n"},
    {"several ranges", .request = "Range: bytes=0-0,5-6\r\n", .head = WHOLE, .n = 1000},
    {"Range twice", .request = "Range: bytes=0-0\r\nRange: bytes=0-0\r\n", .head = WHOLE, .n = 1000},
    {"another unit", .request = "Range: lines=0-0\r\n", .head = WHOLE, .n = 1000},
    {"last before first", .request = "Range: bytes=5-4\r\n", .head = WHOLE, .n = 1000},
    {"no number", .request = "Range: bytes=-\r\n", .head = WHOLE, .n = 1000},
    {"no dash", .request = "Range: bytes=5\r\n", .head = WHOLE, .n = 1000},
    {"no range", .request = "Range: bytes=\r\n", .head = WHOLE, .n = 1000},
    {"a sign", .request = "Range: bytes=+5-6\r\n", .head = WHOLE, .n = 1000},
    {"letters", .request = "Range: bytes=0x1-2\r\n", .head = WHOLE, .n = 1000},
    {"empty Range", .request = "Range:\r\n", .head = WHOLE, .n = 1000},
    {"HEAD has no ranges", "HEAD", "Range: bytes=0-0\r\n", .head = WHOLE, .n = 1000},
    {"304 goes before Range", .request = "If-None-Match: *\r\nRange: bytes=0-0\r\n", .head = NOT_MODIFIED,
     .length = -1},
    {"If-Match goes before Range", .request = "If-Match: \"x\"\r\nRange: bytes=0-0\r\n", .head = FAILED},
    {"Range with If-None-Match of another", .request = "If-None-Match: \"x\"\r\nRange: bytes=0-0\r\n",
     .head = PART("0-0/1000"), .n = 1},

    /* §13.1.5 */
    {"If-Range", .request = "Range: bytes=0-0\r\nIf-Range: " TAG "\r\n", .head = PART("0-0/1000"), .n = 1},
    {"If-Range of another", .request = "Range: bytes=0-0\r\nIf-Range: " NOT_SAME "\r\n", .head = WHOLE,
     .n = 1000},
    {"If-Range of another goes before 416", .request = "Range: bytes=1000-\r\nIf-Range: " NOT_SAME "\r\n",
     .head = WHOLE, .n = 1000},
    {"If-Range compares strongly", .request = "Range: bytes=0-0\r\nIf-Range: W/" TAG "\r\n", .head = WHOLE,
     .n = 1000},
    {"If-Range is no list", .request = "Range: bytes=0-0\r\nIf-Range: " TAG ", " TAG "\r\n", .head = WHOLE,
     .n = 1000},
    {"If-Range twice", .request = "Range: bytes=0-0\r\nIf-Range: " TAG "\r\nIf-Range: " TAG "\r\n",
     .head = WHOLE, .n = 1000},
    {"If-Range, a date", .request = "Range: bytes=0-0\r\nIf-Range: " DATE "\r\n", .head = PART("0-0/1000"),
     .n = 1},
    {"If-Range, a later date", .request = "Range: bytes=0-0\r\nIf-Range: " LATER "\r\n", .head = WHOLE,
     .n = 1000},
    {"If-Range, an earlier date", .request = "Range: bytes=0-0\r\nIf-Range: " EARLIER "\r\n", .head = WHOLE,
     .n = 1000},
    {"If-Range, neither", .request = "Range: bytes=0-0\r\nIf-Range: x\r\n", .head = WHOLE, .n = 1000},

    /* The application's own. */
    {"own validators", .request = "If-None-Match: \"own\"\r\n",
     .fields = {{"etag", "W/\"own\""}, {"last-modified", EARLIER}},
     .head = "304 Not Modified\r\netag: W/\"own\"\r\nlast-modified: " EARLIER "\r\nAccept-Ranges: bytes\r\n",
     .length = -1},
    {"own date", .request = "If-Modified-Since: " EARLIER "\r\n", .fields = {{"Last-Modified", EARLIER}},
     .head = "304 Not Modified\r\nLast-Modified: " EARLIER "\r\nETag: " TAG "\r\nAccept-Ranges: bytes\r\n",
     .length = -1},
    {"own date that is none", .request = "If-Modified-Since: " LATER "\r\n",
     .fields = {{"Last-Modified", "x"}},
     .head = "200 OK\r\nLast-Modified: x\r\nETag: " TAG "\r\nAccept-Ranges: bytes\r\n", .n = 1000},
    {"own tag that is none", .request = "If-None-Match: own\r\n", .fields = {{"ETag", "own"}},
     .head = "200 OK\r\nETag: own\r\nLast-Modified: " DATE "\r\nAccept-Ranges: bytes\r\n", .n = 1000},
    {"no ranges wanted", .request = "Range: bytes=0-0\r\n", .fields = {{"Accept-Ranges", "none"}},
     .head = "200 OK\r\nAccept-Ranges: none\r\nETag: " TAG "\r\nLast-Modified: " DATE "\r\n", .n = 1000},
    {"own range", .request = "Range: bytes=0-9\r\n", .status = "206 Partial Content",
     .fields = {{"Content-Range", "bytes 0-9/1000"}, {"Content-Length", "10"}, {"X", "y"}},
     .head = "206 Partial Content\r\nX: y\r\n" VALIDATORS "Content-Range: bytes 0-9/1000\r\n", .n = 10},
    {"a 200 has no Content-Range to be believed", .request = "Range: bytes=0-0\r\n",
     .fields = {{"Content-Range", "bytes 0-9/1000"}, {"X", "y"}},
     .head = "206 Partial Content\r\nX: y\r\n" VALIDATORS "Content-Range: bytes 0-0/1000\r\n", .n = 1},
};

static void set_head(Response *r, const Case *c)
{
    const char *status = c->status ? c->status : "200 OK";

    response_reset(r);
    assert(response_set_status(r, status, strlen(status)) == 0);
    for (size_t i = 0; i < ELEMENTSOF(c->fields) && c->fields[i][0]; i++)
        assert(response_add_field(r, c->fields[i][0], strlen(c->fields[i][0]), c->fields[i][1],
                                  strlen(c->fields[i][1])) == 0);
}

static void check(const Case *c, Request *q, Response *r)
{
    static const HttpLimits limits = {
        .request_line = 8190, .field_size = 8190, .head = 65536, .fields = 100, .body = 1000};
    const FileVersion file = {
        .size = c->size == 0   ? 1000
                : c->size == 1 ? 0
                               : c->size,
        .modified = MODIFIED,
        .now = MODIFIED + 1000000,
    };
    _cleanup_free_ char *head = NULL;
    uint64_t offset, n;
    Span got;

    assert(asprintf(&head, "%s / HTTP/1.1\r\nHost: h\r\n%s\r\n", c->method ? c->method : "GET",
                    c->request ? c->request : "") > 0);
    request_reset(q);
    assert(request_parse(q, NULL, head, strlen(head), &limits) == 0);
    set_head(r, c);
    tap_report(file_response_prepare(r, q, &file, &offset, &n) == 0 &&
                   span_equal(buffer_span(&r->fields), span_of(c->head)) && n == c->n &&
                   (n == 0 || offset == c->offset) &&
                   r->content_length == (c->length ? c->length : (int64_t)n),
               "%s", c->name);
    got = buffer_span(&r->fields);
    if (!span_equal(got, span_of(c->head)))
        printf("# got:\n%.*s# expected:\n%s", (int)got.size, got.data, c->head);
}

/* What an answer of the server's own keeps of the application's. */
static void check_close(Response *r)
{
    static const Case close = {.fields = {{"Connection", "close"}}};
    const FileVersion file = {.size = 1000, .modified = MODIFIED, .now = MODIFIED};
    Field field = {.name = SPAN_LITERAL("Range"), .value = SPAN_LITERAL("bytes=1000-")};
    Request unsatisfiable = {.method = SPAN_LITERAL("GET"), .fields = &field, .n_fields = 1};
    uint64_t offset, n;

    set_head(r, &close);
    is_int(file_response_prepare(r, &unsatisfiable, &file, &offset, &n), 0);
    is_int(r->status, 416);
    ok(r->close);
}

/* Dates that Last-Modified can't have. */
static void check_dates(Response *r)
{
    Request q = {.method = SPAN_LITERAL("GET")};
    FileVersion file = {.size = 1, .modified = MODIFIED + 5, .now = MODIFIED};
    uint64_t offset, n;

    set_head(r, &cases[0]);
    is_int(file_response_prepare(r, &q, &file, &offset, &n), 0);
    ok(span_equal(response_field(r, SPAN_LITERAL("Last-Modified")), SPAN_LITERAL(DATE)),
       "the future is now (RFC 9110 §8.8.2.1)");
    ok(span_equal(response_field(r, SPAN_LITERAL("ETag")), SPAN_LITERAL("\"2ebc98a6-1\"")));
    file.modified = -1;
    set_head(r, &cases[0]);
    is_int(file_response_prepare(r, &q, &file, &offset, &n), 0);
    ok(!response_field(r, SPAN_LITERAL("Last-Modified")).data, "none before 1970");
}

int main(void)
{
    Response r;
    Request q;

    response_init(&r);
    request_init(&q);
    for (size_t i = 0; i < ELEMENTSOF(cases); i++)
        check(&cases[i], &q, &r);
    check_dates(&r);
    check_close(&r);
    response_deinit(&r);
    request_deinit(&q);
    return tap_done();
}
