/* SPDX-License-Identifier: MIT */
/* Target: a body behind its head, and what follows it. Input: an octet of flags, the length of a sized body in an
 * octet, then octets from a client. However they arrive and are taken, by the loop (body-intake.c) or by the
 * application through a socket (live-body.c), the body is that of the whole decode, and what follows is left as it
 * is. */
#include "base/cleanup.h"
#include "fuzz.h"
#include "http/parser.h"
#include "worker/body-intake.h"
#include "worker/live-body.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONTINUE "HTTP/1.1 100 Continue\r\n\r\n"

static const HttpLimits limits = {
    .request_line = 8190, .field_size = 8190, .head = 65536, .fields = 100, .body = 1000};

typedef struct Case {
    Span octets;
    bool chunked, expects;
    unsigned length; /* of a sized body */
    /* the whole decode */
    char *body;
    size_t body_size;
    size_t consumed;
    int status; /* HTTP_E_MORE: it is cut */
} Case;

/* A request whose body is on its way. */
typedef struct Rig {
    ExchangePool pool;
    Config config;
    Exchange *x;
    char head[128];
} Rig;

static void decode_whole(Case *c)
{
    c->body = fuzz_copy(c->octets.data, c->octets.size);
    if (!c->chunked) {
        c->body_size = c->consumed = MIN(c->octets.size, (size_t)c->length);
        c->status = c->consumed == c->length ? 0 : HTTP_E_MORE;
        return;
    }
    c->status = HTTP_E_MORE;
    for (ChunkedDecoder d = {0}; c->consumed < c->octets.size && c->status == HTTP_E_MORE;) {
        size_t n;
        Span run;

        c->status =
            chunked_decode(&d, c->octets.data + c->consumed, c->octets.size - c->consumed, &limits, &n, &run);
        if (run.size > 0)
            memcpy(c->body + c->body_size, run.data, run.size);
        c->body_size += run.size;
        c->consumed += n;
    }
}

static void rig_start(Rig *g, const Case *c)
{
    char framing[64];

    *g = (Rig){.config = {.timeouts_body = 1 * USEC_PER_SEC}};
    snprintf(framing, sizeof(framing), c->chunked ? "Transfer-Encoding: chunked" : "Content-Length: %u",
             c->length);
    snprintf(g->head, sizeof(g->head), "POST / HTTP/1.1\r\nHost: a\r\n%s%s\r\n\r\n", framing,
             c->expects ? "\r\nExpect: 100-continue" : "");
    exchange_pool_init(&g->pool, &g->config, "/tmp");
    g->x = exchange_pool_get(&g->pool);
    fuzz_check(g->x && buffer_append_string(&g->x->in, g->head) == 0 &&
                   buffer_reserve(&g->x->in, c->octets.size + 1) == 0,
               "no memory");
    g->x->head_size = buffer_size(&g->x->in);
    fuzz_check(request_parse(&g->x->request, &g->x->scan, buffer_head(&g->x->in), g->x->head_size, &limits) ==
                   0,
               "%s", g->head);
    g->x->is_live = true;
}

static void rig_stop(Rig *g)
{
    exchange_pool_put(&g->pool, g->x);
    exchange_pool_deinit(&g->pool);
}

static void check_taken(const Case *c, size_t at, Span piece)
{
    fuzz_check(piece.size <= c->body_size - at, "%zu octets more than the body", piece.size);
    fuzz_check(piece.size == 0 || memcmp(c->body + at, piece.data, piece.size) == 0, "another body");
}

/* sent: octets that have arrived. */
static void check_state(const Case *c, const Rig *g, size_t sent)
{
    bool is_whole = c->status == 0 && sent >= c->consumed;

    fuzz_check(body_is_here(g->x, &limits) == is_whole, "%zu of %zu", sent, c->consumed);
    fuzz_check(memcmp(buffer_head(&g->x->in), g->head, g->x->head_size) == 0, "the head was changed");
}

/* The body is over, or is given up: what is left is not the next request unless it is all of that. */
static void check_rest(const Case *c, const Rig *g, size_t sent)
{
    bool is_whole = c->status == 0 && sent >= c->consumed;
    Span rest;

    fuzz_check(body_skip(g->x, &limits) == is_whole, "%zu of %zu", sent, c->consumed);
    if (!is_whole)
        return;
    rest = body_unread(g->x);
    fuzz_check(span_equal(rest, (Span){c->octets.data + c->consumed, sent - c->consumed}),
               "%zu octets follow", rest.size);
    exchange_next_request(g->x);
    fuzz_check(span_equal(buffer_span(&g->x->in), (Span){c->octets.data + c->consumed, sent - c->consumed}),
               "the next request is another");
}

/* --- the loop's way --- */

/* Takes until nothing is left, or some time before. */
static int take_some(const Case *c, Rig *g, FuzzRandom *random, size_t sent)
{
    bool all = fuzz_random_next(random, 4) > 1;
    Span piece;
    int r;

    do {
        size_t max = fuzz_random_next(random, 40);

        r = body_take(g->x, &limits, max, &piece);
        fuzz_check(piece.size <= max, "%zu", piece.size);
        check_taken(c, (size_t)g->x->body_received - piece.size, piece);
        if (r > HTTP_E_MORE)
            return r;
        if (fuzz_random_next(random, 3) == 1)
            body_drop_taken(g->x);
        check_state(c, g, sent);
    } while (r == HTTP_E_MORE && body_unread(g->x).size > 0 && all);
    return r;
}

