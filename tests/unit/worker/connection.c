/* SPDX-License-Identifier: MIT */
/* Tests of worker/connection with a loop on real sockets and no application: answers that the client does not take, and
 * requests behind them. The server answers OPTIONS * itself. */
#include "worker/connection.h"

#include "http/parser.h"
#include "ipc/channel.h"
#include "tap.h"
#include "worker/live-body.h"
#include "worker/requests.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define OPTIONS "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"
#define N_OPTIONS 400 /* one receive for all of them, and answers for less than what is answered together */
#define TURNS_MAX 100000

typedef struct Rig {
    Config *config;
    Scoreboard *scoreboard;
    TotalsShard total;
    Loop *loop;
    int listener;
    int doorbell;
    int channel[2];
    int client;
    Connection *connection;
    size_t n_received; /* by the client */
} Rig;

/* Of the kind that take least. */
static void set_buffer(int fd, int option)
{
    setsockopt(fd, SOL_SOCKET, option, &(int){1}, sizeof(int));
}

static void rig_start(Rig *g)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    char *error;

    *g = (Rig){0};
    is_int(config_parse(NULL, 0, "test", (char *[]){(char *)"app.module=x", NULL}, &g->config, &error), 0);
    is_int(scoreboard_new(1, 1, &g->scoreboard), 0);
    is_int(channel_new_pair(g->channel), 0);
    g->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    is_int(bind(g->listener, (struct sockaddr *)&address, sizeof address), 0);
    is_int(listen(g->listener, 64), 0);
    getsockname(g->listener, (struct sockaddr *)&address, &size);
    g->doorbell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    is_int(loop_new(&(LoopOptions){.config = g->config,
                                   .directory = "/tmp",
                                   .listeners = &g->listener,
                                   .n_listeners = 1,
                                   .doorbell = g->doorbell,
                                   .channel.fd = g->channel[1],
                                   .seat = &g->scoreboard->seats[0],
                                   .total = &g->total},
                    &g->loop, &error),
           0);

    g->client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    set_buffer(g->client, SO_RCVBUF);
    is_int(connect(g->client, (struct sockaddr *)&address, sizeof address), 0);
    for (int i = 0; i < TURNS_MAX && g->loop->n_connections == 0; i++)
        loop_turn(g->loop, false);
    g->connection = connection_of_timeout(timeout_list_first(&g->loop->timeouts[TIMEOUT_HEAD]));
    set_buffer(g->connection->fd, SO_SNDBUF);
}

static void rig_stop(Rig *g)
{
    Connection *c = connection_queue_pop(&g->loop->ready);

    if (c)
        connection_close(g->loop, c);
    close(g->client);
    for (int i = 0; i < TURNS_MAX && g->loop->n_connections > 0; i++)
        loop_turn(g->loop, false);
    is_int(g->loop->n_connections, 0);
    loop_free(g->loop);
    close(g->listener);
    close(g->doorbell);
    close(g->channel[0]);
    close(g->channel[1]);
    scoreboard_free(g->scoreboard);
    config_free(g->config);
}

/* OPTIONS * many times, then this. The client takes nothing, so that answers wait when this is looked at. */
static void rig_pipeline(Rig *g, const char *last)
{
    _cleanup_(buffer_deinit) Buffer requests = {0};

    for (int i = 0; i < N_OPTIONS; i++)
        (void)buffer_append_string(&requests, OPTIONS);
    is_int(buffer_append_string(&requests, last), 0);
    is_int(send(g->client, buffer_head(&requests), buffer_size(&requests), 0), (long)buffer_size(&requests));
    for (int i = 0; i < TURNS_MAX && !(g->connection->events & EPOLLOUT); i++)
        loop_turn(g->loop, false);
    ok(g->connection->events & EPOLLOUT, "answers wait");
    ok(!output_is_empty(&g->connection->exchange->output));
}

