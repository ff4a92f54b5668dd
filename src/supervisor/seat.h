/* SPDX-License-Identifier: MIT */
/* A seat: the place of one worker and of its successors. A table says what happens in each state at each
 * event; this module does what the table says to that one worker. Who is to be spawned, and when, is not
 * decided here. */
#pragma once

#include "base/clock.h"

#include <stdbool.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

typedef enum SeatState {
    SEAT_EMPTY,
    SEAT_FORKING,  /* the zygote was asked; no pid yet */
    SEAT_STARTING, /* the application is loading */
    SEAT_CHECKING, /* … is loaded, and asked reload.check_path */
    SEAT_SERVING,
    SEAT_DRAINING, /* expected to exit by itself */
    SEAT_ABORTING, /* was sent SIGABRT */
    SEAT_KILLED,   /* was sent SIGKILL */
    SEAT_N_STATES,
} SeatState;

typedef enum SeatEvent {
    SEAT_ON_SPAWN,     /* SPAWN went to the zygote */
    SEAT_ON_SPAWNED,   /* the zygote told the pid */
    SEAT_ON_UNSPAWNED, /* the zygote can't fork, or is gone without having told the pid */
    SEAT_ON_LOADED,    /* the worker begins its check */
    SEAT_ON_READY,     /* the worker serves */
    SEAT_ON_FAILED,    /* the worker can't load the application, and exits */
    SEAT_ON_HANGUP,    /* the worker's end of the channel is closed */
    SEAT_ON_DRAIN,     /* reload, stop: finish and exit */
    SEAT_ON_STUCK,     /* what it is about was not done in time */
    SEAT_ON_KILL,      /* no more patience */
    SEAT_ON_EXIT,      /* the process was reaped */
    SEAT_N_EVENTS,
} SeatEvent;

typedef enum SeatAction {
    SEAT_IGNORE, /* the event means nothing in this state: nothing changes */
    SEAT_DO_NOTHING,
    SEAT_DO_GO,        /* the message GO */
    SEAT_DO_DRAIN,     /* the message DRAIN */
    SEAT_DO_TERMINATE, /* SIGTERM: it has no client before GO for READY, and may not read its channel */
    SEAT_DO_ABORT,     /* SIGABRT: Python prints its stacks */
    SEAT_DO_KILL,      /* SIGKILL */
    SEAT_DO_GIVE_UP,   /* left to the caller: the zygote does not answer */
    SEAT_DO_CLEAR,     /* the worker is gone: forget it */
} SeatAction;

/* How long the next state may last. */
typedef enum SeatLimit {
    SEAT_LIMIT_NONE,
    SEAT_LIMIT_KEEP, /* what is left of the state before */
    SEAT_LIMIT_LOAD,
    SEAT_LIMIT_CHECK,
    SEAT_LIMIT_GRACEFUL,
    SEAT_LIMIT_GRACE, /* SEAT_GRACE_USEC */
} SeatLimit;

#define SEAT_GRACE_USEC (2 * USEC_PER_SEC)

typedef struct SeatTransition {
    SeatAction action;
    SeatState next;
    SeatLimit limit;
} SeatTransition;

SeatTransition seat_transition(SeatState state, SeatEvent event);

typedef struct Seat {
    SeatState state;
    unsigned number;
    void *owner;
    pid_t pid;   /* 0: there is none, or it is not known yet */
    int channel; /* -EBADF where there is no worker */
    sd_event_source *source;
    usec_t load_usec; /* timeouts.load, reload.check_timeout, timeouts.graceful */
    usec_t check_usec;
    usec_t graceful_usec;
    usec_t spawned_usec;
    usec_t deadline_usec; /* SEAT_ON_STUCK is due; 0: never */
    usec_t retry_usec;    /* EMPTY: no SPAWN before this time */
    usec_t backoff_usec;
    usec_t dismissed_usec;
    usec_t expires_usec; /* SERVING: the end of its life; 0: none is set */
    usec_t stopped_usec; /* by a signal, since then; 0: it is not */
    uint32_t said;       /* a bit for each MessageType */
    unsigned n_modules_told;
    bool is_checked; /* for SEAT_ON_SPAWN: the worker has to pass its check first */
    bool served;     /* it was READY */
    bool dismissed;  /* it was told to go */
    bool quiet;      /* it accepts no connection any more, and has said so */
    bool explained;  /* a record says why it goes */
    bool is_dropped; /* it said what is not to be believed; nobody listens to it */
    bool is_leaving; /* is told to go as soon as another serves in its place */
    bool is_suspect; /* the one before failed: did not serve, or died young */
    bool is_last;    /* nobody serves the site when this one goes */
    bool hands_over; /* … but its next instance, which serves what waits in the listeners' queues */
} Seat;

void seat_init(Seat *s, unsigned number, void *owner, usec_t load_usec, usec_t check_usec,
               usec_t graceful_usec);

/* Closes the channel. The process, if there is one, is left alone. */
void seat_deinit(Seat *s);

/* The transition and its action. For SEAT_ON_SPAWN and SEAT_ON_SPAWNED, channel and pid are set before.
 * Returns the action that the table names. */
SeatAction seat_on_event(Seat *s, SeatEvent event, usec_t now);

/* The site ends: one that drains already does so without heirs from now on. For one that serves, before
 * SEAT_ON_DRAIN. */
void seat_be_last(Seat *s, bool hands_over);

/* Asks a worker that serves to give back memory. */
void seat_trim(const Seat *s);

const char *seat_state_name(SeatState state);

/* The pause before the next try, after one that lasted lived_usec: from 100 ms to 10 s, doubled each time,
 * and none after a life of 10 s. */
usec_t seat_backoff_next(usec_t backoff_usec, usec_t lived_usec);
