/* SPDX-License-Identifier: MIT */
/* Who is at the other end of a connection, and what he connected to: the addresses of a Connection. */
#pragma once

#include "ipc/parcel.h"
#include "worker/connection.h"
#include "wsgi/call.h"

#define PEER_E_REFUSED 3

/* As accept(2) says. False: the connection is to be closed, and the log says why. */
bool peer_init(Loop *l, Connection *c, const struct sockaddr_storage *peer);

/* What another worker knew of a connection; whether it is one of proxy.trusted is asked anew, as that may have
 * changed with a reload. It may be one more than limits.connections_per_ip: that worker has counted it. False: as
 * of peer_init(). */
bool peer_adopt(Loop *l, Connection *c, const Parcel *p);

/* In messages. */
const char *peer_name(const Connection *c);

/* Whether what it says of a client is believed. */
static inline bool peer_is_trusted(const Connection *c)
{
    return c->is_from_proxy && !c->is_nameless;
}

/* While c->awaits_proxy_header: takes the header off what was received. 0: it is gone, and c has the client's
 * addresses; HTTP_E_MORE; PROXY_PROTOCOL_E_INVALID or PEER_E_REFUSED: the connection is to be closed, and the
 * log says why. */
int peer_read_header(Loop *l, Connection *c);

/* Who asks whom, for the environ and the access log: borrows from the connection and its exchange. */
WsgiPeer peer_of_request(const Connection *c);
