/* SPDX-License-Identifier: MIT */
/* A seat: its table, and the signals and messages to its worker. */
#include "supervisor/seat.h"

#include "base/cleanup.h"
#include "ipc/channel.h"

#include <signal.h>
#include <stdio.h>

#define BACKOFF_FIRST_USEC (100 * USEC_PER_MSEC)
#define BACKOFF_LAST_USEC (10 * USEC_PER_SEC)
#define HEALTHY_USEC (10 * USEC_PER_SEC)

/* What is not listed is ignored: the application can write what it likes to the worker's channel.
 *
 * A worker whose pid the zygote has not told yet can't be sent signals; SPAWNED does that later. Where the
 * zygote goes without having told it, UNSPAWNED closes the channel, at whose end the worker waits for GO: end
 * of file ends it. */
static const SeatTransition table[SEAT_N_STATES][SEAT_N_EVENTS] =
    {
        [SEAT_EMPTY] =
            {
                [SEAT_ON_SPAWN] = {SEAT_DO_NOTHING, SEAT_FORKING, SEAT_LIMIT_LOAD},
            },
        [SEAT_FORKING] =
            {
                [SEAT_ON_SPAWNED] = {SEAT_DO_GO, SEAT_STARTING, SEAT_LIMIT_KEEP},
                [SEAT_ON_UNSPAWNED] = {SEAT_DO_CLEAR, SEAT_EMPTY, SEAT_LIMIT_NONE},
                [SEAT_ON_DRAIN] = {SEAT_DO_NOTHING, SEAT_DRAINING, SEAT_LIMIT_GRACE},
                [SEAT_ON_STUCK] = {SEAT_DO_GIVE_UP, SEAT_FORKING, SEAT_LIMIT_NONE},
                [SEAT_ON_KILL] = {SEAT_DO_NOTHING, SEAT_KILLED, SEAT_LIMIT_NONE},
            },
        [SEAT_STARTING] =
            {
                [SEAT_ON_LOADED] = {SEAT_DO_NOTHING, SEAT_CHECKING, SEAT_LIMIT_CHECK},
                [SEAT_ON_READY] = {SEAT_DO_GO, SEAT_SERVING, SEAT_LIMIT_NONE},
                [SEAT_ON_FAILED] = {SEAT_DO_NOTHING, SEAT_DRAINING, SEAT_LIMIT_GRACE},
                [SEAT_ON_HANGUP] = {SEAT_DO_NOTHING, SEAT_DRAINING, SEAT_LIMIT_GRACE},
                [SEAT_ON_DRAIN] = {SEAT_DO_TERMINATE, SEAT_DRAINING, SEAT_LIMIT_GRACE},
                [SEAT_ON_STUCK] = {SEAT_DO_ABORT, SEAT_ABORTING, SEAT_LIMIT_GRACE},
                [SEAT_ON_KILL] = {SEAT_DO_KILL, SEAT_KILLED, SEAT_LIMIT_NONE},
                [SEAT_ON_EXIT] = {SEAT_DO_CLEAR, SEAT_EMPTY, SEAT_LIMIT_NONE},
            },
        [SEAT_CHECKING] =
            {
                [SEAT_ON_READY] = {SEAT_DO_GO, SEAT_SERVING, SEAT_LIMIT_NONE},
                [SEAT_ON_FAILED] = {SEAT_DO_NOTHING, SEAT_DRAINING, SEAT_LIMIT_GRACE},
                [SEAT_ON_HANGUP] = {SEAT_DO_NOTHING, SEAT_DRAINING, SEAT_LIMIT_GRACE},
                [SEAT_ON_DRAIN] = {SEAT_DO_TERMINATE, SEAT_DRAINING, SEAT_LIMIT_GRACE},
                [SEAT_ON_STUCK] = {SEAT_DO_ABORT, SEAT_ABORTING, SEAT_LIMIT_GRACE},
                [SEAT_ON_KILL] = {SEAT_DO_KILL, SEAT_KILLED, SEAT_LIMIT_NONE},
                [SEAT_ON_EXIT] = {SEAT_DO_CLEAR, SEAT_EMPTY, SEAT_LIMIT_NONE},
            },
        [SEAT_SERVING] =
            {
                [SEAT_ON_HANGUP] = {SEAT_DO_NOTHING, SEAT_DRAINING, SEAT_LIMIT_GRACE},
                [SEAT_ON_DRAIN] = {SEAT_DO_DRAIN, SEAT_DRAINING, SEAT_LIMIT_GRACEFUL},
                [SEAT_ON_STUCK] = {SEAT_DO_ABORT, SEAT_ABORTING, SEAT_LIMIT_GRACE},
                [SEAT_ON_KILL] = {SEAT_DO_KILL, SEAT_KILLED, SEAT_LIMIT_NONE},
                [SEAT_ON_EXIT] = {SEAT_DO_CLEAR, SEAT_EMPTY, SEAT_LIMIT_NONE},
            },
        [SEAT_DRAINING] =
            {
                [SEAT_ON_SPAWNED] = {SEAT_DO_TERMINATE, SEAT_DRAINING, SEAT_LIMIT_GRACE},
                [SEAT_ON_UNSPAWNED] = {SEAT_DO_CLEAR, SEAT_EMPTY, SEAT_LIMIT_NONE},
                [SEAT_ON_STUCK] = {SEAT_DO_ABORT, SEAT_ABORTING, SEAT_LIMIT_GRACE},
                [SEAT_ON_KILL] = {SEAT_DO_KILL, SEAT_KILLED, SEAT_LIMIT_NONE},
                [SEAT_ON_EXIT] = {SEAT_DO_CLEAR, SEAT_EMPTY, SEAT_LIMIT_NONE},
            },
        [SEAT_ABORTING] =
            {
                [SEAT_ON_SPAWNED] = {SEAT_DO_KILL, SEAT_KILLED, SEAT_LIMIT_NONE},
                [SEAT_ON_UNSPAWNED] = {SEAT_DO_CLEAR, SEAT_EMPTY, SEAT_LIMIT_NONE},
                [SEAT_ON_STUCK] = {SEAT_DO_KILL, SEAT_KILLED, SEAT_LIMIT_NONE},
                [SEAT_ON_KILL] = {SEAT_DO_KILL, SEAT_KILLED, SEAT_LIMIT_NONE},
                [SEAT_ON_EXIT] = {SEAT_DO_CLEAR, SEAT_EMPTY, SEAT_LIMIT_NONE},
            },
        [SEAT_KILLED] =
            {
                [SEAT_ON_SPAWNED] = {SEAT_DO_KILL, SEAT_KILLED, SEAT_LIMIT_NONE},
                [SEAT_ON_UNSPAWNED] = {SEAT_DO_CLEAR, SEAT_EMPTY, SEAT_LIMIT_NONE},
                [SEAT_ON_EXIT] = {SEAT_DO_CLEAR, SEAT_EMPTY, SEAT_LIMIT_NONE},
            },
};

