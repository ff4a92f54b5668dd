/* SPDX-License-Identifier: MIT */
/* Which addresses are proxies whose word counts. */
#pragma once

#include "base/cleanup.h"
#include "base/span.h"

#include <netinet/in.h>
#include <stdbool.h>

typedef struct TrustedProxies TrustedProxies;

/* words: addresses, networks in CIDR form, "unix"; NULL-terminated, NULL for none. 0, -ENOMEM, or -EINVAL
 * with *ret_bad = the word that is none of these (borrowed; may be NULL). */
int trusted_proxies_new(char *const *words, TrustedProxies **ret, const char **ret_bad);
TrustedProxies *trusted_proxies_free(TrustedProxies *t);
DEFINE_CLEANUP(TrustedProxies, trusted_proxies)

/* An IPv4 address as its IPv4-mapped IPv6 address (RFC 4291 §2.5.5.2); false: s is no address. */
bool trusted_proxies_parse_address(Span s, struct in6_addr *ret);

bool trusted_proxies_contain(const TrustedProxies *t, const struct in6_addr *address);

/* peer: the textual IP address of a connection's other end, empty for a Unix socket. */
bool trusted_proxies_contain_peer(const TrustedProxies *t, Span peer);
