/* SPDX-License-Identifier: MIT */
/* The listeners of a worker: when it takes connections, and when it leaves them to its siblings. */
#include "worker/accept.h"

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/message-ids.h"
#include "base/socket-address.h"
#include "worker/connection.h"
#include "worker/drain.h"
#include "worker/handover.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define EXHAUSTION_PAUSE_USEC (100 * USEC_PER_MSEC)
#define RECORDS_APART_USEC (60 * USEC_PER_SEC)
#define DISPLACED_AFTER_USEC (1 * USEC_PER_SEC)
#define ACCEPTS_AFTER_PAUSE 16

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
    socket_address_print(&a.storage, listener->name, listener->port);
    if (a.any.sa_family == AF_INET)
        listener->is_wildcard = a.in.sin_addr.s_addr == htonl(INADDR_ANY);
    else if (a.any.sa_family == AF_INET6)
        listener->is_wildcard = IN6_IS_ADDR_UNSPECIFIED(&a.in6.sin6_addr);
    else
        snprintf(listener->name, sizeof listener->name, "localhost");
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
    if (l->n_listeners == 0) /* cgunicorn check */
        return 0;
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
        descriptors_add(&l->descriptors, listeners[l->n_listeners]);
    }
    descriptors_add(&l->descriptors, l->doorbell);
    r = accept_select_proxied(l, ret_error);
    return r < 0 ? r : accept_set(l, !l->is_held);
}

/* EPOLLEXCLUSIVE may have woken this worker alone. */
static void accept_leave(const Loop *l)
{
    uint64_t one = 1;

    (void)!write(l->doorbell, &one, sizeof one);
}

/* EPOLLEXCLUSIVE: a connection wakes one worker, not all (epoll_ctl(2)). */
static int accept_watch(Loop *l, int fd, void *source, bool accepting)
{
    if (accepting)
        return loop_watch(l, fd, EPOLLIN | EPOLLEXCLUSIVE, source);
    return epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, fd, NULL) < 0 ? -errno : 0;
}

int accept_watch_queue(Loop *l, bool watch)
{
    int r;

    if (l->handover.in < 0 || l->handover.is_watched == watch)
        return 0;
    r = accept_watch(l, l->handover.in, &l->handover.in_source, watch);
    if (r == 0)
        l->handover.is_watched = watch;
    return r;
}

int accept_set(Loop *l, bool accepting)
{
    int r;

    if (l->is_accepting == accepting)
        return 0;
    if (!accepting && l->has_unread)
        accept_leave(l);
    for (size_t i = 0; i < l->n_listeners; i++) {
        Listener *listener = &l->listeners[i];

        r = accept_watch(l, listener->fd, listener, accepting);
        if (r < 0)
            return r;
    }
    r = accept_watch_queue(l, accepting);
    if (r < 0)
        return r;
    l->is_accepting = accepting;
    return accept_watch(l, l->doorbell, &l->doorbell_source, accepting);
}

/* --- room --- */

/* Whom a newcomer may displace: the connection that costs its client least, and among those the one that has waited
 * longest. Nobody who was not given a second; never one whose request is with the application or whose response is
 * under way. */
static Connection *accept_victim(const Loop *l)
{
    static const TimeoutKind kinds[] = {TIMEOUT_LINGER, TIMEOUT_KEEPALIVE, TIMEOUT_HEAD, TIMEOUT_BODY};

    for (size_t i = 0; i < ELEMENTSOF(kinds); i++) {
        const TimeoutList *list = &l->timeouts[kinds[i]];
        Timeout *t = timeout_list_first(list);
        Connection *c = t ? connection_of_timeout(t) : NULL;

        if (t && t->deadline + DISPLACED_AFTER_USEC <= l->now + list->span_usec &&
            (c->state <= CONNECTION_BODY || c->state == CONNECTION_LINGERING))
            return c;
    }
    return NULL;
}

static bool accept_is_full(const Loop *l)
{
    return l->n_connections >= l->config->limits_connections;
}

/* Closes one connection, if there is one to close. */
static bool accept_make_room(Loop *l)
{
    Connection *victim = accept_victim(l);

    if (!victim)
        return false;
    l->n_displaced++;
    if (accept_is_full(l) && l->now >= l->next_full_record_usec) {
        log_full(LOG_WARNING, MESSAGE_CONNECTIONS_FULL, NULL,
                 "%zu connections, as many as limits.connections: to make room, idle and slow ones are "
                 "closed, %" PRIu64 " so far",
                 l->n_connections, l->n_displaced);
        l->next_full_record_usec = l->now + RECORDS_APART_USEC;
    }
    connection_close(l, victim);
    return true;
}

/* --- accepting --- */

/* The worker, or the system, has no descriptor or no memory for one more. */
static void on_exhaustion(Loop *l, int error)
{
    if (l->now >= l->next_exhaustion_record_usec)
        log_full(LOG_ERR, MESSAGE_FD_EXHAUSTED, NULL,
                 "Cannot accept connections for now: %s. %zu are open; raise LimitNOFILE= or lower "
                 "limits.connections.",
                 strerror(error), l->n_connections);
    l->next_exhaustion_record_usec = l->now + RECORDS_APART_USEC;
    if (!accept_make_room(l))
        l->accept_after_usec = l->now + EXHAUSTION_PAUSE_USEC;
}

