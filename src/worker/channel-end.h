/* SPDX-License-Identifier: MIT */
/* The worker's end of its channel: what it says there has the names by which the supervisor knows it, and is
 * believed by these alone. */
#pragma once

#include "ipc/channel.h"

typedef struct ChannelEnd {
    int fd; /* borrowed */
    unsigned generation;
    unsigned seat;
} ChannelEnd;

/* 0, -EAGAIN (the queue is full), or what channel_send() returns else. */
int channel_end_say(const ChannelEnd *e, MessageType type, const char *text);

/* The same, but waits while the queue is full. */
int channel_end_say_waiting(const ChannelEnd *e, MessageType type, const char *text);