SeatTransition seat_transition(SeatState state, SeatEvent event)
{
    SeatTransition t = table[state][event];

    if (t.action == SEAT_IGNORE)
        return (SeatTransition){SEAT_IGNORE, state, SEAT_LIMIT_KEEP};
    return t;
}

const char *seat_state_name(SeatState state)
{
    static const char *const names[SEAT_N_STATES] = {
        [SEAT_EMPTY] = "empty",       [SEAT_FORKING] = "forking", [SEAT_STARTING] = "starting",
        [SEAT_CHECKING] = "checking", [SEAT_SERVING] = "serving", [SEAT_DRAINING] = "draining",
        [SEAT_ABORTING] = "aborting", [SEAT_KILLED] = "killed",
    };

    return names[state];
}

void seat_init(Seat *s, unsigned number, void *owner, usec_t load_usec, usec_t check_usec,
               usec_t graceful_usec)
{
    *s = (Seat){
        .number = number,
        .owner = owner,
        .channel = -EBADF,
        .load_usec = load_usec,
        .check_usec = check_usec,
        .graceful_usec = graceful_usec,
    };
}

void seat_deinit(Seat *s)
{
    sd_event_source_disable_unref(s->source);
    s->source = NULL;
    closep(&s->channel);
    s->channel = -EBADF;
}

