/* SPDX-License-Identifier: MIT */
/* What is believed: each message in each state, and none in another's name. */
#include "supervisor/hearing.h"

#include "tap.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

/* R READY, F FAILED, D DRAIN, P REPLACE: what a worker may say that has not been told to go, or has, as far as it
 * served or not. */
static const struct {
    SeatState state;
    bool served, dismissed;
    const char *believed;
} cases[] = {
    {SEAT_FORKING, false, false, ""},    {SEAT_STARTING, false, false, "RF"},
    {SEAT_SERVING, true, false, "P"},    {SEAT_DRAINING, false, true, "RFD"},
    {SEAT_DRAINING, false, false, "RF"}, {SEAT_DRAINING, true, true, "DP"},
    {SEAT_DRAINING, true, false, "P"},   {SEAT_ABORTING, true, false, "P"},
    {SEAT_ABORTING, false, false, "RF"}, {SEAT_KILLED, true, true, "DP"},
    {SEAT_KILLED, false, true, "RFD"},
};

static char letter(unsigned type)
{
    switch (type) {
    case MESSAGE_READY:
        return 'R';
    case MESSAGE_FAILED:
        return 'F';
    case MESSAGE_DRAIN:
        return 'D';
    case MESSAGE_REPLACE:
        return 'P';
    default:
        return '?';
    }
}

static bool is_believed(const Generation *g, const Seat *s, Message m)
{
    return hearing_worker(g, s, &m) == NULL;
}

/* Changed in any way, nothing is believed. */
static void test_forged(const Generation *g, const Seat *s, const Message *m)
{
    Message forged = *m;
    Seat heard = *s;

    forged.pid++;
    ok(!is_believed(g, s, forged));
    forged.pid = 0;
    ok(!is_believed(g, s, forged));
    forged = *m;
    forged.seat++;
    ok(!is_believed(g, s, forged));
    forged = *m;
    forged.generation--;
    ok(!is_believed(g, s, forged));
    forged = *m;
    forged.n_fds = 1;
    ok(!is_believed(g, s, forged));
    heard.said = 1U << m->type;
    ok(!is_believed(g, &heard, *m), "and not twice");
}

static void test_worker(void)
{
    Config config = {.workers_max_requests = 1};
    Generation g = {.number = 7, .config = &config};
    static Message m;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        for (unsigned type = 1; type <= MESSAGE_TYPE_LAST_; type++) {
            Seat s = {.state = cases[i].state,
                      .number = 3,
                      .served = cases[i].served,
                      .dismissed = cases[i].dismissed};
            bool expected = strchr(cases[i].believed, letter(type)) != NULL;

            s.pid = s.state == SEAT_FORKING ? 0 : 1234;
            m = (Message){.type = type, .generation = 7, .seat = 3, .pid = s.pid};
            ok(is_believed(&g, &s, m) == expected, "%s: type %u", seat_state_name(s.state), type);
            if (expected)
                test_forged(&g, &s, &m);
        }
    config.workers_max_requests = 0;
    ok(!is_believed(&g, &(Seat){.state = SEAT_SERVING, .served = true, .pid = 5},
                    (Message){.type = MESSAGE_REPLACE, .generation = 7, .pid = 5}),
       "replaced after so many requests, without a limit");
    m = (Message){.type = MESSAGE_REPLACE, .generation = 7, .pid = 5, .text = REPLACE_AFTER_HANG};
    ok(!is_believed(&g, &(Seat){.state = SEAT_SERVING, .served = true, .pid = 5}, m),
       "a hang, without a limit");
    config.timeouts_request = 1;
    ok(is_believed(&g, &(Seat){.state = SEAT_SERVING, .served = true, .pid = 5}, m), "a hang, with a limit");
}