/* The client takes all that there is. */
static void rig_receive(Rig *g)
{
    char answers[64 * 1024];

    for (int i = 0; i < TURNS_MAX && !output_is_empty(&g->connection->exchange->output); i++) {
        ssize_t n = recv(g->client, answers, sizeof answers, MSG_DONTWAIT);

        g->n_received += n > 0 ? (size_t)n : 0;
        loop_turn(g->loop, false);
    }
    ok(output_is_empty(&g->connection->exchange->output), "all answers are sent");
}

/* The rest of a body that began behind answers which could not be sent is received when they are. */
static void test_body_behind_answers(void)
{
    Rig g;

    rig_start(&g);
    rig_pipeline(&g, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe");
    rig_receive(&g);
    is_int(g.loop->ready.n, 0);
    is_int(send(g.client, "llo", 3, 0), 3);
    for (int i = 0; i < TURNS_MAX && g.loop->ready.n == 0; i++)
        loop_turn(g.loop, false);
    is_int(g.loop->ready.n, 1);
    is_int(g.connection->state, CONNECTION_READY);
    rig_stop(&g);
}

/* A request that waits for the application does not keep back the answers before it. */
static void test_ready_behind_answers(void)
{
    Rig g;

    rig_start(&g);
    rig_pipeline(&g, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    is_int(g.connection->state, CONNECTION_READY);
    rig_receive(&g);
    is_int(g.connection->state, CONNECTION_READY);
    rig_stop(&g);
}

/* An answer that is made while a full set of answers is sent, is sent as well. */
static void test_answer_while_flushing(void)
{
    Connection closed = {.state = CONNECTION_CLOSED};
    Loop *l;
    Rig g;

    rig_start(&g);
    l = g.loop;
    g.connection->exchange = exchange_pool_get(&l->exchanges);
    is_int(buffer_append_string(&g.connection->exchange->in, OPTIONS), 0);
    g.connection->state = CONNECTION_WRITING;
    requests_keep_back(l, g.connection);
    while (l->n_unsent < UNSENT_MAX) {
        closed.is_kept_back = false;
        requests_keep_back(l, &closed);
    }
    requests_flush(l);
    is_int(l->n_unsent, 0);
    ok(!g.connection->is_kept_back);
    is_int(g.connection->state, CONNECTION_IDLE);
    rig_stop(&g);
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
    Rig g;

    rig_start(&g);
    slot = scoreboard_slot(g.scoreboard, 0, 0);
    x = g.connection->exchange = exchange_pool_get(&g.loop->exchanges);
    is_int(buffer_append_string(&x->in, head), 0);
    x->head_size = buffer_size(&x->in);
    is_int(request_parse(&x->request, buffer_head(&x->in), x->head_size, &g.loop->limits), 0);
    live_body_init(&body, g.loop, g.connection, slot);

    atomic_store(&slot->started_usec, began);
    is_int(body.source.receive(&body.source, to, sizeof to, &wait), -EAGAIN);
    is_int(atomic_load(&slot->started_usec), began + wait.timeout_usec);
    wait.elapsed_usec = half;
    is_int(body.source.receive(&body.source, to, sizeof to, &wait), -EAGAIN);
    is_int(atomic_load(&slot->started_usec), began + half + wait.timeout_usec);
    atomic_store(&slot->started_usec, 0);
    wait.elapsed_usec = half;
    is_int(send(g.client, "hello", 5, 0), 5);
    for (int i = 0; i < TURNS_MAX && recv(g.connection->fd, to, sizeof to, MSG_PEEK) < 5; i++)
        ;
    is_int(body.source.receive(&body.source, to, sizeof to, &wait), 5);
    is_int(atomic_load(&slot->started_usec), 0);
    rig_stop(&g);
}

int main(void)
{
    test_clock_of_a_live_body();
    test_body_behind_answers();
    test_ready_behind_answers();
    test_answer_while_flushing();
    return tap_done();
}
