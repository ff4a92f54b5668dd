/* SPDX-License-Identifier: MIT */
/* Who asked for what, and how, where trusted proxies stand in between: Forwarded (RFC 7239), and
 * X-Forwarded-For, -Proto, -Ssl, -Protocol, -Host, -Port and -Prefix, SCRIPT_NAME. */
#pragma once

#include "base/proxy-headers.h"
#include "http/request.h"
#include "http/trusted-proxies.h"

/* Spans have data NULL where nobody said anything. */
typedef struct Forwarded {
    Span address; /* the right-most one that is not a trusted proxy, or the left-most where all are */
    Span host;    /* an authority, as in Host */
    Span port;
    Span prefix; /* a raw path that begins with one '/' and does not end with any */
    bool says_scheme;
    bool https; /* it is https */
} Forwarded;

/* believed: a set of ProxyHeader; other fields are not looked at. peer: the textual IP address of the
 * connection's other end, empty for a Unix socket. Fields of peers that are not trusted count for nothing,
 * and neither does what stands left of the address. t may be NULL: nobody is trusted. 0, or 400 with
 * r->reason where the fields contradict each other or are malformed. */
int forwarded_resolve(const TrustedProxies *t, unsigned believed, Span peer, Request *r, Forwarded *ret);
