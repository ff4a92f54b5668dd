/* SPDX-License-Identifier: MIT */
/* systemd's end of sd_notify(3), for the tests of who speaks to it. */
#pragma once

#include <assert.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>

static int manager;
static char manager_said[512];

/* At an abstract address, which NOTIFY_SOCKET names from then on. */
static inline void manager_begin(void)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    socklen_t size = sizeof a;
    char variable[32];

    manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert(bind(manager, (struct sockaddr *)&a, sizeof a.sun_family) == 0);
    assert(getsockname(manager, (struct sockaddr *)&a, &size) == 0);
    (void)snprintf(variable, sizeof variable, "@%.*s",
                   (int)(size - offsetof(struct sockaddr_un, sun_path)) - 1, a.sun_path + 1);
    setenv("NOTIFY_SOCKET", variable, 1);
}

/* The next message, "" where there is none: manager_said. */
static inline const char *manager_receive(void)
{
    ssize_t n = recv(manager, manager_said, sizeof manager_said - 1, 0);

    manager_said[n > 0 ? n : 0] = '\0';
    return manager_said;
}
