/* SPDX-License-Identifier: MIT */
/* The listeners of a worker: when it takes connections, and when it leaves them to its siblings. */
#include "worker/accept.h"

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/message-ids.h"
#include "base/socket-address.h"
#include "worker/connection.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define EXHAUSTION_PAUSE_USEC (100 * USEC_PER_MSEC)
#define EXHAUSTION_OVER_USEC (60 * USEC_PER_SEC)

static int listener_init(Listener *listener, int fd)
{
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
        struct sockaddr_storage storage;
    } a;
    socklen_t size = sizeof a;

    if (getsockname(fd, &a.any, &size) < 0)
        return -errno;
    listener->source.type = SOURCE_LISTENER;
    listener->fd = fd;
    if (a.any.sa_family == AF_INET) {
        listener->is_wildcard = a.in.sin_addr.s_addr == htonl(INADDR_ANY);
        inet_ntop(AF_INET, &a.in.sin_addr, listener->name, sizeof listener->name);
        snprintf(listener->port, sizeof listener->port, "%u", ntohs(a.in.sin_port));
    } else if (a.any.sa_family == AF_INET6) {
        listener->is_wildcard = IN6_IS_ADDR_UNSPECIFIED(&a.in6.sin6_addr);
        inet_ntop(AF_INET6, &a.in6.sin6_addr, listener->name, sizeof listener->name);
        snprintf(listener->port, sizeof listener->port, "%u", ntohs(a.in6.sin6_port));
    } else {
        snprintf(listener->name, sizeof listener->name, "localhost");
    }
    return 0;
}

static bool listener_is_named(const Listener *listener, const char *word)
{
    SocketAddress a = {0};
    socklen_t size = sizeof a;

    if (strcmp(word, "all") == 0)
        return true;
    return getsockname(listener->fd, &a.any, &size) == 0 && socket_address_matches(&a, word);
}

/* An error and no warning, as the listener that was meant would take what clients say for the proxy's word, or refuse
 * everything. At a reload the generation before serves on. */
static int refuse_unknown_listener(const Loop *l, const char *word, char **ret_error)
{
    _cleanup_(buffer_deinit) Buffer text = {0};
    char name[SOCKET_NAME_MAX];
    int r = buffer_printf(&text, "proxy.protocol: %s is none of the sockets of this site, which are", word);

    for (size_t i = 0; r == 0 && i < l->n_listeners; i++)
        r = buffer_printf(&text, "%s%s", i == 0 ? " " : ", ", socket_describe(l->listeners[i].fd, name));
    if (r == 0)
        r = buffer_append_string(&text, "; a change of socket.listen needs a restart of the .socket unit");
    if (r == 0)
        *ret_error = strndup(buffer_head(&text), buffer_size(&text));
    return -EINVAL;
}

static int accept_select_proxied(Loop *l, char **ret_error)
{
    for (char **word = l->config->proxy_protocol; word && *word; word++) {
        bool is_found = false;

        for (size_t i = 0; i < l->n_listeners; i++)
            if (listener_is_named(&l->listeners[i], *word))
                l->listeners[i].is_proxied = is_found = true;
        if (!is_found)
            return refuse_unknown_listener(l, *word, ret_error);
    }
    return 0;
}

int accept_open(Loop *l, const int *listeners, size_t n, char **ret_error)
{
    int r;

    l->listeners = calloc(n, sizeof *l->listeners);
    if (!l->listeners)
        return -ENOMEM;
    for (l->n_listeners = 0; l->n_listeners < n; l->n_listeners++) {
        r = listener_init(&l->listeners[l->n_listeners], listeners[l->n_listeners]);
        if (r < 0)
            return r;
    }
    r = accept_select_proxied(l, ret_error);
    return r < 0 ? r : accept_set(l, true);
}

int accept_set(Loop *l, bool accepting)
{
    if (l->is_accepting == accepting)
        return 0;
    for (size_t i = 0; i < l->n_listeners; i++) {
        Listener *listener = &l->listeners[i];
        /* EPOLLEXCLUSIVE: a connection wakes one worker, not all (epoll_ctl(2)). */
        int r = accepting ? loop_watch(l, listener->fd, EPOLLIN | EPOLLEXCLUSIVE, listener)
                          : epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, listener->fd, NULL);
        if (r < 0)
            return r;
    }
    l->is_accepting = accepting;
    return 0;
}

static void on_accept_error(Loop *l, int error)
{
    switch (error) {
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
        break;
    default: /* EAGAIN: a sibling was faster; ECONNABORTED and network errors concern that client alone,
                accept(2) */
        return;
    }
    l->accept_after_usec = l->now + EXHAUSTION_PAUSE_USEC;
    if (!l->is_exhaustion_logged)
        log_full(LOG_ERR, MESSAGE_FD_EXHAUSTED, NULL,
                 "Cannot accept connections for now: %s. %zu are open; raise LimitNOFILE= or lower "
                 "limits.connections.",
                 strerror(error), l->n_connections);
    l->is_exhaustion_logged = true;
}

/* False: there was none to accept. */
static bool accept_one(Loop *l, Listener *listener)
{
    struct sockaddr_storage peer;
    socklen_t size = sizeof peer;
    int fd, r;

    fd = accept4(listener->fd, (struct sockaddr *)&peer, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        on_accept_error(l, errno);
        return false;
    }
    r = connection_new(l, listener, fd, &peer);
    if (r < 0)
        on_accept_error(l, -r);
    else if (l->now > l->accept_after_usec + EXHAUSTION_OVER_USEC)
        l->is_exhaustion_logged = false;
    return true;
}

/* At the end of the turn, when it is known whether the worker drains, and what there is to do already. */
void accept_connections(Loop *l)
{
    for (size_t i = 0; i < l->n_listeners; i++) {
        Listener *listener = &l->listeners[i];

        if (listener->is_ready && l->is_accepting)
            accept_one(l, listener);
        listener->is_ready = false;
    }
}

/* Connections that this worker could not serve soon stay in the kernel's queue, for its siblings. */
int accept_update(Loop *l)
{
    bool has_siblings = l->config->workers_count > 1;
    bool is_saturated = l->n_checked_out >= l->n_slots && (has_siblings || l->ready.n > 0);
    bool is_full = l->n_connections >= l->config->limits_connections;

    return accept_set(l, !l->is_draining && !is_saturated && !is_full && l->now >= l->accept_after_usec);
}

void accept_stop(Loop *l)
{
    (void)accept_set(l, false);
    for (size_t i = 0; i < l->n_listeners; i++)
        while (l->n_connections < l->config->limits_connections && accept_one(l, &l->listeners[i]))
            ;
}