/* True: it may be worth while to try the next one. accept(2). */
static bool on_accept_error(Loop *l, int error)
{
    switch (error) {
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
        on_exhaustion(l, error);
        return false;
    case EINTR:
    case ECONNABORTED: /* these concern that client alone, who is out of the queue */
    case EPROTO:
    case ENOPROTOOPT:
    case ENETDOWN:
    case ENETUNREACH:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ENONET:
    case EOPNOTSUPP:
        return true;
    default: /* EAGAIN: a sibling was faster; EPERM: a firewall, accept(2) */
        if (error != EPERM && descriptors_is_lost(error))
            descriptors_give_up();
        return false;
    }
}

/* False: there is none to accept, or no room for it. */
static bool accept_one(Loop *l, Listener *listener)
{
    struct sockaddr_storage peer;
    socklen_t size = sizeof peer;
    int fd, r;

    if (accept_is_full(l) && !accept_victim(l))
        return false;
    fd = accept4(listener->fd, (struct sockaddr *)&peer, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return on_accept_error(l, errno);
    if (accept_is_full(l))
        accept_make_room(l);
    r = connection_new(l, listener, fd, &peer);
    return r < 0 ? on_accept_error(l, -r) : true;
}

void accept_on_doorbell(Loop *l)
{
    uint64_t n;

    (void)!read(l->doorbell, &n, sizeof n);
    for (size_t i = 0; i < l->n_listeners; i++)
        l->listeners[i].is_ready = true;
    l->handover.is_ready = l->is_rung = true;
}

/* Who waits in the queue has waited for longer than who is not yet accepted. True: more may wait there. */
static bool accept_from_queue(Loop *l)
{
    int r;

    if (drain_is_due(l)) {
        handover_relay(l);
        return false;
    }
    if (!l->is_accepting) {
        accept_leave(l);
        return false;
    }
    r = handover_take(l);
    if (r < 0)
        (void)on_accept_error(l, -r);
    while (l->n_connections > l->config->limits_connections && accept_make_room(l))
        ;
    return r < 0 || l->handover.is_ready;
}

/* One connection, as the next may be for a sibling. Behind a pause many may wait that have no request and cost nothing,
 * and others behind them. Several siblings may have rung for one each, and only this worker has heard of it: it rings
 * on until nothing is left. */
void accept_connections(Loop *l)
{
    int n_max = l->is_behind ? ACCEPTS_AFTER_PAUSE : 1;
    size_t n_ready = l->ready.n;
    bool is_rung = l->is_rung, leaves = false, takes;

    l->is_rung = false;
    if (l->handover.is_ready && !drain_is_last(l))
        leaves = accept_from_queue(l);
    l->handover.is_ready = false;
    for (size_t i = 0; i < l->n_listeners; i++) {
        Listener *listener = &l->listeners[i];

        if (!listener->is_ready)
            continue;
        takes = l->is_accepting && !balance_leaves(&l->balance, l->n_connections, l->now);
        if (!takes)
            accept_leave(l);
        l->is_behind = false;

        for (int n = 0; listener->is_ready && takes && n < n_max && l->ready.n == n_ready; n++)
            listener->is_ready = accept_one(l, listener);
        leaves |= listener->is_ready && takes;
        listener->is_ready = false;
    }
    if (is_rung && leaves)
        accept_leave(l);
}

bool accept_is_waited_for(const Loop *l)
{
    bool is_waited_for = fd_is_readable(l->handover.in); /* which may be none */

    for (size_t i = 0; i < l->n_listeners && !is_waited_for; i++)
        is_waited_for = fd_is_readable(l->listeners[i].fd);
    return is_waited_for;
}

usec_t accept_next_usec(const Loop *l)
{
    usec_t next = MAX(l->accept_after_usec, l->balance.leaves_until_usec);

    return next > l->now ? next : UINT64_MAX;
}

/* Connections that this worker could not serve soon stay in the kernel's queue, for its siblings and its successor. */
int accept_update(Loop *l)
{
    bool is_saturated = !loop_has_slot(l) && (l->has_siblings || l->ready.n > 0 || loop_is_stuck(l));
    bool can, accepts;

    l->is_full = accept_is_full(l) && !accept_victim(l);
    can = !l->is_draining && !l->is_held && !is_saturated && !l->is_full && l->now >= l->accept_after_usec;
    atomic_store_explicit(&l->seat->accepts, can, memory_order_relaxed);
    accepts = can && l->now >= l->balance.leaves_until_usec;
    if (accepts && !l->is_accepting) {
        l->is_behind = !l->balance.has_left;
        l->handover.is_ready = true;
    }
    return accept_set(l, accepts);
}

void accept_stop(Loop *l)
{
    (void)accept_set(l, false);
    if (l->is_held || loop_is_stuck(l))
        return;
    for (size_t i = 0; i < l->n_listeners; i++)
        while (accept_one(l, &l->listeners[i]))
            ;
}
