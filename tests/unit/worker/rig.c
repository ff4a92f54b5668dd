/* SPDX-License-Identifier: MIT */
/* The helpers of rig.h. */
#include "rig.h"

#include "ipc/channel.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define SETTINGS_MAX 8
#define TURNS_MAX 10000

static void must(bool good, const char *what)
{
    if (good)
        return;
    printf("Bail out! %s\n", what);
    exit(99);
}

static void listen_somewhere(Rig *g)
{
    socklen_t size = sizeof g->address;

    g->address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    g->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    must(bind(g->listener, (struct sockaddr *)&g->address, size) == 0, "bind()");
    must(listen(g->listener, 64) == 0, "listen()");
    must(getsockname(g->listener, (struct sockaddr *)&g->address, &size) == 0, "getsockname()");
}

void rig_start(Rig *g, ...)
{
    char *settings[1 + SETTINGS_MAX + 1] = {(char *)"app.module=x"}, *error;
    va_list ap;

    *g = (Rig){0};
    va_start(ap, g);
    for (size_t i = 1; i <= SETTINGS_MAX && (settings[i] = va_arg(ap, char *)); i++)
        ;
    va_end(ap);
    must(config_parse(NULL, 0, "test", settings, &g->config, &error) == 0, "config_parse()");
    must(scoreboard_new(1, g->config->workers_threads, &g->scoreboard) == 0, "scoreboard_new()");
    must(channel_new_pair(g->channel) == 0, "channel_new_pair()");
    g->doorbell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    must(g->doorbell >= 0, "eventfd()");
    listen_somewhere(g);
    must(loop_new(&(LoopOptions){.config = g->config,
                                 .directory = "/tmp",
                                 .listeners = &g->listener,
                                 .n_listeners = 1,
                                 .doorbell = g->doorbell,
                                 .channel.fd = g->channel[1],
                                 .seat = &g->scoreboard->seats[0],
                                 .total = &g->total},
                  &g->loop, &error) == 0,
         "loop_new()");
}

int rig_connect(const Rig *g)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    must(connect(fd, (const struct sockaddr *)&g->address, sizeof g->address) == 0, "connect()");
    return fd;
}

size_t rig_turn_until(const Rig *g, size_t n_connections)
{
    for (int i = 0; i < TURNS_MAX && g->loop->n_connections != n_connections; i++)
        loop_turn(g->loop, false);
    return g->loop->n_connections;
}

void rig_stop(Rig *g)
{
    loop_free(g->loop);
    scoreboard_free(g->scoreboard);
    config_free(g->config);
    close(g->listener);
    close(g->doorbell);
    close(g->channel[0]);
    close(g->channel[1]);
}
