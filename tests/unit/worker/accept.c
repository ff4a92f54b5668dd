/* SPDX-License-Identifier: MIT */
/* Tests of worker/accept with a loop on real sockets: errors of accept4(2), which is replaced here, a busy and a
 * full worker. */
#include "worker/accept.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "ipc/channel.h"
#include "rig.h"
#include "worker/connection.h"
#include "worker/drain.h"
#include "worker/requests.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What accept4() fails with next, instead of looking at the socket. */
static int errors[8];
static size_t n_errors;

int accept4(int fd, struct sockaddr *address, socklen_t *size, int flags)
{
    if (n_errors > 0) {
        errno = errors[--n_errors];
        return -1;
    }
    return (int)syscall(SYS_accept4, fd, address, size, flags);
}

static void connect_all(const Rig *g, int *clients, size_t n)
{
    for (size_t i = 0; i < n; i++)
        clients[i] = rig_connect(g);
}

static void stop(Rig *g, const int *clients, size_t n)
{
    for (size_t i = 0; i < n; i++)
        close(clients[i]);
    is_int(rig_turn_until(g, 0), 0);
    rig_stop(g);
    n_errors = 0;
}

/* As if the clients had been in the worker, and silent, for so long already. */
static void age(Loop *l, usec_t usec)
{
    for (TimeoutKind k = 0; k < N_TIMEOUTS_; k++)
        for (Timeout *t = l->timeouts[k].anchor.next; t != &l->timeouts[k].anchor; t = t->next)
            t->deadline -= usec;
}

/* A connection that was aborted in the queue says nothing of those behind it. */
static void test_aborted_while_draining(void)
{
    int clients[3];
    Rig g;

    rig_start(&g, "workers.count=2", NULL);
    connect_all(&g, clients, 3);
    errors[n_errors++] = ECONNABORTED;
    errors[n_errors++] = EPROTO;
    drain_begin(g.loop, true, false);
    is_int(g.loop->n_connections, 3);
    ok(!g.loop->is_accepting);
    stop(&g, clients, 3);
}

/* One that the supervisor has not heard of yet may be ended at any moment. */
static void test_before_go(void)
{
    const Message m = {.type = MESSAGE_GO};
    int clients[2];
    Rig g;

    rig_start(&g, "workers.count=2", NULL);
    g.loop->is_held = true;
    is_int(accept_update(g.loop), 0);
    connect_all(&g, clients, 2);
    is_int(rig_turn_until(&g, 2), 0);
    is_int(channel_send(g.channel[0], &m), 0);
    is_int(rig_turn_until(&g, 2), 2);
    stop(&g, clients, 2);
}

/* The next instance serves them. */
static void test_leaving_the_queue(void)
{
    int clients[3];
    Rig g;

    rig_start(&g, "workers.count=2", NULL);
    connect_all(&g, clients, 3);
    drain_begin(g.loop, false, false);
    is_int(g.loop->n_connections, 0);
    ok(!g.loop->is_accepting);
    stop(&g, clients, 3);
}

static void test_aborted(void)
{
    int clients[2];
    Rig g;

    rig_start(&g, "workers.count=2", NULL);
    connect_all(&g, clients, 2);
    errors[n_errors++] = ECONNABORTED;
    is_int(rig_turn_until(&g, 2), 2);
    stop(&g, clients, 2);
}

/* Those that came in a pause, and have asked for nothing, are taken together. */
static void test_pause(void)
{
    int clients[4];
    Rig g;

    rig_start(&g, "workers.count=2", NULL);
    connect_all(&g, clients, 4);
    loop_turn(g.loop, false);
    is_int(g.loop->n_connections, 1);
    g.loop->n_checked_out = g.loop->n_slots;
    is_int(accept_update(g.loop), 0);
    ok(!g.loop->is_accepting, "the application is busy");
    g.loop->n_checked_out = 0;
    is_int(accept_update(g.loop), 0);
    loop_turn(g.loop, false);
    is_int(g.loop->n_connections, 4);
    stop(&g, clients, 4);
}

/* Without descriptors it pauses; where there are idle clients, it has some again. */
static void test_exhaustion(void)
{
    int clients[3];
    Rig g;

    rig_start(&g, "workers.count=1", NULL);
    connect_all(&g, clients, 2);
    is_int(rig_turn_until(&g, 2), 2);
    connect_all(&g, clients + 2, 1);
    errors[n_errors++] = EMFILE;
    loop_turn(g.loop, false);
    is_int(accept_update(g.loop), 0);
    is_int(g.loop->n_connections, 2);
    ok(!g.loop->is_accepting, "they were given no second yet: a pause");
    g.loop->accept_after_usec = 0;
    age(g.loop, USEC_PER_SEC);
    errors[n_errors++] = EMFILE;
    loop_turn(g.loop, false);
    is_int(g.loop->n_connections, 1);
    is_int(g.loop->n_displaced, 1);
    is_int(rig_turn_until(&g, 2), 2);
    stop(&g, clients, 3);
}

/* A connection that came together with a request waits for what becomes of that, and is a sibling's when it takes
 * long. */
