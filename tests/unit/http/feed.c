/* SPDX-License-Identifier: MIT */
/* One message, piece by piece. Every piece is given in memory of exactly its size, so that ASan sees each
 * octet that is read too many. */
#include "feed.h"

#include "base/cleanup.h"
#include "http/chunked.h"
#include "http/head.h"
#include "http/parser.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

typedef enum Stage { HEAD, LENGTH_BODY, CHUNKED_BODY, COMPLETE, REFUSED } Stage;

typedef struct Feed {
    const HttpLimits *limits;
    Stage stage;
    int status;
    const char *reason;
    HeadScan scan;
    char *seen; /* of the head, so far */
    size_t n_seen;
    char *head; /* what the request points into */
    Request request;
    ChunkedDecoder decoder;
    uint64_t owed; /* of a body with Content-Length */
    FILE *body;
    size_t n_rest; /* octets after the message */
} Feed;

static char *copy(const char *data, size_t size)
{
    char *c = malloc(size > 0 ? size : 1);

    assert(c);
    if (size > 0)
        memcpy(c, data, size);
    return c;
}

static void refuse(Feed *f, int status, const char *reason)
{
    assert(status >= 400 && status < 600 && reason);
    f->stage = REFUSED;
    f->status = status;
    f->reason = reason;
}

static void on_head(Feed *f, size_t size)
{
    int status;

    f->head = copy(f->seen + f->scan.skipped, size - f->scan.skipped);
    status = request_parse(&f->request, &f->scan, f->head, size - f->scan.skipped, f->limits);
    if (status != 0) {
        refuse(f, status, f->request.reason);
        return;
    }
    f->owed = f->request.content_length > 0 ? (uint64_t)f->request.content_length : 0;
    f->stage = f->request.chunked ? CHUNKED_BODY : f->owed > 0 ? LENGTH_BODY : COMPLETE;
}

/* Each of these returns how much of the piece it used. */
static size_t feed_head(Feed *f, const char *data, size_t size)
{
    size_t before = f->n_seen, head_size = 0;
    char *grown = malloc(before + size);
    int status;

    assert(grown);
    if (before > 0)
        memcpy(grown, f->seen, before);
    memcpy(grown + before, data, size);
    free(f->seen);
    f->seen = grown;
    f->n_seen += size;

    status = head_scan(&f->scan, f->seen, f->n_seen, f->limits, &head_size);
    if (status == HTTP_E_MORE) {
        assert(f->scan.position == f->n_seen);
        return size;
    }
    if (status != 0) {
        refuse(f, status, f->scan.reason);
        return size;
    }
    assert(head_size > before && head_size <= f->n_seen);
    on_head(f, head_size);
    return head_size - before;
}

static size_t feed_length_body(Feed *f, const char *data, size_t size)
{
    size_t n = f->owed < size ? (size_t)f->owed : size;

    fwrite(data, 1, n, f->body);
    f->owed -= n;
    if (f->owed == 0)
        f->stage = COMPLETE;
    return n;
}

static size_t feed_chunked_body(Feed *f, const char *data, size_t size)
{
    size_t consumed = 0;
    Span body;
    int status = chunked_decode(&f->decoder, data, size, f->limits, &consumed, &body);

    assert(consumed > 0 && consumed <= size);
    fwrite(body.data, 1, body.size, f->body);
    if (status == 0)
        f->stage = COMPLETE;
    else if (status != HTTP_E_MORE)
        refuse(f, status, f->decoder.reason);
    return consumed;
}

static size_t feed_some(Feed *f, const char *data, size_t size)
{
    switch (f->stage) {
    case HEAD:
        return feed_head(f, data, size);
    case LENGTH_BODY:
        return feed_length_body(f, data, size);
    case CHUNKED_BODY:
        return feed_chunked_body(f, data, size);
    default:
        f->n_rest += size;
        return size;
    }
}

static void feed_piece(Feed *f, const char *data, size_t size)
{
    _cleanup_free_ char *piece = copy(data, size);

    for (size_t used = 0; used < size;)
        used += feed_some(f, piece + used, size - used);
}

static void print(FILE *to, const char *label, Span s)
{
    fprintf(to, "%s ", label);
    for (size_t i = 0; i < s.size; i++) {
        unsigned char c = (unsigned char)s.data[i];

        if (c == '\r' || c == '\n' || c == '\t')
            fprintf(to, "\\%c", c == '\r' ? 'r' : c == '\n' ? 'n' : 't');
        else if (c < 0x20 || c >= 0x7f || c == '\\')
            fprintf(to, "\\x%02x", c);
        else
            fputc(c, to);
    }
    fputc('\n', to);
}

static void print_fields(FILE *to, const Request *r)
{
    for (size_t i = 0; i < r->n_fields; i++) {
        _cleanup_free_ char *label = NULL;

        assert(asprintf(&label, "field %.*s:", (int)r->fields[i].name.size, r->fields[i].name.data) > 0);
        print(to, label, r->fields[i].value);
    }
    if (r->n_dropped_fields > 0)
        fprintf(to, "dropped %u\n", r->n_dropped_fields);
}

static void print_request(FILE *to, const Request *r)
{
    print(to, "method", r->method);
    print(to, "target", r->target);
    print(to, "path", r->path);
    print(to, "query", r->query);
    print(to, "host", r->host);
    print_fields(to, r);
    if (r->content_length >= 0)
        fprintf(to, "length %lld\n", (long long)r->content_length);
    fprintf(to, "version 1.%u\n%s\n", r->version_minor, r->keep_alive ? "keep-alive" : "close");
    fprintf(to, "%s%s%s%s", r->chunked ? "chunked\n" : "", r->expect_continue ? "continue\n" : "",
            r->is_head ? "head\n" : "", r->is_server_options ? "server-options\n" : "");
}

/* Takes f apart. */
static char *describe(Feed *f, Span body)
{
    char *text = NULL;
    size_t size;
    FILE *to = open_memstream(&text, &size);

    assert(to);
    if (f->stage == REFUSED) {
        fprintf(to, "%d\nreason %s\n", f->status, f->reason);
        if (f->head)
            print(to, "method", f->request.method);
    } else {
        fprintf(to, "%s\n", f->stage == COMPLETE ? "200" : "more");
        if (f->head)
            print_request(to, &f->request);
        if (body.size > 0)
            print(to, "body", body);
        fprintf(to, "rest %zu\n", f->n_rest);
    }
    fclose(to);
    return text;
}

char *feed(Span input, const HttpLimits *limits, const size_t *cuts, size_t n_cuts)
{
    _cleanup_free_ char *body = NULL;
    size_t body_size, from = 0;
    Feed f = {.limits = limits};
    char *text;

    request_init(&f.request);
    f.body = open_memstream(&body, &body_size);
    assert(f.body);
    for (size_t i = 0; i <= n_cuts; i++) {
        size_t to = i < n_cuts ? cuts[i] : input.size;

        feed_piece(&f, input.data + from, to - from);
        from = to;
    }
    fclose(f.body);
    text = describe(&f, (Span){body, body_size});
    request_deinit(&f.request);
    free(f.seen);
    free(f.head);
    return text;
}
