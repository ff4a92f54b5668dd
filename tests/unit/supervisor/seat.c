/* SPDX-License-Identifier: MIT */
/* The seat's table, each state at each event, and what a seat does to a real process. */
#include "supervisor/seat.h"

#include "base/cleanup.h"
#include "ipc/channel.h"
#include "tap.h"

#include <signal.h>
#include <sys/wait.h>

/* One letter for the action, then the next state; "-" is ignored. Columns: SPAWN SPAWNED UNSPAWNED LOADED
 * READY FAILED HANGUP DRAIN STUCK KILL EXIT. */
static const char *const expected[SEAT_N_STATES][SEAT_N_EVENTS] = {
    [SEAT_EMPTY] = {".forking", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-"},
    [SEAT_FORKING] = {"-", "Gstarting", "Cempty", "-", "-", "-", "-", ".draining", "Uforking", ".killed",
                      "-"},
    [SEAT_STARTING] = {"-", "-", "-", ".checking", "Gserving", ".draining", ".draining", "Tdraining",
                       "Aaborting", "Kkilled", "Cempty"},
    [SEAT_CHECKING] = {"-", "-", "-", "-", "Gserving", ".draining", ".draining", "Tdraining", "Aaborting",
                       "Kkilled", "Cempty"},
    [SEAT_SERVING] = {"-", "-", "-", "-", "-", "-", ".draining", "Ddraining", "Aaborting", "Kkilled",
                      "Cempty"},
    [SEAT_DRAINING] = {"-", "Tdraining", "Cempty", "-", "-", "-", "-", "-", "Aaborting", "Kkilled", "Cempty"},
    [SEAT_ABORTING] = {"-", "Kkilled", "Cempty", "-", "-", "-", "-", "-", "Kkilled", "Kkilled", "Cempty"},
    [SEAT_KILLED] = {"-", "Kkilled", "Cempty", "-", "-", "-", "-", "-", "-", "-", "Cempty"},
};

static void test_table(void)
{
    static const char letters[] = {
        [SEAT_IGNORE] = '-',   [SEAT_DO_NOTHING] = '.',   [SEAT_DO_GO] = 'G',
        [SEAT_DO_DRAIN] = 'D', [SEAT_DO_TERMINATE] = 'T', [SEAT_DO_ABORT] = 'A',
        [SEAT_DO_KILL] = 'K',  [SEAT_DO_GIVE_UP] = 'U',   [SEAT_DO_CLEAR] = 'C',
    };

    for (unsigned state = 0; state < SEAT_N_STATES; state++)
        for (unsigned event = 0; event < SEAT_N_EVENTS; event++) {
            SeatTransition t = seat_transition((SeatState)state, (SeatEvent)event);
            char got[32];

            (void)snprintf(got, sizeof(got), "%c%s", letters[t.action],
                           t.action == SEAT_IGNORE ? "" : seat_state_name(t.next));
            is_string(got, expected[state][event]);
            if (t.action == SEAT_IGNORE)
                ok(t.next == (SeatState)state && t.limit == SEAT_LIMIT_KEEP);
        }
}

/* Whatever happens, nobody stays for ever: each state but SERVING, KILLED and EMPTY has an end, or has been
 * handed over to the one who waits for the zygote. */
static void test_limits(void)
{
    for (unsigned state = 0; state < SEAT_N_STATES; state++)
        for (unsigned event = 0; event < SEAT_N_EVENTS; event++) {
            SeatTransition t = seat_transition((SeatState)state, (SeatEvent)event);
            bool endless = t.next == SEAT_SERVING || t.next == SEAT_KILLED || t.next == SEAT_EMPTY;

            if (t.action != SEAT_IGNORE && t.action != SEAT_DO_GIVE_UP)
                ok((t.limit == SEAT_LIMIT_NONE) == endless, "%s at event %u",
                   seat_state_name((SeatState)state), event);
        }
}

static void test_backoff(void)
{
    usec_t b = 0;

    b = seat_backoff_next(b, 0);
    is_int(b, 100 * USEC_PER_MSEC);
    b = seat_backoff_next(b, USEC_PER_SEC);
    is_int(b, 200 * USEC_PER_MSEC);
    for (int i = 0; i < 20; i++)
        b = seat_backoff_next(b, 9 * USEC_PER_SEC);
    is_int(b, 10 * USEC_PER_SEC);
    is_int(seat_backoff_next(b, 10 * USEC_PER_SEC), 0);
}

/* A child that waits for a signal, and the peer of the seat's channel. */
static pid_t occupy(Seat *s, int *ret_peer, usec_t now)
{
    int ends[2];

    if (channel_new_pair(ends) < 0)
        return -1;
    s->channel = ends[0];
    *ret_peer = ends[1];
    seat_on_event(s, SEAT_ON_SPAWN, now);
    s->pid = fork();
    if (s->pid == 0)
        for (;;)
            pause();
    seat_on_event(s, SEAT_ON_SPAWNED, now);
    return s->pid;
}

static char received_text[MESSAGE_TEXT_MAX];

static MessageType received(int peer)
{
    static Message m;

    if (channel_receive(peer, &m) != 0)
        return 0;
    memcpy(received_text, m.text, sizeof(received_text));
    return (MessageType)m.type;
}

static int end_of(pid_t pid)
{
    int status = 0;

    return waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void test_stuck_worker(void)
{
    int peer = -EBADF;
    pid_t pid;
    Seat s;

    seat_init(&s, 3, NULL, 60 * USEC_PER_SEC, 10 * USEC_PER_SEC, 30 * USEC_PER_SEC);
    pid = occupy(&s, &peer, 1000);
    ok(pid > 0);
    is_int(received(peer), MESSAGE_GO);
    is_int(s.deadline_usec, 1000 + 60 * USEC_PER_SEC);
    seat_on_event(&s, SEAT_ON_READY, 2000);
    is_int(received(peer), MESSAGE_GO);
    ok(s.served);
    is_int(s.deadline_usec, 0);
    seat_on_event(&s, SEAT_ON_DRAIN, 3000);
    is_int(received(peer), MESSAGE_DRAIN);
    ok(s.dismissed);
    is_int(s.deadline_usec, 3000 + 30 * USEC_PER_SEC);
    seat_on_event(&s, SEAT_ON_STUCK, 4000);
    is_int(end_of(pid), SIGABRT);
    is_int(s.deadline_usec, 4000 + SEAT_GRACE_USEC);
    seat_on_event(&s, SEAT_ON_EXIT, 5000);
    is_int(s.state, SEAT_EMPTY);
    is_int(s.pid, 0);
    is_int(s.channel, -EBADF);
    is_int(s.retry_usec, 5000);
    ok(!s.served && !s.dismissed);
    is_int(received(peer), 0);
    close(peer);
}

/* Ends a worker, and returns the pause behind it. */
static usec_t pause_after(Seat *s, bool serves, bool is_told, usec_t lived_usec)
{
    s->spawned_usec = 1000;
    s->state = serves ? SEAT_SERVING : SEAT_STARTING;
    s->served = serves;
    s->dismissed = is_told;
    seat_on_event(s, SEAT_ON_EXIT, 1000 + lived_usec);
    return s->retry_usec - (1000 + lived_usec);
}

static void test_pauses(void)
{
    Seat s;

    seat_init(&s, 0, NULL, USEC_PER_SEC, USEC_PER_SEC, USEC_PER_SEC);
    is_int(pause_after(&s, true, true, 5000), 0);
    is_int(pause_after(&s, true, true, 5000), 0);
    is_int(pause_after(&s, true, false, 5000), 0);
    is_int(pause_after(&s, true, false, 5000), 100 * USEC_PER_MSEC);
    is_int(pause_after(&s, false, false, 5000), 200 * USEC_PER_MSEC);
    is_int(pause_after(&s, true, false, 5000), 400 * USEC_PER_MSEC);
    is_int(pause_after(&s, true, false, 20 * USEC_PER_SEC), 0);
    is_int(pause_after(&s, false, false, 5000), 100 * USEC_PER_MSEC);
}

static pid_t occupy_checked(Seat *s, int *ret_peer, usec_t now)
{
    seat_init(s, 0, NULL, 60 * USEC_PER_SEC, 10 * USEC_PER_SEC, 30 * USEC_PER_SEC);
    s->is_checked = true;
    return occupy(s, ret_peer, now);
}

static void test_check(void)
{
    int peer = -EBADF;
    pid_t pid;
    Seat s;

    pid = occupy_checked(&s, &peer, 1000);
    is_int(received(peer), MESSAGE_GO);
    is_string(received_text, CHANNEL_GO_CHECK);
    seat_on_event(&s, SEAT_ON_LOADED, 2000);
    is_int(s.deadline_usec, 2000 + 10 * USEC_PER_SEC);
    ok(!s.served);
    seat_on_event(&s, SEAT_ON_READY, 3000);
    is_int(received(peer), MESSAGE_GO);
    is_string(received_text, "");
    is_int(s.deadline_usec, 0);
    seat_on_event(&s, SEAT_ON_KILL, 4000);
    is_int(end_of(pid), SIGKILL);
    seat_on_event(&s, SEAT_ON_EXIT, 5000);
    close(peer);
}

static void test_check_without_end(void)
{
    int peer = -EBADF;
    pid_t pid;
    Seat s;

    pid = occupy_checked(&s, &peer, 1000);
    seat_on_event(&s, SEAT_ON_LOADED, 2000);
    seat_on_event(&s, SEAT_ON_STUCK, 3000);
    is_int(end_of(pid), SIGABRT);
    seat_on_event(&s, SEAT_ON_EXIT, 4000);
    close(peer);
}

static void test_pid_told_late(void)
{
    int ends[2];
    pid_t pid;
    Seat s;

    seat_init(&s, 0, NULL, USEC_PER_SEC, USEC_PER_SEC, USEC_PER_SEC);
    ok(channel_new_pair(ends) == 0);
    s.channel = ends[0];
    seat_on_event(&s, SEAT_ON_SPAWN, 0);
    seat_on_event(&s, SEAT_ON_KILL, 0);
    is_int(s.state, SEAT_KILLED);
    pid = fork();
    if (pid == 0)
        for (;;)
            pause();
    s.pid = pid;
    seat_on_event(&s, SEAT_ON_SPAWNED, 0);
    is_int(end_of(pid), SIGKILL);
    seat_deinit(&s);
    close(ends[1]);
}

int main(void)
{
    test_table();
    test_limits();
    test_backoff();
    test_stuck_worker();
    test_pauses();
    test_check();
    test_check_without_end();
    test_pid_told_late();
    return tap_done();
}
