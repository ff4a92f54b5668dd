/* SPDX-License-Identifier: MIT */
/* Who is at the other end of a connection: as accept(2) says, or as a proxy does by the PROXY protocol. */
#include "worker/peer.h"

#include "base/log.h"
#include "base/socket-address.h"
#include "http/proxy-protocol.h"
#include "http/syntax.h"

#include <arpa/inet.h>

#define NOTE_EVERY_USEC (60 * USEC_PER_SEC)

static bool address_is_trusted(const TrustedProxies *t, const struct sockaddr_storage *a)
{
    struct in6_addr mapped = {.s6_addr = {[10] = 0xff, [11] = 0xff}}; /* RFC 4291 §2.5.5.2 */

    if (a->ss_family == AF_INET6)
        return trusted_proxies_contain(t, &((const struct sockaddr_in6 *)a)->sin6_addr);
    if (a->ss_family != AF_INET)
        return trusted_proxies_contain_peer(t, SPAN_LITERAL(""));
    memcpy(&mapped.s6_addr[12], &((const struct sockaddr_in *)a)->sin_addr, sizeof(struct in_addr));
    return trusted_proxies_contain(t, &mapped);
}

static void peer_set_client(const Loop *l, Connection *c, const struct sockaddr_storage *a)
{
    socket_address_print(a, c->address, c->port);
    c->is_from_proxy = address_is_trusted(l->trusted, a);
}

static void peer_read_addresses(const Loop *l, Connection *c, const struct sockaddr_storage *peer)
{
    struct sockaddr_storage own;
    socklen_t size = sizeof own;

    peer_set_client(l, c, peer);
    memcpy(c->server_port, c->listener->port, sizeof c->server_port);
    if (c->listener->is_wildcard && getsockname(c->fd, (struct sockaddr *)&own, &size) == 0)
        socket_address_print(&own, c->server_address, c->server_port);
}

/* False: the client has too many. */
static bool peer_count(Loop *l, Connection *c, const struct sockaddr_storage *peer)
{
    Client *client;
    int r;

    if (l->clients.max == 0 || !c->address[0] || c->is_from_proxy)
        return true;
    r = clients_enter(&l->clients, peer, &client);
    if (r == 0)
        c->client = client;
    if (r != CLIENTS_E_FULL)
        return true;
    if (!client->is_noted)
        log_notice("%s has %u connections, as many as limits.connections_per_ip: closing more", c->address,
                   client->n_connections);
    client->is_noted = true;
    return false;
}

const char *peer_name(const Connection *c)
{
    return c->address[0] ? c->address : "a local client";
}

/* --- the PROXY protocol --- */

/* One record a minute is enough: others cause them as often as they like. */
static bool note_is_due(const Loop *l, usec_t *next_usec)
{
    if (l->now < *next_usec)
        return false;
    *next_usec = l->now + NOTE_EVERY_USEC;
    return true;
}

/* The header is believed whatever it says: from everybody else it is not even read. */
static bool peer_may_proxy(Loop *l, const Connection *c)
{
    if (peer_is_trusted(c))
        return true;
    if (note_is_due(l, &l->next_stranger_note_usec))
        log_notice("Closed a connection from %s: its listener is one of proxy.protocol, which is for "
                   "proxy.trusted alone",
                   peer_name(c));
    return false;
}

bool peer_init(Loop *l, Connection *c, const struct sockaddr_storage *peer)
{
    peer_read_addresses(l, c, peer);
    if (!c->listener->is_proxied)
        return peer_count(l, c, peer);
    c->awaits_proxy_header = true;
    return peer_may_proxy(l, c);
}

static void parse_address(const char *text, struct sockaddr_storage *ret)
{
    struct sockaddr_in *in = (struct sockaddr_in *)ret;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ret;

    *ret = (struct sockaddr_storage){.ss_family = *text ? AF_INET : AF_UNIX};
    if (!*text || inet_pton(AF_INET, text, &in->sin_addr) == 1)
        return;
    ret->ss_family = AF_INET6;
    inet_pton(AF_INET6, text, &in6->sin6_addr);
}