static void test_leave(void)
{
    int clients[2];
    uint64_t n;
    Rig g;

    rig_start(&g, "workers.count=2", NULL);
    connect_all(&g, clients, 1);
    is_int(rig_turn_until(&g, 1), 1);
    is_int(send(clients[0], "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 27, 0), 27);
    connect_all(&g, clients + 1, 1);
    for (int i = 0; i < 100 && g.loop->ready.n == 0; i++)
        loop_turn(g.loop, false);
    is_int(g.loop->n_connections, 1);

    is_int(read(g.doorbell, &n, sizeof n), -1);
    g.loop->n_checked_out = g.loop->n_slots;
    loop_turn(g.loop, false);
    is_int(g.loop->n_connections, 1);
    ok(!g.loop->is_accepting);
    is_int(read(g.doorbell, &n, sizeof n), sizeof n);

    g.loop->n_checked_out = 0;
    accept_on_doorbell(g.loop);
    loop_turn(g.loop, false);
    is_int(g.loop->n_connections, 2);
    connection_close(g.loop, connection_queue_pop(&g.loop->ready));
    stop(&g, clients, 2);
}

/* Siblings have rung twice, for a connection each, and one worker has heard both at once. */
static void test_ring_on(void)
{
    int clients[2];
    uint64_t n;
    Rig g;

    rig_start(&g, "workers.count=2", NULL);
    connect_all(&g, clients, 2);
    accept_on_doorbell(g.loop);
    accept_connections(g.loop);
    is_int(g.loop->n_connections, 1);
    is_int(read(g.doorbell, &n, sizeof n), sizeof n);
    accept_on_doorbell(g.loop);
    accept_connections(g.loop);
    is_int(g.loop->n_connections, 2);
    is_int(read(g.doorbell, &n, sizeof n), sizeof n);
    accept_on_doorbell(g.loop);
    accept_connections(g.loop);
    is_int(read(g.doorbell, &n, sizeof n), -1);
    stop(&g, clients, 2);
}

/* The one that has more connections is out for a moment, and takes those that nobody else wants. */
static void test_balance(void)
{
    int clients[4];
    uint64_t n;
    Rig g;

    rig_start(&g, "workers.count=2", NULL);
    g.scoreboard->seats[1].accepts = true;
    connect_all(&g, clients, 2);
    is_int(rig_turn_until(&g, 2), 2);
    ok(g.scoreboard->seats[0].accepts);

    connect_all(&g, clients + 2, 2);
    while (g.loop->is_accepting && g.loop->n_connections == 2)
        loop_turn(g.loop, false);
    is_int(g.loop->n_connections, 2);
    ok(g.scoreboard->seats[0].accepts);
    is_int(read(g.doorbell, &n, sizeof n), sizeof n);
    ok(loop_next_usec(g.loop) <= g.loop->balance.leaves_until_usec);
    while (!g.loop->is_accepting)
        loop_turn(g.loop, true);
    ok(g.loop->now >= g.loop->balance.leaves_until_usec);
    is_int(rig_turn_until(&g, 3), 3);
    is_int(rig_turn_until(&g, 4), 4);
    stop(&g, clients, 4);
}

static void test_full(void)
{
    int clients[3];
    Rig g;

    rig_start(&g, "limits.connections=2", NULL);
    connect_all(&g, clients, 3);
    is_int(rig_turn_until(&g, 3), 2);
    ok(g.loop->is_full && !g.loop->is_accepting, "the third waits for its second");
    age(g.loop, USEC_PER_SEC);
    loop_turn(g.loop, false);
    is_int(g.loop->n_displaced, 1);
    is_int(g.loop->n_connections, 2);
    ok(recv(clients[0], &(char){0}, 1, MSG_DONTWAIT) == 0, "the oldest is closed");
    is_int(recv(clients[1], &(char){0}, 1, MSG_DONTWAIT), -1);
    stop(&g, clients, 3);
}

/* More events than one wait tells of: among those that are left may be one that woke this worker alone, and it goes
 * with the listener. */
static void test_unread_events(void)
{
    int clients[300];
    uint64_t n;
    Rig g;

    rig_start(&g, "workers.count=2", NULL);
    for (size_t i = 0; i < ELEMENTSOF(clients); i++) {
        clients[i] = rig_connect(&g);
        is_int(rig_turn_until(&g, i + 1), i + 1);
    }
    for (size_t i = 1; i < ELEMENTSOF(clients); i++)
        is_int(send(clients[i], "G", 1, 0), 1);
    loop_turn(g.loop, false);
    is_int(read(g.doorbell, &n, sizeof n), -1);
    g.loop->n_checked_out = 1;
    loop_turn(g.loop, false);
    ok(!g.loop->is_accepting);
    is_int(read(g.doorbell, &n, sizeof n), sizeof n);
    g.loop->n_checked_out = 0;
    stop(&g, clients, ELEMENTSOF(clients));
}

int main(void)
{
    void (*const tests[])(void) = {test_aborted_while_draining,
                                   test_before_go,
                                   test_leaving_the_queue,
                                   test_aborted,
                                   test_pause,
                                   test_exhaustion,
                                   test_leave,
                                   test_ring_on,
                                   test_balance,
                                   test_full,
                                   test_unread_events};

    for (size_t i = 0; i < ELEMENTSOF(tests); i++)
        tests[i]();
    return tap_done();
}
