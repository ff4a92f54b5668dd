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

/* t: NULL where the connection's other end is none of them: then the fields count for nothing, and neither
 * does ever what stands left of the address. believed: a set of ProxyHeader; other fields are not looked at.
 * 0, or 400 with r->reason where the fields contradict each other or are malformed. */
int forwarded_resolve(const TrustedProxies *t, unsigned believed, Request *r, Forwarded *ret);
