/* SPDX-License-Identifier: MIT */
/* Bodies behind their heads: in all pieces the same octets, and what follows is left alone. */
#include "worker/body-intake.h"

#include "http/parser.h"
#include "tap.h"

static const HttpLimits limits = {
    .request_line = 8190, .field_size = 8190, .head = 65536, .fields = 100, .body = 20};
static const char next[] = "GET / HTTP/1.1\r\n";

static const struct {
    const char *head;
    const char *body;
    const char *decoded;
    int result;
} cases[] = {
    {"Content-Length: 11", "hello world", "hello world", 0},
    {"Content-Length: 1", "x", "x", 0},
    {"Transfer-Encoding: chunked", "5\r\nhello\r\n6;a=b\r\n world\r\n0\r\nX: y\r\n\r\n", "hello world", 0},
    {"Transfer-Encoding: chunked", "1\r\na\r\n1\r\nb\r\n0\r\n\r\n", "ab", 0},
    {"Transfer-Encoding: chunked", "0\r\n\r\n", "", 0},
    {"Transfer-Encoding: chunked", "5\r\nhellox", "hello", 400},
    {"Transfer-Encoding: chunked", "5\r\nhello\r\n10\r\n", "hello", 413},
};

typedef struct Rig {
    ExchangePool pool;
    Exchange *x;
    Config config;
} Rig;

static void rig_start(Rig *g, const char *field)
{
    *g = (Rig){.config = {.timeouts_body = 1 * USEC_PER_SEC, .limits_body_rate = 500}};
    exchange_pool_init(&g->pool, &g->config, "/tmp");
    g->x = exchange_pool_get(&g->pool);
    is_int(buffer_printf(&g->x->in, "POST / HTTP/1.1\r\nHost: a\r\n%s\r\n\r\n", field), 0);
    is_int(buffer_reserve(&g->x->in, 200), 0); /* the head stays in its place */
    g->x->head_size = buffer_size(&g->x->in);
    is_int(request_parse(&g->x->request, &g->x->scan, buffer_head(&g->x->in), g->x->head_size, &limits), 0);
}

static void rig_stop(Rig *g)
{
    exchange_pool_put(&g->pool, g->x);
    exchange_pool_deinit(&g->pool);
}

/* Receives the body and what follows in pieces of `size`, takes at most `max` at a time. */
static void test_case(size_t i, size_t size, size_t max)
{
    char octets[256], decoded[64] = "";
    size_t sent = 0, n = 0;
    int r = HTTP_E_MORE;
    Span piece;
    Rig g;

    rig_start(&g, cases[i].head);
    snprintf(octets, sizeof(octets), "%s%s", cases[i].body, next);
    while (r == HTTP_E_MORE && sent < strlen(octets)) {
        size_t k = MIN(size, strlen(octets) - sent);

        if (buffer_append(&g.x->in, octets + sent, k) < 0)
            break;
        sent += k;
        do {
            r = body_take(g.x, &limits, max, &piece);
            ok(piece.size <= max);
            memcpy(decoded + n, piece.data, piece.size);
            n += piece.size;
        } while (r == HTTP_E_MORE && body_unread(g.x).size > 0);
        body_drop_taken(g.x);
    }
    is_int(r, cases[i].result);
    is_string(decoded, cases[i].decoded);
    is_int((long)g.x->body_received, (long)strlen(cases[i].decoded));
    ok(r != 0 ||
           span_equal(body_unread(g.x), (Span){octets + strlen(cases[i].body), sent - strlen(cases[i].body)}),
       "case %zu, pieces of %zu, %zu at a time", i, size, max);
    ok(g.x->request.is_head == false && span_equal(g.x->request.method, SPAN_LITERAL("POST")),
       "the head is there");
    rig_stop(&g);
}

/* body_is_here() and body_skip() of what came so far. */
static void test_here(size_t i)
{
    size_t size = strlen(cases[i].body);

    for (size_t k = 0; k <= size; k++) {
        bool is_whole = k == size && cases[i].result == 0;
        Span piece;
        Rig g;

        rig_start(&g, cases[i].head);
        is_int(buffer_append(&g.x->in, cases[i].body, k), 0);
        ok(body_is_here(g.x, &limits) == is_whole, "case %zu, %zu octets", i, k);
        (void)body_take(g.x, &limits, k / 2, &piece);
        ok(body_is_here(g.x, &limits) == is_whole, "some of it taken");
        if (k == size)
            is_int(buffer_append_string(&g.x->in, next), 0);
        ok(body_skip(g.x, &limits) == is_whole);
        if (is_whole)
            ok(span_equal(body_unread(g.x), SPAN_LITERAL(next)));
        rig_stop(&g);
    }
}

static void test_rate(void)
{
    Rig g;

    rig_start(&g, cases[0].head);
    ok(!body_is_too_slow(g.x, &g.config, 1 * USEC_PER_SEC), "nothing yet, within timeouts.body");
    ok(body_is_too_slow(g.x, &g.config, 2 * USEC_PER_SEC));
    g.x->body_received = 500;
    ok(!body_is_too_slow(g.x, &g.config, 2 * USEC_PER_SEC));
    ok(body_is_too_slow(g.x, &g.config, 3 * USEC_PER_SEC));
    rig_stop(&g);
}

static void test_continue(void)
{
    Span piece;
    Rig g;

    rig_start(&g, "Content-Length: 11\r\nExpect: 100-continue");
    is_int(buffer_append_string(&g.x->in, "hello"), 0);
    is_int(body_continue(g.x), 0);
    ok(output_is_empty(&g.x->output), "some is here");
    is_int(body_take(g.x, &limits, 5, &piece), HTTP_E_MORE);
    is_int(body_continue(g.x), 0);
    ok(output_is_empty(&g.x->output), "or was");
    rig_stop(&g);

    rig_start(&g, "Content-Length: 11\r\nExpect: 100-continue");
    is_int(body_continue(g.x), 0);
    is_int(body_continue(g.x), 0);
    is_int((long)buffer_size(output_memory(&g.x->output)), 25);
    rig_stop(&g);
}

int main(void)
{
    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        for (size_t size = 1; size <= 60; size++)
            test_case(i, size, SIZE_MAX);
        for (size_t max = 1; max <= 12; max++)
            test_case(i, 60, max);
        test_here(i);
    }
    test_rate();
    test_continue();
    return tap_done();
}
