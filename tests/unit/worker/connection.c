/* SPDX-License-Identifier: MIT */
/* Tests of worker/connection with a loop on real sockets and no application: answers that the client does not take, and
 * requests behind them. The server answers OPTIONS * itself. */
#include "worker/connection.h"

#include "http/parser.h"
#include "rig.h"
#include "worker/intake.h"
#include "worker/live-body.h"
#include "worker/requests.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define OPTIONS "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"
#define N_OPTIONS 110 /* one receive for all of them, and answers for less than what is answered together */
#define TURNS_MAX 100000

/* A worker and its one client. */
typedef struct Pair {
    Rig rig;
    Loop *loop; /* the rig's */
    int client;
    Connection *connection;
} Pair;

/* Of the kind that take least. */
static void set_buffer(int fd, int option)
{
    setsockopt(fd, SOL_SOCKET, option, &(int){1}, sizeof(int));
}

static void pair_start(Pair *p)
{
    rig_start(&p->rig, NULL);
    p->loop = p->rig.loop;
    p->client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    set_buffer(p->client, SO_RCVBUF);
    is_int(connect(p->client, (struct sockaddr *)&p->rig.address, sizeof p->rig.address), 0);
    is_int(rig_turn_until(&p->rig, 1), 1);
    p->connection = connection_of_timeout(timeout_list_first(&p->loop->timeouts[TIMEOUT_HEAD]));
    set_buffer(p->connection->fd, SO_SNDBUF);
}

static void pair_stop(Pair *p)
{
    Connection *c = connection_queue_pop(&p->loop->ready);

    if (c)
        connection_close(p->loop, c);
    close(p->client);
    is_int(rig_turn_until(&p->rig, 0), 0);
    rig_stop(&p->rig);
}

/* OPTIONS * many times, then this. The client takes nothing, so that answers wait when this is looked at. */
static void pair_pipeline(Pair *p, const char *last)
{
    _cleanup_(buffer_deinit) Buffer requests = {0};

    for (int i = 0; i < N_OPTIONS; i++)
        (void)buffer_append_string(&requests, OPTIONS);
    is_int(buffer_append_string(&requests, last), 0);
    is_int(send(p->client, buffer_head(&requests), buffer_size(&requests), 0), (long)buffer_size(&requests));
    for (int i = 0; i < TURNS_MAX && !(p->connection->events & EPOLLOUT); i++)
        loop_turn(p->loop, false);
    ok(p->connection->events & EPOLLOUT, "answers wait");
    ok(!output_is_empty(&p->connection->exchange->output));
}

/* The client takes all that there is. */
static void pair_receive(Pair *p)
{
    char answers[64 * 1024];

    for (int i = 0; i < TURNS_MAX && !output_is_empty(&p->connection->exchange->output); i++) {
        (void)!recv(p->client, answers, sizeof answers, MSG_DONTWAIT);
        loop_turn(p->loop, false);
    }
    ok(output_is_empty(&p->connection->exchange->output), "all answers are sent");
}

