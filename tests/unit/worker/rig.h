/* SPDX-License-Identifier: MIT */
/* What the tests of the loop share: one on real sockets, as a worker has it, in a process without its siblings, unless
 * it is asked for one. What fails here is a fault of the test's surroundings and ends the program. */
#pragma once

#include "no-python.h"
#include "tap.h"
#include "worker/loop.h"

#include <netinet/in.h>

typedef struct Rig {
    Config *config;
    Scoreboard *scoreboard; /* of two seats: its own, and one of a sibling that a test makes up */
    TotalsShard total;
    Loop *loop;
    int listener;
    int doorbell;
    int queue[2];   /* see worker/handover.h; -1: there is none */
    int channel[2]; /* the supervisor's end, the loop's */
    struct sockaddr_in address;
} Rig;

/* With these settings, "section.key=value", up to NULL. */
__attribute__((__sentinel__)) void rig_start(Rig *g, ...);

/* One of several workers of a site, which share the listener, the doorbell and the queue of the first. of: another one,
 * or NULL: it is the first. */
__attribute__((__sentinel__)) void rig_start_sibling(Rig *g, const Rig *of, ...);

/* A connection of a client. */
int rig_connect(const Rig *g);

/* Turns until so many connections are there, but not for ever. How many there are. */
size_t rig_turn_until(const Rig *g, size_t n_connections);

void rig_stop(Rig *g);