/* The one that may be said again, for development, and not without end. */
static void test_modules(void)
{
    Config config = {.develop_reload = true};
    Generation g = {.number = 7, .config = &config};
    Seat s = {.state = SEAT_STARTING, .pid = 5, .said = 1U << MESSAGE_MODULES};
    Message m = {.type = MESSAGE_MODULES, .generation = 7, .pid = 5};

    for (s.n_modules_told = 0; s.n_modules_told < 1000000 && is_believed(&g, &s, m); s.n_modules_told++)
        ;
    is_int(s.n_modules_told, 1024);
    s.n_modules_told = 0;
    config.develop_reload = false;
    ok(!is_believed(&g, &s, m));
}

static bool zygote_is_believed(const Generation *g, Message m)
{
    return hearing_zygote(g, &m) == NULL;
}

static void test_zygote(void)
{
    Seat seats[] = {{.state = SEAT_EMPTY}, {.state = SEAT_FORKING}, {.state = SEAT_SERVING, .pid = 55}};
    Generation g = {.number = 7, .zygote_pid = getppid(), .seats = seats, .n_seats = 3};

    for (unsigned type = 1; type <= MESSAGE_TYPE_LAST_; type++) {
        bool loads = type == MESSAGE_LOADED || type == MESSAGE_FAILED;
        const Message m = {.type = type, .generation = 7};

        g.zygote = ZYGOTE_LOADING;
        ok(zygote_is_believed(&g, m) == loads);
        g.said = 1U << type;
        ok(!zygote_is_believed(&g, m));
        g.said = 0;
        g.zygote = ZYGOTE_READY;
        ok(!zygote_is_believed(&g, m));
        g.zygote = ZYGOTE_LEAVING;
        ok(zygote_is_believed(&g, m) == loads, "it may not know yet");
    }
}

static void test_spawned(void)
{
    pid_t child = fork();
    Seat seats[] = {
        {.state = SEAT_EMPTY}, {.state = SEAT_FORKING}, {.state = SEAT_SERVING, .pid = getppid()}};
    Generation g = {.number = 7, .zygote = ZYGOTE_READY, .zygote_pid = 12, .seats = seats, .n_seats = 3};
    Generation other = {.number = 6, .zygote = ZYGOTE_READY, .seats = &(Seat){0}, .n_seats = 1}, *list = &g;
    Message m = {.type = MESSAGE_SPAWNED, .generation = 7, .seat = 1, .pid = child};
    static const int impossible[] = {0, 1, 12, INT32_MIN, INT32_MAX, -4096};

    if (child == 0)
        for (;;)
            pause();
    g.list = &list;
    g.next = &other;
    ok(zygote_is_believed(&g, m));
    m.generation = 8;
    ok(!zygote_is_believed(&g, m));
    m.generation = 7;
    for (unsigned seat = 0; seat < 5; seat++) {
        m.seat = seat == 4 ? UINT32_MAX : seat;
        ok(zygote_is_believed(&g, m) == (seat == 1), "seat %u", m.seat);
    }
    m.seat = 1;
    m.pid = -11;
    ok(zygote_is_believed(&g, m), "it may not be able to fork");
    for (size_t i = 0; i < sizeof(impossible) / sizeof(impossible[0]); i++) {
        m.pid = impossible[i];
        ok(!zygote_is_believed(&g, m), "pid %d", m.pid);
    }
    m.pid = child;
    seats[2].pid = child;
    ok(!zygote_is_believed(&g, m), "the pid of another");
    seats[2].pid = 0;
    other.seats[0].pid = child;
    ok(!zygote_is_believed(&g, m), "a worker of another generation");
    other.seats[0].pid = 0;
    other.zygote_pid = child;
    ok(!zygote_is_believed(&g, m), "the zygote of another generation");
    other.zygote = ZYGOTE_GONE;
    ok(zygote_is_believed(&g, m), "its number is free again");
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    ok(!zygote_is_believed(&g, m), "no child of ours");
    g.early[g.n_early++].pid = child;
    ok(zygote_is_believed(&g, m), "but one that was, just now");
}

int main(void)
{
    test_worker();
    test_modules();
    test_zygote();
    test_spawned();
    return tap_done();
}