/* The rest of a body that began behind answers which could not be sent is received when they are. */
static void test_body_behind_answers(void)
{
    Pair p;

    pair_start(&p);
    pair_pipeline(&p, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe");
    pair_receive(&p);
    is_int(p.loop->ready.n, 0);
    is_int(send(p.client, "llo", 3, 0), 3);
    for (int i = 0; i < TURNS_MAX && p.loop->ready.n == 0; i++)
        loop_turn(p.loop, false);
    is_int(p.loop->ready.n, 1);
    is_int(p.connection->state, CONNECTION_READY);
    pair_stop(&p);
}

/* Until the body has so many octets; *sent: those that are on their way, or were. */
static void pair_send_body(Pair *p, uint64_t *sent, uint64_t until)
{
    static const char octets[4096];

    for (int i = 0; i < TURNS_MAX && p->connection->exchange->body_received < until; i++) {
        ssize_t n = send(p->client, octets, (size_t)MIN(until - *sent, sizeof octets), MSG_DONTWAIT);

        *sent += n > 0 ? (uint64_t)n : 0;
        loop_turn(p->loop, false);
    }
}

/* Memory for all of a body is taken at once, and not before some of it is here. */
static void test_memory_of_a_body(void)
{
    static const char head[] = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n";
    const Buffer *memory;
    const char *data;
    uint64_t sent = 0;
    Pair p;

    pair_start(&p);
    is_int(send(p.client, head, sizeof head - 1, 0), (long)sizeof head - 1);
    for (int i = 0; i < TURNS_MAX && p.connection->state != CONNECTION_BODY; i++)
        loop_turn(p.loop, false);
    memory = &p.connection->exchange->body.memory;
    pair_send_body(&p, &sent, 60000);
    ok(memory->capacity <= 64 * 1024, "%zu octets for 60000", memory->capacity);
    pair_send_body(&p, &sent, 70000);
    ok(memory->capacity >= 1000000, "%zu octets for 70000", memory->capacity);
    is_int(p.connection->exchange->body.n_charged, (long)memory->capacity);
    data = memory->data;
    pair_send_body(&p, &sent, 1000000);
    is_int(p.loop->ready.n, 1);
    is_int(buffer_size(memory), 1000000);
    ok(memory->data == data, "it does not move");
    pair_stop(&p);
}

/* A body of which 64 KiB have come; nothing more is received before the driver has come with the GIL. */
static void pair_begin_upload(Pair *p, uint64_t *sent)
{
    static const char head[] = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n";

    pair_start(p);
    p->loop->gil = GIL_WITHIN_REACH;
    is_int(send(p->client, head, sizeof head - 1, 0), (long)sizeof head - 1);
    for (int i = 0; i < TURNS_MAX && p->connection->state != CONNECTION_BODY; i++)
        loop_turn(p->loop, false);
    *sent = 0;
    pair_send_body(p, sent, 64 * 1024);
    ok(!loop_wants_gil(p->loop), "so far the GIL is not needed");
    is_int(send(p->client, "more", 4, 0), 4);
    *sent += 4;
    for (int i = 0; i < TURNS_MAX && !loop_wants_gil(p->loop); i++)
        loop_turn(p->loop, false);
    ok(loop_wants_gil(p->loop), "now it is");
    is_int(p->connection->exchange->body_received, 64 * 1024);
    is_int(lent_octets(), 0);
}

/* … and then all of it is received into memory that the application gets. */
static void test_lent_memory(void)
{
    const Spool *body;
    uint64_t sent;
    Pair p;

    pair_begin_upload(&p, &sent);
    body = &p.connection->exchange->body;
    p.loop->gil = GIL_HELD;
    loop_turn(p.loop, false);
    ok(body->owner, "memory is lent");
    is_int(lent_octets(), 1000000);
    is_int(body->n_charged, 1000000);
    p.loop->gil = GIL_OUT_OF_REACH;
    pair_send_body(&p, &sent, 1000000);
    is_int(p.loop->ready.n, 1);
    is_int(spool_size(body), 1000000);
    ok(body->owner && body->fd < 0, "it stays there");
    pair_stop(&p);
    is_int(lent_octets(), 0);
}

/* Without the GIL a body is not freed, and does not wait for it. */
static void test_lent_memory_is_given_back(void)
{
    uint64_t sent;
    Pair p;

    pair_begin_upload(&p, &sent);
    p.loop->gil = GIL_HELD;
    loop_turn(p.loop, false);
    is_int(lent_octets(), 1000000);
    p.loop->gil = GIL_WITHIN_REACH;
    close(p.client);
    is_int(rig_turn_until(&p.rig, 0), 0);
    is_int(lent_octets(), 1000000);
    ok(loop_wants_gil(p.loop), "the GIL is needed to free it");
    ok(p.loop->exchanges.budget.left < (int64_t)p.rig.config->limits_memory, "until then it is charged");
    p.loop->gil = GIL_HELD;
    loop_turn(p.loop, false);
    is_int(lent_octets(), 0);
    ok(p.loop->exchanges.budget.left > (int64_t)p.rig.config->limits_memory - 64 * 1024, "and then no more");
    ok(!loop_wants_gil(p.loop));
    is_int(p.loop->exchanges.n_used, 0);
    is_int(p.loop->exchanges.n_free, 1);
    rig_stop(&p.rig);
}

/* Whoever drives then can't have the GIL: the body goes where all went before. */
static void test_upload_without_the_gil(void)
{
    uint64_t sent;
    Pair p;

    pair_begin_upload(&p, &sent);
    p.loop->gil = GIL_OUT_OF_REACH;
    pair_send_body(&p, &sent, 1000000);
    is_int(p.loop->ready.n, 1);
    ok(!p.connection->exchange->body.owner, "nothing is lent");
    is_int(lent_octets(), 0);
    pair_stop(&p);
}

/* A request that waits for the application does not keep back the answers before it. */
static void test_ready_behind_answers(void)
{
    Pair p;

    pair_start(&p);
    pair_pipeline(&p, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    is_int(p.connection->state, CONNECTION_READY);
    pair_receive(&p);
    is_int(p.connection->state, CONNECTION_READY);
    pair_stop(&p);
}

/* An answer that is made while a full set of answers is sent, is sent as well. */
static void test_answer_while_flushing(void)
{
    Connection closed = {.state = CONNECTION_CLOSED};
    Loop *l;
    Pair p;

    pair_start(&p);
    l = p.loop;
    p.connection->exchange = exchange_pool_get(&l->exchanges);
    is_int(buffer_append_string(&p.connection->exchange->in, OPTIONS), 0);
    p.connection->state = CONNECTION_WRITING;
    requests_keep_back(l, p.connection);
    while (l->n_unsent < UNSENT_MAX) {
        closed.is_kept_back = false;
        requests_keep_back(l, &closed);
    }
    requests_flush(l);
    is_int(l->n_unsent, 0);
    ok(!p.connection->is_kept_back);
    is_int(p.connection->state, CONNECTION_IDLE);
    pair_stop(&p);
}

/* An answer that is made before the wait for events is sent without one. */
static void test_answer_before_a_wait(void)
{
    char answer[1024];
    int client;
    Rig g;

    rig_start(&g, NULL);
    client = rig_connect(&g);
    is_int(send(client, OPTIONS, strlen(OPTIONS), 0), (long)strlen(OPTIONS));
    g.loop->listeners->is_ready = true;
    is_int(loop_turn(g.loop, true), 0);
    is_int(loop_turn(g.loop, false), 0);
    ok(recv(client, answer, sizeof answer, MSG_DONTWAIT) > 0);
    close(client);
    is_int(rig_turn_until(&g, 0), 0);
    rig_stop(&g);
}

/* A request whose connection can't be watched is dropped where it is taken from the queue, and not before. */
static void test_ready_without_watch(void)
{
    static const char get[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    Connection *c = calloc(1, sizeof *c);
    int ends[2], epoll_fd;
    Loop *l;
    Rig g;

    rig_start(&g, NULL);
    l = g.loop;
    l->n_slots = 0;
    is_int(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
    connection_adopt(l, c, l->listeners, ends[0]);
    is_int(send(ends[1], get, strlen(get), 0), (long)strlen(get));
    intake_on_readable(l, c);
    is_int(l->ready.n, 1);
    epoll_fd = l->epoll_fd;
    l->epoll_fd = -EBADF;
    is_int(connection_begin_watch(l, c), -EBADF);
    l->epoll_fd = epoll_fd;
    is_int(c->state, CONNECTION_READY);
    l->n_slots = 1;
    ok(!requests_check_out(l));
    is_int(l->ready.n, 0);
    is_int(l->n_connections, 0);
    close(ends[1]);
    rig_stop(&g);
}

static void pair_ask(Pair *p, uint64_t n)
{
    const TotalsShard *total = &p->rig.total;

    is_int(send(p->client, OPTIONS, strlen(OPTIONS), 0), (long)strlen(OPTIONS));
    for (int i = 0; i < TURNS_MAX && total->requests < n; i++)
        loop_turn(p->rig.loop, false);
    is_int(total->requests, n);
}

/* workers.max_requests: where the supervisor does not read, the worker asks with each response until it could, once. */
static void test_replacement_is_asked_again(void)
{
    static Message m = {.type = MESSAGE_MODULES};
    Pair p;

    pair_start(&p);
    p.rig.loop->n_until_replaced = 2;
    while (channel_send(p.rig.channel[1], &m) == 0)
        ;
    for (uint64_t n = 1; n <= 3; n++)
        pair_ask(&p, n);
    ok(!p.rig.loop->is_replacement_asked);
    while (channel_receive(p.rig.channel[0], &m) == 0)
        ;
    pair_ask(&p, 4);
    is_int(channel_receive(p.rig.channel[0], &m), 0);
    is_int(m.type, MESSAGE_REPLACE);
    pair_ask(&p, 5);
    is_int(channel_receive(p.rig.channel[0], &m), -EAGAIN);
    pair_stop(&p);
}

/* timeouts.request stands still while a body is waited for; where the request was given up, it does not start again. */
static void test_clock_of_a_live_body(void)
{
    static const char head[] = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n";
    const usec_t began = 1000, half = 10;
    ScoreboardSlot *slot;
    BodyWait wait = {0};
    LiveBody body;
    Exchange *x;
    char to[8];
    Pair p;

    pair_start(&p);
    slot = scoreboard_slot(p.rig.scoreboard, 0, 0);
    x = p.connection->exchange = exchange_pool_get(&p.loop->exchanges);
    is_int(buffer_append_string(&x->in, head), 0);
    x->head_size = buffer_size(&x->in);
    is_int(request_parse(&x->request, &x->scan, buffer_head(&x->in), x->head_size, &p.loop->limits), 0);
    live_body_init(&body, p.loop, p.connection, slot);

    atomic_store(&slot->started_usec, began);
    is_int(body.source.receive(&body.source, to, sizeof to, &wait), -EAGAIN);
    is_int(atomic_load(&slot->started_usec), began + wait.timeout_usec);
    wait.elapsed_usec = half;
    body.source.end_wait(&body.source, &wait);
    is_int(body.source.receive(&body.source, to, sizeof to, &wait), -EAGAIN);
    is_int(atomic_load(&slot->started_usec), began + half + wait.timeout_usec);
    atomic_store(&slot->started_usec, 0);
    wait.elapsed_usec = half;
    body.source.end_wait(&body.source, &wait);
    is_int(atomic_load(&slot->started_usec), 0);
    is_int(send(p.client, "hello", 5, 0), 5);
    for (int i = 0; i < TURNS_MAX && recv(p.connection->fd, to, sizeof to, MSG_PEEK) < 5; i++)
        ;
    is_int(body.source.receive(&body.source, to, sizeof to, &wait), 5);
    pair_stop(&p);
}

/* Who drives and runs no application sleeps while a request is ready: somebody else comes for it. The other connection
 * ends at its time. */
static void test_spared(void)
{
    int clients[2], n = 0;
    Rig g;

    rig_start(&g, NULL);
    clients[0] = rig_connect(&g);
    is_int(send(clients[0], "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 27, 0), 27);
    is_int(rig_turn_until(&g, 1), 1);
    is_int(g.loop->ready.n, 1);
    clients[1] = rig_connect(&g);
    is_int(rig_turn_until(&g, 2), 2);
    timeout_list_first(&g.loop->timeouts[TIMEOUT_HEAD])->deadline = g.loop->now + 20 * USEC_PER_MSEC;
    g.loop->is_spared = true;
    for (; g.loop->n_connections == 2; n++)
        loop_turn(g.loop, true);
    ok(n < 10, "%d turns", n);
    connection_close(g.loop, connection_queue_pop(&g.loop->ready));
    close(clients[0]);
    close(clients[1]);
    rig_stop(&g);
}

int main(void)
{
    test_clock_of_a_live_body();
    test_body_behind_answers();
    test_memory_of_a_body();
    test_lent_memory();
    test_lent_memory_is_given_back();
    test_upload_without_the_gil();
    test_ready_behind_answers();
    test_answer_while_flushing();
    test_answer_before_a_wait();
    test_ready_without_watch();
    test_spared();
    test_replacement_is_asked_again();
    return tap_done();
}
