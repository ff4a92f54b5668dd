/* SPDX-License-Identifier: MIT */
/* Tests of worker/hang: who answers, where a request is given up at the very moment at which the application answers
 * it. No application runs. */
#include "worker/hang.h"

#include "ipc/channel.h"
#include "rig.h"
#include "worker/connection.h"
#include "worker/requests.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define GET "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
#define LIMIT (10 * USEC_PER_SEC)
#define TURNS_MAX 10000

/* A worker with a request in the application. */
typedef struct Hanging {
    Rig rig;
    Loop *loop; /* the rig's */
    int client;
    Connection *connection;
    usec_t due; /* at which it has run for timeouts.request */
} Hanging;

static void hanging_start(Hanging *h)
{
    ScoreboardSlot *slot;

    rig_start(&h->rig, "timeouts.request=10s", NULL);
    h->loop = h->rig.loop;
    h->loop->n_slots = 1;
    h->client = rig_connect(&h->rig);
    is_int(send(h->client, GET, strlen(GET), 0), (long)strlen(GET));
    for (int i = 0; i < TURNS_MAX && !requests_are_ready(h->loop); i++)
        loop_turn(h->loop, false);
    h->connection = requests_check_out(h->loop);
    slot = scoreboard_slot(h->rig.scoreboard, 0, 0);
    atomic_store(&slot->started_usec, h->connection->exchange->called_usec);
    hang_watch(h->loop, h->connection, 1, slot);
    h->due = h->connection->exchange->called_usec + LIMIT;
}

/* The application comes back. */
static void hanging_stop(Hanging *h)
{
    requests_check_in(h->loop, h->connection);
    close(h->client);
    is_int(rig_turn_until(&h->rig, 0), 0);
    rig_stop(&h->rig);
}

static bool is_given_up(Hanging *h, AnsweredBy by, usec_t now)
{
    atomic_store(&h->connection->exchange->answered_by, by);
    h->loop->now = now;
    hang_expire(h->loop);
    return h->connection->exchange->hang.is_given_up;
}

/* What the client has got, up to the end of its connection. */
static void is_answered(Hanging *h, const char *head)
{
    char answer[1024] = "";
    size_t n = 0;
    ssize_t k = 1;

    for (int i = 0; i < TURNS_MAX && k != 0; i++) {
        loop_turn(h->loop, false);
        k = recv(h->client, answer + n, sizeof answer - 1 - n, MSG_DONTWAIT);
        n += k > 0 ? (size_t)k : 0;
    }
    is_int(k, 0);
    ok(strncmp(answer, head, strlen(head)) == 0 && (*head || n == 0), "%.12s", answer);
}

static void test_unanswered(void)
{
    Hanging h;

    hanging_start(&h);
    ok(!is_given_up(&h, ANSWERED_BY_NOBODY, h.due - 1));
    ok(is_given_up(&h, ANSWERED_BY_NOBODY, h.due));
    is_int(atomic_load(&h.connection->exchange->answered_by), ANSWERED_BY_LOOP);
    is_answered(&h, "HTTP/1.1 504 ");
    hanging_stop(&h);
}

/* The head is the application's thread's until it is final; then the response is cut off. */
static void test_answer_that_begins(void)
{
    usec_t second = USEC_PER_SEC;
    Hanging h;

    hanging_start(&h);
    ok(!is_given_up(&h, ANSWERED_BY_RUNNER_SOON, h.due));
    ok(timeout_is_armed(&h.connection->exchange->hang.timeout));
    ok(!is_given_up(&h, ANSWERED_BY_RUNNER_SOON, h.due + second));
    ok(is_given_up(&h, ANSWERED_BY_RUNNER, h.due + 2 * second));
    is_answered(&h, "");
    hanging_stop(&h);
}

/* Who has just left the loop may only be slow, and then tells where the request hangs. */
static void test_unmanned(void)
{
    Hanging h;

    hanging_start(&h);
    h.loop->unmanned_since = h.due - USEC_PER_MSEC;
    ok(!is_given_up(&h, ANSWERED_BY_NOBODY, h.due));
    ok(loop_next_usec(h.loop) > h.due, "nobody looks again and again meanwhile");
    ok(is_given_up(&h, ANSWERED_BY_NOBODY, h.due + USEC_PER_SEC));
    h.loop->unmanned_since = 0;
    is_answered(&h, "HTTP/1.1 504 ");
    hanging_stop(&h);
}

int main(void)
{
    test_unanswered();
    test_unmanned();
    test_answer_that_begins();
    return tap_done();
}
