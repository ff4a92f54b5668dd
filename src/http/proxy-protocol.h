/* SPDX-License-Identifier: MIT */
/* The PROXY protocol (HAProxy's proxy-protocol.txt), versions 1 and 2: the header by which a proxy of
 * connections says, before the client's first octet, whom it connects. Octets in, addresses out. */
#pragma once

#include "http/head.h"

#include <netinet/in.h>
#include <stdbool.h>

#define PROXY_PROTOCOL_E_INVALID \
    2 /* not exactly such a header: the connection is to be closed without an answer */

/* Octets of the longest header that is accepted, and with it what a caller must be able to keep. */
#define PROXY_PROTOCOL_MAX 4096

typedef enum ProxyProtocolOrigin {
    /* The proxy speaks for itself, a health check: the connection's own addresses are right. */
    PROXY_PROTOCOL_LOCAL,
    /* Somebody whom the proxy cannot name: the connection's own addresses stand in for his. */
    PROXY_PROTOCOL_UNKNOWN,
    /* The one at source. */
    PROXY_PROTOCOL_CLIENT,
} ProxyProtocolOrigin;

typedef struct ProxyProtocol {
    ProxyProtocolOrigin origin;
    bool https; /* the client's connection to the proxy is TLS (PP2_CLIENT_SSL); only where CLIENT */

    /* AF_INET or AF_INET6, both the same, with ports; or AF_UNIX, the family alone. AF_UNSPEC where not
     * CLIENT. */
    struct sockaddr_storage source;
    struct sockaddr_storage destination; /* what the client connected to */
} ProxyProtocol;

/* data: all octets of the connection so far; may grow and move between calls, and octets behind the header
 * are not looked at. What it returns is decided by the octets up to the first one that decides it, however
 * they are split: 0 with *ret, and *ret_size = octets of the header; HTTP_E_MORE (never with
 * PROXY_PROTOCOL_MAX octets or more); or PROXY_PROTOCOL_E_INVALID with *ret_reason = static text for the log.
 * What is not returned is left alone. */
int proxy_protocol_parse(const char *data, size_t size, ProxyProtocol *ret, size_t *ret_size,
                         const char **ret_reason);