static void run_pieces(const Case *c, FuzzRandom random)
{
    bool skips = fuzz_random_next(&random, 3) == 1; /* the application reads only some of it */
    size_t sent = 0;
    int r = HTTP_E_MORE;
    Rig g;

    rig_start(&g, c);
    while (r == HTTP_E_MORE && sent < c->octets.size) {
        size_t n = MIN(fuzz_random_next(&random, 60), c->octets.size - sent);

        fuzz_check(buffer_append(&g.x->in, c->octets.data + sent, n) == 0, "no memory");
        sent += n;
        check_state(c, &g, sent);
        if (!skips || fuzz_random_next(&random, 4) == 1)
            r = take_some(c, &g, &random, sent);
    }
    while (!skips && r == HTTP_E_MORE && body_unread(g.x).size > 0)
        r = take_some(c, &g, &random, sent);
    fuzz_check(skips || r == c->status, "%d, whole: %d", r, c->status);
    fuzz_check(r != 0 || g.x->body_received == c->body_size, "%llu octets",
               (unsigned long long)g.x->body_received);
    check_rest(c, &g, sent);
    rig_stop(&g);
}

/* --- the application's way --- */

/* Another piece, or the end. */
static void client_sends(const Case *c, int fd, FuzzRandom *random, size_t *sent)
{
    size_t n = MIN(fuzz_random_next(random, 60), c->octets.size - *sent);

    if (n > 0)
        fuzz_check(write(fd, c->octets.data + *sent, n) == (ssize_t)n, "%s", strerror(errno));
    else
        shutdown(fd, SHUT_WR);
    *sent += n;
}

static ssize_t receive_all(const Case *c, LiveBody *b, int client, FuzzRandom *random, size_t *sent)
{
    char to[64];
    size_t got = 0;
    ssize_t n;

    do {
        BodyWait wait = {0};
        size_t size = fuzz_random_next(random, sizeof(to));

        while ((n = b->source.receive(&b->source, to, size, &wait)) == -EAGAIN) {
            client_sends(c, client, random, sent);
            wait.elapsed_usec = 0;
        }
        fuzz_check(n <= (ssize_t)size, "%zd of %zu", n, size);
        if (n > 0)
            check_taken(c, got, (Span){to, (size_t)n});
        got += n > 0 ? (size_t)n : 0;
    } while (n > 0);
    fuzz_check(n < 0 || got == c->body_size, "%zu of %zu", got, c->body_size);
    fuzz_check(b->source.receive(&b->source, to, sizeof(to), &(BodyWait){0}) == n, "another end");
    return n;
}

static void check_end(const Case *c, const LiveBody *b, ssize_t n)
{
    int expected = c->status == 0             ? 0
                   : c->status == HTTP_E_MORE ? -ECONNRESET
                   : c->status == 413         ? -EFBIG
                                              : -EPROTO;
    unsigned status = c->status == HTTP_E_MORE ? 400 : (unsigned)c->status;

    fuzz_check(n == expected, "%zd, %s", n, b->source.reason);
    fuzz_check(b->status == status && (status == 0 || b->source.reason), "%u", b->status);
}

/* Octets in the socket are still there for the next request. */
static size_t count_unreceived(int fd, const Case *c, size_t sent)
{
    char rest[64 * 1024];
    ssize_t n = recv(fd, rest, sizeof(rest), MSG_DONTWAIT);

    if (n <= 0)
        return 0;
    fuzz_check((size_t)n <= sent && memcmp(rest, c->octets.data + sent - (size_t)n, (size_t)n) == 0,
               "another rest");
    return (size_t)n;
}

static void run_live(const Case *c, FuzzRandom random)
{
    size_t sent = fuzz_random_next(&random, 20) - 1; /* with the head */
    Connection connection = {0};
    ScoreboardSlot slot = {0};
    Loop loop = {.limits = limits};
    char answer[64];
    LiveBody body;
    int pair[2];
    ssize_t n;
    Rig g;

    rig_start(&g, c);
    sent = MIN(sent, c->octets.size);
    fuzz_check(buffer_append(&g.x->in, c->octets.data, sent) == 0, "no memory");
    fuzz_check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0, "%s",
               strerror(errno));
    connection = (Connection){.fd = pair[0], .exchange = g.x};
    loop.config = &g.config;
    live_body_init(&body, &loop, &connection, &slot);

    n = receive_all(c, &body, pair[1], &random, &sent);
    check_end(c, &body, n);
    fuzz_check(atomic_load(&slot.started_usec) == 0, "the clock of the request was moved");
    if (n == 0)
        check_rest(c, &g, sent - count_unreceived(pair[0], c, sent));
    n = recv(pair[1], answer, sizeof(answer), MSG_DONTWAIT);
    fuzz_check(n <= 0 || (c->expects && (size_t)n == strlen(CONTINUE)), "%zd octets were sent", n);
    close(pair[0]);
    close(pair[1]);
    rig_stop(&g);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FuzzRandom random = fuzz_random_new(data, size);
    Case c;

    if (size < 3 || size > 16 * 1024)
        return 0;
    c = (Case){
        .octets = {(const char *)data + 2, size - 2},
        .chunked = data[0] & 1,
        .expects = data[0] & 2,
        .length = data[1] + 1u,
    };
    decode_whole(&c);
    run_pieces(&c, random);
    run_live(&c, random);
    free(c.body);
    return 0;
}
