/* SPDX-License-Identifier: MIT */
/* The helpers of rig.h. */
#include "rig.h"

#include "ipc/channel.h"
#include "worker/loop-setup.h"

#include <arpa/inet.h>
#include <errno.h>
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

static void rig_open(Rig *g, va_list ap)
{
    char *settings[1 + SETTINGS_MAX + 1] = {(char *)"app.module=x"}, *error;

    for (size_t i = 1; i <= SETTINGS_MAX && (settings[i] = va_arg(ap, char *)); i++)
        ;
    must(config_parse(NULL, 0, "test", settings, &g->config, &error) == 0, "config_parse()");
    must(scoreboard_new(2, g->config->workers_threads, &g->scoreboard) == 0, "scoreboard_new()");
    must(channel_new_pair(g->channel) == 0, "channel_new_pair()");
    must(loop_new(&(LoopOptions){.config = g->config,
                                 .directory = "/tmp",
                                 .listeners = &g->listener,
                                 .n_listeners = 1,
                                 .doorbell = g->doorbell,
                                 .queue = g->queue[0] >= 0 ? g->queue : NULL,
                                 .channel.fd = g->channel[1],
                                 .seats = g->scoreboard->seats,
                                 .n_seats = 2,
                                 .total = &g->total},
                  &g->loop, &error) == 0,
         "loop_new()");
}

static void rig_init(Rig *g)
{
    *g = (Rig){.queue = {-EBADF, -EBADF}};
    listen_somewhere(g);
    g->doorbell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    must(g->doorbell >= 0, "eventfd()");
}

void rig_start(Rig *g, ...)
{
    va_list ap;

    rig_init(g);
    va_start(ap, g);
    rig_open(g, ap);
    va_end(ap);
}

static void rig_join(Rig *g, const Rig *of)
{
    *g = (Rig){.listener = dup(of->listener),
               .doorbell = dup(of->doorbell),
               .queue = {dup(of->queue[0]), dup(of->queue[1])},
               .address = of->address};
    must(g->listener >= 0 && g->doorbell >= 0 && g->queue[0] >= 0 && g->queue[1] >= 0, "dup()");
}

void rig_start_sibling(Rig *g, const Rig *of, ...)
{
    va_list ap;

    if (of) {
        rig_join(g, of);
    } else {
        rig_init(g);
        must(channel_new_pair(g->queue) == 0, "channel_new_pair()");
    }
    va_start(ap, of);
    rig_open(g, ap);
    va_end(ap);
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
    closep(&g->queue[0]);
    closep(&g->queue[1]);
    close(g->channel[0]);
    close(g->channel[1]);
}
