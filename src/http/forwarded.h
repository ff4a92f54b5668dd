/* SPDX-License-Identifier: MIT */
/* Who asked, and how, where trusted proxies stand in between: X-Forwarded-For and X-Forwarded-Proto. */
#pragma once

#include "base/cleanup.h"
#include "http/request.h"

typedef struct TrustedProxies TrustedProxies;

/* words: addresses, networks in CIDR form, "unix"; NULL-terminated, NULL for none. 0, -ENOMEM, or -EINVAL
 * with *ret_bad = the word that is none of these (borrowed; may be NULL). */
int trusted_proxies_new(char *const *words, TrustedProxies **ret, const char **ret_bad);
TrustedProxies *trusted_proxies_free(TrustedProxies *t);
DEFINE_CLEANUP(TrustedProxies, trusted_proxies)

typedef struct Forwarded {
    Span address; /* the right-most address of X-Forwarded-For that is not a trusted proxy, or the left-most
                   * where all are; data NULL: use the peer's */
    bool https;
} Forwarded;

/* peer: the textual IP address of the connection's other end, empty for a Unix socket. Fields of peers that
 * are not trusted count for nothing, and neither does what stands left of the address. t may be NULL: nobody
 * is trusted. 0, or 400 where the fields contradict each other or are malformed. */
int forwarded_resolve(const TrustedProxies *t, Span peer, const Request *r, Forwarded *ret);
