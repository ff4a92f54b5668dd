/* SPDX-License-Identifier: MIT */
/* A client's connection and its states. A RUNNING one is checked out to the thread that runs the application:
 * the loop then touches nothing of it but what Exchange.lock guards.
 *
 *   IDLE ─octet→ HEAD ─head complete→ BODY ─body complete→ READY ─slot→ RUNNING ─done→ WRITING ─sent→ IDLE
 *   any ─refusal→ WRITING ─sent→ LINGERING ─end of file, limit→ closed */
#pragma once

#include "worker/loop.h"

#include <stddef.h>

typedef enum ConnectionState {
    CONNECTION_IDLE,
    CONNECTION_HEAD,
    CONNECTION_BODY,
    CONNECTION_READY,
    CONNECTION_RUNNING,
    CONNECTION_WRITING,
    CONNECTION_LINGERING,
    CONNECTION_CLOSED,
} ConnectionState;

typedef struct Connection {
    Source source;
    ConnectionState state;
    int fd;
    uint32_t events; /* in the epoll set; guarded by Exchange.lock while RUNNING */
    Timeout timeout;
    TimeoutKind timeout_kind;
    const Listener *listener;
    Client *client;                 /* counted against limits.connections_per_ip, or NULL */
    Exchange *exchange;             /* NULL when IDLE with nothing to send */
    struct Connection *next_queued; /* in one of the loop's queues */
    bool is_kept_back;              /* in loop->unsent */
    bool closes;                    /* once everything is sent */
    bool must_linger;               /* input may be unread: close in stages */
    bool awaits_proxy_header;       /* nothing of a request comes before it */
    bool is_nameless;               /* a proxy does not know its client: address is not his */
    bool is_from_proxy;             /* one of proxy.trusted has that address */
    bool https;                     /* says a proxy by the PROXY protocol */
    uint32_t n_lingered;            /* octets dropped while LINGERING */
    char address[INET6_ADDRSTRLEN]; /* of the client; "" on a Unix socket */
    char port[6];
    char server_address[INET6_ADDRSTRLEN]; /* what the client connected to; "": the listener's name */
    char server_port[6];                   /* "" on a Unix socket */
} Connection;

static inline Connection *connection_of_timeout(Timeout *t)
{
    return (Connection *)((char *)t - offsetof(Connection, timeout));
}

/* Takes fd over. 0 or negative errno, and fd is closed. */
int connection_new(Loop *l, const Listener *listener, int fd, const struct sockaddr_storage *peer);

/* Makes c, zeroed memory of the heap, the connection of fd, IDLE and without a timeout. Takes both over. The caller
 * gives it the rest of what it is, and watches it. */
void connection_adopt(Loop *l, Connection *c, const Listener *listener, int fd);

/* Many a connection is closed with the answer to its first request: one that goes to the application right now
 * is watched only where that takes its time (runner_on_overtaken()), or when there is more to come. 0 or
 * negative errno, and c is closed, or will be where it is taken from the queue for the application. */
int connection_begin_watch(Loop *l, Connection *c);

/* Closes at once, in any state but RUNNING; the memory goes at the end of the turn, with connection_free_closed(). */
void connection_close(Loop *l, Connection *c);

/* No event of this turn is left that might point to those that were closed in it. */
void connection_free_closed(Loop *l);

/* It is IDLE, and nothing waits to be sent. */
void connection_release_exchange(Loop *l, Connection *c);

void connection_on_event(Loop *l, Connection *c, uint32_t events);
void connection_on_timeout(Loop *l, Connection *c);

/* The application returned: the exchange has the response, or is_cut. */
void connection_on_response(Loop *l, Connection *c);

/* Sends what is waiting; closes or goes on. */
void connection_on_flush(Loop *l, Connection *c);

/* Answers with an error of the server's own, then closes. reason: for the log. */
void connection_refuse(Loop *l, Connection *c, unsigned status, const char *reason);

/* A complete request goes to the queue for the application. */
void connection_on_request(Loop *l, Connection *c);

/* Starts the timeout of that kind; each connection has one at a time. */
void connection_set_timeout(Loop *l, Connection *c, TimeoutKind kind);

/* Registers these events with epoll, 0: none, not even a hang-up. While RUNNING: with Exchange.lock. */
void connection_set_events(Loop *l, Connection *c, uint32_t events);
