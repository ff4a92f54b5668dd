/* SPDX-License-Identifier: MIT */
/* The worker's end of its channel. */
#include "worker/channel-end.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int channel_end_say(const ChannelEnd *e, MessageType type, const char *text)
{
    Message *m = calloc(1, sizeof *m);
    int r;

    if (!m)
        return -ENOMEM;
    m->type = type;
    m->generation = e->generation;
    m->seat = e->seat;
    m->pid = getpid();
    snprintf(m->text, sizeof m->text, "%s", text);
    r = channel_send(e->fd, m);
    free(m);
    return r;
}

int channel_end_say_waiting(const ChannelEnd *e, MessageType type, const char *text)
{
    struct pollfd p = {.fd = e->fd, .events = POLLOUT};
    int r;

    while ((r = channel_end_say(e, type, text)) == -EAGAIN)
        (void)poll(&p, 1, -1);
    return r;
}