bool peer_adopt(Loop *l, Connection *c, const Parcel *p)
{
    struct sockaddr_storage peer;
    Client *client;
    int r;

    memcpy(c->address, p->address, sizeof c->address);
    memcpy(c->port, p->port, sizeof c->port);
    memcpy(c->server_address, p->server_address, sizeof c->server_address);
    memcpy(c->server_port, p->server_port, sizeof c->server_port);
    parse_address(c->address, &peer);
    c->is_from_proxy = address_is_trusted(l->trusted, &peer);
    if (c->awaits_proxy_header)
        return peer_may_proxy(l, c);
    if (l->clients.max == 0 || !c->address[0] || c->is_nameless || c->is_from_proxy)
        return true;
    r = clients_enter(&l->clients, &peer, &client);
    if (r == CLIENTS_E_FULL)
        client->n_connections++;
    if (r >= 0)
        c->client = client;
    return true;
}

/* False: the client has too many connections. */
static bool peer_replace(Loop *l, Connection *c, const ProxyProtocol *p)
{
    /* A client that has no address may not pass for the proxy, nor for a proxy on a Unix socket of our own. */
    c->is_nameless = p->origin == PROXY_PROTOCOL_UNKNOWN || p->source.ss_family == AF_UNIX;
    if (p->origin != PROXY_PROTOCOL_CLIENT)
        return true;
    c->https = p->https;
    peer_set_client(l, c, &p->source);
    if (p->destination.ss_family != AF_UNIX)
        socket_address_print(&p->destination, c->server_address, c->server_port);
    return peer_count(l, c, &p->source);
}

int peer_read_header(Loop *l, Connection *c)
{
    Buffer *in = &c->exchange->in;
    const char *reason = NULL;
    ProxyProtocol p;
    size_t size = 0;
    int r = proxy_protocol_parse(buffer_head(in), buffer_size(in), &p, &size, &reason);

    if (r == PROXY_PROTOCOL_E_INVALID && note_is_due(l, &l->next_malformed_note_usec))
        log_notice("Closed a connection from %s: %s, where proxy.protocol asks for a PROXY protocol header",
                   peer_name(c), reason);
    if (r != 0)
        return r;
    buffer_consume(in, size);
    c->awaits_proxy_header = false;
    return peer_replace(l, c, &p) ? 0 : PEER_E_REFUSED;
}

/* --- for the environ and the access log --- */

/* Empty if there is none. */
static Span authority_port(Span authority)
{
    size_t n = authority.size;

    while (n > 0 && octet_is_digit(authority.data[n - 1]))
        n--;
    if (n == 0 || authority.data[n - 1] != ':')
        return (Span){"", 0};
    return (Span){authority.data + n, authority.size - n};
}

/* What a trusted proxy saw nearer to the client counts for more than what the proxy of the connection did. */
static bool peer_is_https(const Connection *c)
{
    const Forwarded *f = &c->exchange->forwarded;

    return f->says_scheme ? f->https : c->https;
}

/* What the client connected to, as far as anybody says. */
static Span peer_server_port(const Connection *c)
{
    const Forwarded *f = &c->exchange->forwarded;
    Span port = f->port.size > 0 ? f->port : authority_port(f->host);

    if (port.size > 0)
        return port;
    if (c->server_port[0] && f->host.size == 0)
        return span_of(c->server_port);
    return peer_is_https(c) ? SPAN_LITERAL("443") : SPAN_LITERAL("80");
}

WsgiPeer peer_of_request(const Connection *c)
{
    const Forwarded *f = &c->exchange->forwarded;
    const char *name = c->server_address[0] ? c->server_address : c->listener->name;

    return (WsgiPeer){
        .remote_addr = f->address.data ? f->address : span_of(c->address),
        .remote_port = f->address.data ? (Span){"", 0} : span_of(c->port),
        .server_name = span_of(name),
        .server_port = peer_server_port(c),
        .https = peer_is_https(c),
        .host = f->host,
        .script_name = f->prefix,
    };
}