usec_t seat_backoff_next(usec_t backoff_usec, usec_t lived_usec)
{
    if (lived_usec >= HEALTHY_USEC)
        return 0;
    if (backoff_usec == 0)
        return BACKOFF_FIRST_USEC;
    return MIN(backoff_usec * 2, BACKOFF_LAST_USEC);
}

/* The pause before the next worker: none after one that served until it was told to go, nor after the first that died
 * young while it served. */
static void back_off(Seat *s, usec_t now)
{
    bool was_well = (s->served && s->dismissed && !s->is_dropped) || now - s->spawned_usec >= HEALTHY_USEC;
    bool is_first = s->served && !s->is_suspect;

    s->backoff_usec = was_well || is_first ? 0 : seat_backoff_next(s->backoff_usec, 0);
    s->is_suspect = !was_well;
    s->retry_usec = now + s->backoff_usec;
}

static void clear(Seat *s, usec_t now)
{
    seat_deinit(s);
    back_off(s, now);
    s->pid = 0;
    s->expires_usec = s->stopped_usec = 0;
    s->served = s->dismissed = s->quiet = s->explained = s->is_dropped = s->is_leaving = false;
    s->said = 0;
    s->n_modules_told = 0;
}

/* A failure to send means that the worker is going: its exit is the next event. The same holds for ESRCH. */
static void send_message(const Seat *s, MessageType type, const char *text)
{
    Message m = {.type = type, .seat = s->number};

    (void)snprintf(m.text, sizeof(m.text), "%s", text);
    (void)channel_send(s->channel, &m);
}

static void send_signal(const Seat *s, int signal_number)
{
    if (s->pid > 0)
        (void)kill(s->pid, signal_number);
}

static void send_drain(const Seat *s)
{
    send_message(s, s->hands_over ? MESSAGE_STOP : MESSAGE_DRAIN, s->is_last ? CHANNEL_DRAIN_LAST : "");
}

static void act(Seat *s, SeatAction action, usec_t now)
{
    switch (action) {
    case SEAT_DO_GO:
        send_message(s, MESSAGE_GO, s->state == SEAT_STARTING && s->is_checked ? CHANNEL_GO_CHECK : "");
        break;
    case SEAT_DO_DRAIN:
        send_drain(s);
        break;
    case SEAT_DO_TERMINATE:
        send_signal(s, SIGTERM);
        break;
    case SEAT_DO_ABORT:
        send_signal(s, SIGABRT);
        break;
    case SEAT_DO_KILL:
        send_signal(s, SIGKILL);
        break;
    case SEAT_DO_CLEAR:
        clear(s, now);
        break;
    case SEAT_IGNORE:
    case SEAT_DO_NOTHING:
    case SEAT_DO_GIVE_UP:
        break;
    }
}

void seat_be_last(Seat *s, bool hands_over)
{
    s->is_last = true;
    s->hands_over = hands_over;
    if (s->state == SEAT_DRAINING && s->served)
        send_drain(s);
}

void seat_trim(const Seat *s)
{
    if (s->state == SEAT_SERVING)
        send_message(s, MESSAGE_TRIM, "");
}

static usec_t deadline(const Seat *s, SeatLimit limit, usec_t now)
{
    switch (limit) {
    case SEAT_LIMIT_NONE:
        return 0;
    case SEAT_LIMIT_KEEP:
        return s->deadline_usec;
    case SEAT_LIMIT_LOAD:
        return now + s->load_usec;
    case SEAT_LIMIT_CHECK:
        return now + s->check_usec;
    case SEAT_LIMIT_GRACEFUL:
        return now + s->graceful_usec;
    case SEAT_LIMIT_GRACE:
        return now + SEAT_GRACE_USEC;
    }
    return 0;
}

SeatAction seat_on_event(Seat *s, SeatEvent event, usec_t now)
{
    SeatTransition t = seat_transition(s->state, event);

    if (event == SEAT_ON_SPAWN)
        s->spawned_usec = now;
    if (t.action != SEAT_IGNORE) {
        s->served |= event == SEAT_ON_READY;
        s->dismissed |= event == SEAT_ON_DRAIN;
        if (event == SEAT_ON_DRAIN)
            s->dismissed_usec = now;
    }
    s->deadline_usec = deadline(s, t.limit, now);
    s->state = t.next;
    act(s, t.action, now);
    return t.action;
}
