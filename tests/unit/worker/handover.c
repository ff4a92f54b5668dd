/* SPDX-License-Identifier: MIT */
/* Tests of worker/handover with the loops of two workers on one listener, and no application: what one gives
 * the other takes, whole, and answers. The server answers OPTIONS * itself. */
#include "worker/handover.h"

#include "ipc/parcel.h"
#include "rig.h"
#include "worker/connection.h"
#include "worker/drain.h"
#include "worker/requests.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define GET "GET /a?b=c HTTP/1.1\r\nHost: a\r\n\r\n"
#define OPTIONS "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"
#define TURNS_MAX 10000

/* The next reads from a file fail. */
static bool no_memory;

ssize_t pread(int fd, void *to, size_t n, off_t offset)
{
    if (!no_memory)
        return syscall(SYS_pread64, fd, to, n, offset);
    errno = ENOMEM;
    return -1;
}

typedef struct Pair {
    Rig one, other;
    int client;
} Pair;

/* The first has the connection of g->client, the other none. */
static void pair_start(Pair *g, const char *setting)
{
    rig_start_sibling(&g->one, NULL, "workers.count=2", setting, NULL);
    g->client = rig_connect(&g->one);
    setsockopt(g->client, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    is_int(rig_turn_until(&g->one, 1), 1);
    rig_start_sibling(&g->other, &g->one, "workers.count=2", setting, NULL);
}

static void stop_worker(Rig *w)
{
    for (Connection *c; (c = connection_queue_pop(&w->loop->ready));)
        connection_close(w->loop, c);
    is_int(rig_turn_until(w, 0), 0);
    rig_stop(w);
}

static void pair_stop(Pair *g)
{
    close(g->client);
    stop_worker(&g->one);
    stop_worker(&g->other);
}

static void say(const Pair *g, const char *text)
{
    is_int(send(g->client, text, strlen(text), MSG_NOSIGNAL), (long)strlen(text));
}

/* As if its one thread were in the application. */
static void saturate(Rig *w)
{
    w->loop->n_checked_out = 1;
}

static void release(Rig *w)
{
    w->loop->n_checked_out = 0;
}

static size_t turn_until_ready(Loop *l)
{
    for (int i = 0; i < TURNS_MAX && l->ready.n == 0; i++)
        loop_turn(l, false);
    return l->ready.n;
}

/* What the client gets next, while the worker turns. */
static bool gets(const Pair *g, Loop *l, const char *text)
{
    char got[4096];
    ssize_t n = -1;

    for (int i = 0; i < TURNS_MAX && n < 0; i++) {
        loop_turn(l, false);
        n = recv(g->client, got, sizeof got - 1, MSG_DONTWAIT);
    }
    got[n > 0 ? n : 0] = '\0';
    return strstr(got, text);
}

/* Puts a new connection into the queue, with what p says of it. Returns the client's end. */
static int queue_connection(const Pair *g, Parcel *p)
{
    int ends[2];

    is_int(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    p->fd = ends[1];
    is_int(parcel_send(g->one.queue[0], p), 0);
    close(ends[1]);
    return ends[0];
}

/* The first's request, which is complete, in the hands of the other. */
static Connection *move_request(Pair *g, const char *request)
{
    saturate(&g->one);
    say(g, request);
    is_int(rig_turn_until(&g->one, 0), 0);
    is_int(turn_until_ready(g->other.loop), 1);
    is_int(g->one.total.given, 1);
    is_int(g->other.total.taken, 1);
    return connection_queue_pop(&g->other.loop->ready);
}

static void test_request(void)
{
    usec_t started;
    Connection *c;
    char port[6];
    uint64_t id;
    Pair g;

    pair_start(&g, "timeouts.head=60s");
    say(&g, "GET /a?b=c HT");
    is_int(rig_turn_until(&g.one, 1), 1);
    c = connection_of_timeout(timeout_list_first(&g.one.loop->timeouts[TIMEOUT_HEAD]));
    for (int i = 0; i < TURNS_MAX && !c->exchange; i++)
        loop_turn(g.one.loop, false);
    started = c->exchange->started_usec;
    id = g.one.loop->first_request + c->exchange->serial;
    memcpy(port, c->port, sizeof port);

    c = move_request(&g, "TP/1.1\r\nHost: a\r\n\r\n" OPTIONS);
    is_int(c->state, CONNECTION_READY);
    is_string(c->address, "127.0.0.1");
    is_string(c->port, port);
    ok(span_equal(c->exchange->request.target, SPAN_LITERAL("/a?b=c")));
    ok(c->exchange->started_usec == started && c->exchange->ready_usec >= started);
    ok(g.other.loop->first_request + c->exchange->serial == id);
    is_int(buffer_size(&c->exchange->in), strlen(GET OPTIONS));
    requests_refuse(g.other.loop, c, "test");
    ok(gets(&g, g.other.loop, "HTTP/1.1 503 Service Unavailable\r\n"));
    pair_stop(&g);
}

static void is_body(const Spool *s, const char *expected)
{
    char body[64] = "";

    is_int(spool_peek(s, 0, body, sizeof body - 1), (long)strlen(expected));
    is_string(body, expected);
}

static void test_bodies(const char *setting)
{
    Connection *c;
    Pair g;

    pair_start(&g, setting);
    c = move_request(&g, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nhello world");
    is_body(&c->exchange->body, "hello world");
    connection_close(g.other.loop, c);
    pair_stop(&g);

    pair_start(&g, setting);
    c = move_request(&g, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                         "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n" OPTIONS);
    is_body(&c->exchange->body, "hello world");
    is_int(buffer_size(&c->exchange->in) - c->exchange->head_size, strlen(OPTIONS));
    connection_close(g.other.loop, c);
    pair_stop(&g);
}

/* Its body is not here, in either of them. */
static void test_live_body(void)
{
    Connection *c;
    Pair g;

    pair_start(&g, "request.buffering=no");
    c = move_request(&g, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nhello");
    ok(c->exchange->is_live && !c->exchange->is_received);
    is_int(buffer_size(&c->exchange->in) - c->exchange->head_size, 5);
    connection_close(g.other.loop, c);
    pair_stop(&g);
}

/* Who gives takes it back, where nobody else is faster. */
static void test_back(void)
{
    Connection *c;
    Pair g;

    pair_start(&g, "workers.threads=1");
    saturate(&g.one);
    saturate(&g.other);
    say(&g, GET);
    is_int(rig_turn_until(&g.one, 0), 0);
    for (int i = 0; i < 10; i++)
        loop_turn(g.other.loop, false);
    is_int(g.other.loop->n_connections, 0);
    release(&g.one);
    is_int(turn_until_ready(g.one.loop), 1);
    c = connection_queue_pop(&g.one.loop->ready);
    connection_close(g.one.loop, c);
    pair_stop(&g);
}

/* Those who have no siblings keep what they have; unless they hang. */
static void test_alone(void)
{
    Pair g;

    pair_start(&g, "workers.threads=1");
    g.one.loop->has_siblings = false;
    saturate(&g.one);
    say(&g, GET);
    is_int(turn_until_ready(g.one.loop), 1);
    for (int i = 0; i < 10; i++)
        loop_turn(g.one.loop, false);
    is_int(g.one.loop->ready.n, 1);
    g.one.loop->n_hung = 1;
    is_int(rig_turn_until(&g.one, 0), 0);
    is_int(turn_until_ready(g.other.loop), 1);
    pair_stop(&g);
}

/* --- limits.queue_time --- */

static void test_time_in_the_queue(void)
{
    Pair g;

    pair_start(&g, "limits.queue_time=10ms");
    saturate(&g.one);
    saturate(&g.other);
    say(&g, GET);
    is_int(rig_turn_until(&g.one, 0), 0);
    loop_turn(g.one.loop, true);
    ok(gets(&g, g.one.loop, "503 Service Unavailable\r\n"));
    is_int(g.one.total.expired, 1);
    is_int(handover_due(g.one.loop) == UINT64_MAX, true);
    pair_stop(&g);
}

static void test_time_at_home(void)
{
    Pair g;

    pair_start(&g, "limits.queue_time=10ms");
    g.one.loop->has_siblings = false;
    saturate(&g.one);
    say(&g, GET);
    is_int(turn_until_ready(g.one.loop), 1);
    loop_turn(g.one.loop, true);
    ok(gets(&g, g.one.loop, "\r\nRetry-After: "));
    is_int(g.one.total.expired, 1);
    pair_stop(&g);
}

/* A complete request in the queue, since then. */
static int queue_request(const Pair *g, usec_t ready_usec)
{
    Parcel p = {.flags = PARCEL_READY, .ready_usec = ready_usec, .body_fd = -EBADF};
    int end;

    (void)buffer_append_string(&p.in, GET);
    end = queue_connection(g, &p);
    buffer_deinit(&p.in);
    return end;
}

/* A kept connection whose time to be idle is over; its next request has come. */
static int queue_expired(const Pair *g)
{
    Parcel p = {.flags = PARCEL_KEPT_ALIVE, .deadline_usec = 1, .body_fd = -EBADF};
    int end = queue_connection(g, &p);

    is_int(send(end, GET, strlen(GET), 0), (long)strlen(GET));
    return end;
}

/* One of the client's that is complete, and stays here; since then. */
static Connection *keep_request(Pair *g, Rig *w, usec_t ready_usec)
{
    Connection *c;

    w->loop->has_siblings = false;
    say(g, GET);
    is_int(turn_until_ready(w->loop), 1);
    w->loop->has_siblings = true;
    c = connection_queue_pop(&w->loop->ready);
    c->exchange->ready_usec = ready_usec;
    return c;
}

/* Who has waited for longer is first. */
static void test_older_first(usec_t ready_usec, bool is_first)
{
    Connection *c;
    int end;
    Pair g;

    pair_start(&g, "workers.threads=1");
    c = keep_request(&g, &g.one, 10);
    connection_queue_push(&g.one.loop->ready, c);
    end = queue_request(&g, ready_usec);
    is_int(handover_take(g.one.loop), 0);
    is_int(g.one.loop->ready.n, 2);
    ok((is_first ? g.one.loop->ready.last : g.one.loop->ready.first) == c);
    close(end);
    pair_stop(&g);
}

/* Whichever of those that were given has waited longest is looked after. */
static void test_look_after_oldest(void)
{
    Loop *l;
    Pair g;

    pair_start(&g, "limits.queue_time=10s");
    l = g.one.loop;
    saturate(&g.one);
    l->handover.look_usec = 2;
    is_int(handover_give(l, keep_request(&g, &g.one, 1)), 0);
    ok(handover_due(l) == 1 + 10 * USEC_PER_SEC);
    pair_stop(&g);
}

/* What is no request does not hide those behind it. */
static void test_time_behind_idle_ones(void)
{
    Parcel idle = {.flags = PARCEL_KEPT_ALIVE, .body_fd = -EBADF};
    int end;
    Pair g;

    pair_start(&g, "limits.queue_time=10s");
    saturate(&g.one);
    saturate(&g.other);
    idle.deadline_usec = g.one.loop->now + 60 * USEC_PER_SEC;
    end = queue_connection(&g, &idle);
    is_int(handover_give(g.one.loop, keep_request(&g, &g.one, 1)), 0);
    handover_expire(g.one.loop);
    is_int(g.one.total.expired, 1);
    close(end);
    pair_stop(&g);
}

/* --- draining --- */

static void test_heirs(const char *before, const char *after)
{
    usec_t deadline;
    Connection *c;
    Pair g;

    pair_start(&g, "timeouts.keepalive=60s");
    say(&g, OPTIONS);
    ok(gets(&g, g.one.loop, "200 OK"));
    say(&g, before);
    for (int i = 0; i < 10; i++)
        loop_turn(g.one.loop, false);
    c = connection_of_timeout(
        timeout_list_first(&g.one.loop->timeouts[*before ? TIMEOUT_HEAD : TIMEOUT_KEEPALIVE]));
    deadline = c->timeout.deadline;
    drain_begin(g.one.loop, true, true);
    is_int(rig_turn_until(&g.one, 0), 0);
    ok(drain_is_finished(g.one.loop));
    is_int(rig_turn_until(&g.other, 1), 1);
    c = connection_of_timeout(
        timeout_list_first(&g.other.loop->timeouts[*before ? TIMEOUT_HEAD : TIMEOUT_KEEPALIVE]));
    ok(c->timeout.deadline == deadline);
    say(&g, after);
    ok(gets(&g, g.other.loop, "200 OK"));
    pair_stop(&g);
}

/* The next request is whole already, and was not looked at, when its worker has answered the one before: it is
 * ready where it comes to, and goes on from there. */
static void test_pipelined(void)
{
    usec_t before;
    Pair g;

    pair_start(&g, "workers.threads=1");
    before = g.one.loop->now;
    drain_begin(g.one.loop, true, true);
    g.one.loop->handover.is_full = true;
    say(&g, OPTIONS GET);
    ok(gets(&g, g.one.loop, "200 OK"));
    g.one.loop->handover.is_full = false;
    is_int(rig_turn_until(&g.one, 0), 0);
    is_int(turn_until_ready(g.other.loop), 1);
    ok(g.other.loop->ready.first->exchange->ready_usec >= before);
    saturate(&g.other);
    is_int(rig_turn_until(&g.other, 0), 0);
    release(&g.other);
    is_int(turn_until_ready(g.other.loop), 1);
    pair_stop(&g);
}

static void test_no_heirs(void)
{
    Pair g;

    pair_start(&g, "workers.threads=1");
    say(&g, OPTIONS);
    ok(gets(&g, g.one.loop, "200 OK"));
    drain_begin(g.one.loop, true, false);
    for (int i = 0; i < 10; i++)
        loop_turn(g.one.loop, false);
    is_int(g.one.loop->n_connections, 1);
    say(&g, OPTIONS);
    ok(gets(&g, g.one.loop, "Connection: close\r\n"));
    pair_stop(&g);
}

/* What others have left in the queue is the last one's to take. */
static void test_last_to_go(void)
{
    Pair g;

    pair_start(&g, "workers.threads=1");
    saturate(&g.one);
    saturate(&g.other);
    say(&g, GET);
    is_int(rig_turn_until(&g.one, 0), 0);
    drain_begin(g.other.loop, true, false);
    release(&g.other);
    ok(!drain_is_finished(g.other.loop));
    is_int(turn_until_ready(g.other.loop), 1);
    pair_stop(&g);
}

/* Who is idle there gets no more time than who was idle here. */
static void test_last_farewells(void)
{
    Parcel p = {.flags = PARCEL_KEPT_ALIVE, .body_fd = -EBADF};
    int ends[40];
    Pair g;

    pair_start(&g, "timeouts.keepalive=60s");
    p.deadline_usec = g.other.loop->now + 50 * USEC_PER_SEC;
    for (size_t i = 0; i < ELEMENTSOF(ends); i++)
        ends[i] = queue_connection(&g, &p);
    drain_begin(g.other.loop, true, false);
    loop_turn(g.other.loop, false);
    is_int(g.other.loop->n_connections, ELEMENTSOF(ends));
    ok(!timeout_list_first(&g.other.loop->timeouts[TIMEOUT_KEEPALIVE]));
    ok(timeout_list_first(&g.other.loop->timeouts[TIMEOUT_LAST_CALL]));
    for (size_t i = 0; i < ELEMENTSOF(ends); i++)
        close(ends[i]);
    pair_stop(&g);
}

/* The heirs are told to go as well, before they have taken it. */
static void test_heirs_that_go(void)
{
    Pair g;

    pair_start(&g, "workers.threads=1");
    saturate(&g.one);
    drain_begin(g.one.loop, true, true);
    say(&g, GET);
    is_int(rig_turn_until(&g.one, 0), 0);
    drain_begin(g.one.loop, false, false);
    release(&g.one);
    ok(!drain_is_finished(g.one.loop));
    is_int(turn_until_ready(g.one.loop), 1);
    pair_stop(&g);
}

/* At the stop, too, a request goes to who has a thread for it. */
static void test_last_gives(void)
{
    Pair g;

    pair_start(&g, "workers.threads=1");
    saturate(&g.one);
    drain_begin(g.one.loop, true, false);
    drain_begin(g.other.loop, true, false);
    say(&g, GET);
    is_int(rig_turn_until(&g.one, 0), 0);
    is_int(turn_until_ready(g.other.loop), 1);
    pair_stop(&g);
}

/* At the stop, a worker whose threads all hang leaves requests to a sibling that has one; for a while. */
static void test_stuck(void)
{
    int end;
    Pair g;

    pair_start(&g, "workers.threads=1");
    saturate(&g.one);
    g.one.loop->n_hung = 1;
    end = queue_request(&g, 1);
    drain_begin(g.one.loop, true, false);
    drain_begin(g.other.loop, true, false);
    say(&g, GET);
    is_int(rig_turn_until(&g.one, 0), 0);
    ok(!handover_is_done(g.one.loop));
    is_int(g.one.total.taken, 0);
    for (int i = 0; i < TURNS_MAX && g.other.total.taken < 2; i++) {
        loop_turn(g.other.loop, false);
        for (Connection *c; (c = connection_queue_pop(&g.other.loop->ready));)
            connection_close(g.other.loop, c);
    }
    is_int(g.other.total.taken, 2);
    ok(handover_is_done(g.one.loop));
    close(end);

    end = queue_request(&g, 1);
    g.one.loop->alone_usec = g.one.loop->now;
    for (int i = 0; i < 10; i++)
        loop_turn(g.one.loop, false);
    is_int(g.one.total.taken, 1);
    is_int(g.one.loop->ready.n, 0);
    close(end);
    release(&g.one);
    pair_stop(&g);
}

/* It was idle for its time while it was in the queue; its next request had come before. */
static void test_idle_in_the_queue(void)
{
    int end;
    Pair g;

    pair_start(&g, "workers.threads=1");
    end = queue_expired(&g);
    is_int(turn_until_ready(g.other.loop), 1);
    close(end);
    pair_stop(&g);
}

/* --- others have taken over, and the worker has yet to hear of it --- */

/* What it accepts it gives away, unread; and it answers that itself where there is no room in the queue. */
static void test_late_accept(void)
{
    int late;
    Pair g;

    pair_start(&g, "workers.threads=1");
    g.one.loop->seat->is_dismissed = true;
    late = rig_connect(&g.one);
    is_int(send(late, GET, strlen(GET), 0), (long)strlen(GET));
    for (int i = 0; i < TURNS_MAX && g.one.total.given == 0; i++)
        loop_turn(g.one.loop, false);
    is_int(g.one.loop->n_connections, 1);
    is_int(turn_until_ready(g.other.loop), 1);
    close(late);

    g.one.loop->handover.is_full = true;
    late = rig_connect(&g.one);
    is_int(send(late, GET, strlen(GET), 0), (long)strlen(GET));
    is_int(turn_until_ready(g.one.loop), 1);
    g.one.loop->handover.is_full = false;
    close(late);
    pair_stop(&g);
}

/* A request on a connection that it still has, where it comes in one turn with DRAIN, or before that is read. */
static void test_late_request(bool is_told)
{
    Pair g;

    pair_start(&g, "workers.threads=1");
    if (is_told)
        drain_begin(g.one.loop, true, true);
    else
        g.one.loop->seat->is_dismissed = true;
    say(&g, GET);
    is_int(loop_look(g.one.loop, false) >= 0, true);
    is_int(g.one.total.given, 1);
    is_int(turn_until_ready(g.other.loop), 1);
    pair_stop(&g);
}

/* What woke it, and perhaps nobody else, it puts into the queue again. */
static void test_relay(void)
{
    int end;
    Pair g;

    pair_start(&g, "workers.threads=1");
    loop_turn(g.other.loop, false);
    g.one.loop->seat->is_dismissed = true;
    end = queue_expired(&g);
    for (int i = 0; i < 10; i++) {
        g.one.loop->handover.is_ready = true;
        loop_turn(g.one.loop, false);
    }
    is_int(g.one.loop->n_connections, 1);
    is_int(turn_until_ready(g.other.loop), 1);
    close(end);
    pair_stop(&g);
}

/* --- limits.connections --- */

/* Who comes from another worker is one more of them, and may displace another like who is accepted. */
static void test_connections(void)
{
    Parcel p = {.flags = PARCEL_KEPT_ALIVE, .body_fd = -EBADF};
    int ends[6];
    Pair g;

    pair_start(&g, "limits.connections=2");
    p.deadline_usec = g.other.loop->now + 1 * USEC_PER_SEC;
    for (size_t i = 0; i < ELEMENTSOF(ends); i++)
        ends[i] = queue_connection(&g, &p);
    for (int i = 0; i < 10; i++) {
        loop_turn(g.other.loop, false);
        ok(g.other.loop->n_connections <= 2, "%zu", g.other.loop->n_connections);
    }
    is_int(g.other.loop->n_displaced, ELEMENTSOF(ends) - 2);
    for (size_t i = 0; i < ELEMENTSOF(ends); i++)
        close(ends[i]);
    pair_stop(&g);
}

/* --- what is wrong --- */

static void test_full(void)
{
    const Parcel filling = {
        .fd = STDIN_FILENO, .flags = PARCEL_KEPT_ALIVE, .deadline_usec = 1, .body_fd = -EBADF};
    Pair g;

    pair_start(&g, "workers.threads=1");
    saturate(&g.one);
    while (parcel_send(g.one.queue[0], &filling) == 0)
        ;
    say(&g, GET);
    is_int(turn_until_ready(g.one.loop), 1);
    loop_turn(g.one.loop, false);
    ok(g.one.loop->handover.is_full);
    for (int i = 0; i < TURNS_MAX && g.other.loop->ready.n == 0; i++) { /* drops what is no connection */
        loop_turn(g.other.loop, false);
        loop_turn(g.one.loop, false);
    }
    is_int(g.other.loop->ready.n, 1);
    ok(!g.one.loop->handover.is_full);
    pair_stop(&g);
}

static void test_shut(void)
{
    Pair g;

    pair_start(&g, "workers.threads=1");
    shutdown(g.one.queue[0], SHUT_RDWR);
    saturate(&g.one);
    say(&g, GET);
    is_int(turn_until_ready(g.one.loop), 1);
    for (int i = 0; i < 10; i++)
        loop_turn(g.other.loop, false);
    loop_turn(g.one.loop, false);
    is_int(g.one.loop->ready.n, 1);
    is_int(g.one.loop->handover.out, -EBADF);
    is_int(g.other.loop->handover.in, -EBADF);
    pair_stop(&g);
}

/* One that is none of the site's: its listener is unknown here, or its body is not the one that its head
 * speaks of. */
static void test_nonsense(void)
{
    int ends[2];
    Parcel p = {.flags = PARCEL_READY | PARCEL_HAS_BODY, .ready_usec = 1, .body_fd = -EBADF};
    char answer[512] = "";
    Pair g;

    pair_start(&g, "workers.threads=1");
    is_int(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    p.fd = ends[1];
    (void)buffer_append_string(&p.in, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n");
    (void)buffer_append_string(&p.body, "hello");
    is_int(parcel_send(g.one.queue[0], &p), 0);
    p.listener = 1;
    is_int(parcel_send(g.one.queue[0], &p), 0);
    close(ends[1]);
    for (int i = 0; i < TURNS_MAX && recv(ends[0], answer, sizeof answer - 1, MSG_DONTWAIT) < 0; i++)
        loop_turn(g.other.loop, false);
    ok(strstr(answer, "HTTP/1.1 400 Bad Request\r\n"));
    is_int(g.other.loop->ready.n, 0);
    buffer_deinit(&p.in);
    buffer_deinit(&p.body);
    close(ends[0]);
    pair_stop(&g);
}

/* It was out of the queue before it was found that there is no memory for it. */
static void test_no_memory(void)
{
    Parcel p = {.flags = PARCEL_READY | PARCEL_HAS_BODY, .ready_usec = 1, .body_fd = -EBADF};
    char answer[512] = "";
    int end;
    Pair g;

    pair_start(&g, "workers.threads=1");
    (void)buffer_append_string(&p.in, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 20000\r\n\r\n");
    for (int i = 0; i < 20000; i++)
        (void)buffer_append_string(&p.body, "x");
    end = queue_connection(&g, &p);
    no_memory = true;
    for (int i = 0; i < TURNS_MAX && recv(end, answer, sizeof answer - 1, MSG_DONTWAIT) < 0; i++)
        loop_turn(g.other.loop, false);
    no_memory = false;
    ok(strstr(answer, "HTTP/1.1 503 Service Unavailable\r\n"));
    buffer_deinit(&p.in);
    buffer_deinit(&p.body);
    close(end);
    pair_stop(&g);
}

/* proxy.trusted has become narrower since it was accepted. */
static void test_stranger(void)
{
    Parcel p = {.flags = PARCEL_AWAITS_PROXY_HEADER, .address = "192.0.2.1", .body_fd = -EBADF};
    char octet;
    int end;
    Pair g;

    pair_start(&g, "workers.threads=1");
    p.deadline_usec = g.other.loop->now + 60 * USEC_PER_SEC;
    end = queue_connection(&g, &p);
    for (int i = 0; i < TURNS_MAX && g.other.total.taken == 0; i++)
        loop_turn(g.other.loop, false);
    is_int(g.other.loop->n_connections, 0);
    is_int(recv(end, &octet, 1, MSG_DONTWAIT), 0);
    close(end);
    pair_stop(&g);
}

int main(void)
{
    test_request();
    test_bodies("limits.body_memory=1M");
    test_bodies("limits.body_memory=4");
    test_live_body();
    test_back();
    test_alone();
    test_time_in_the_queue();
    test_time_at_home();
    test_older_first(9, true);
    test_older_first(11, false);
    test_look_after_oldest();
    test_time_behind_idle_ones();
    test_heirs("", OPTIONS);
    test_heirs("OPTIONS * HT", "TP/1.1\r\nHost: a\r\n\r\n");
    test_pipelined();
    test_no_heirs();
    test_last_to_go();
    test_last_farewells();
    test_heirs_that_go();
    test_last_gives();
    test_stuck();
    test_idle_in_the_queue();
    test_late_accept();
    test_late_request(true);
    test_late_request(false);
    test_relay();
    test_connections();
    test_full();
    test_shut();
    test_nonsense();
    test_no_memory();
    test_stranger();
    return tap_done();
}
