/* SPDX-License-Identifier: MIT */
/* Which addresses are proxies whose word counts: networks, and Unix sockets. */
#include "http/trusted-proxies.h"

#include "http/syntax.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define IPV4_PREFIX 96 /* bits of an IPv4-mapped address before the IPv4 address */

/* An IPv4 address is kept as its IPv4-mapped IPv6 address (RFC 4291 §2.5.5.2). */
typedef struct Network {
    struct in6_addr address;
    unsigned prefix_length;
} Network;

struct TrustedProxies {
    bool unix_peers;
    size_t n_networks;
    Network networks[];
};

bool trusted_proxies_parse_address(Span s, struct in6_addr *ret)
{
    char text[INET6_ADDRSTRLEN];
    struct in_addr v4;

    if (s.size == 0 || s.size >= sizeof(text))
        return false;
    *(char *)mempcpy(text, s.data, s.size) = '\0';
    if (memchr(s.data, ':', s.size))
        return inet_pton(AF_INET6, text, ret) == 1;
    if (inet_pton(AF_INET, text, &v4) != 1)
        return false;
    *ret = (struct in6_addr){.s6_addr = {[10] = 0xff, [11] = 0xff}};
    memcpy(&ret->s6_addr[12], &v4, sizeof(v4));
    return true;
}

static bool parse_network(const char *word, Network *ret)
{
    const char *slash = strchrnul(word, '/');
    Span address = {word, (size_t)(slash - word)};
    unsigned base = memchr(word, ':', address.size) ? 0 : IPV4_PREFIX;
    unsigned length = 0;

    if (!trusted_proxies_parse_address(address, &ret->address))
        return false;
    ret->prefix_length = 128;
    if (!*slash)
        return true;
    for (const char *p = slash + 1; *p; p++) {
        length = length * 10 + (unsigned)(*p - '0');
        if (!octet_is_digit(*p) || base + length > 128)
            return false;
    }
    ret->prefix_length = base + length;
    return slash[1] != '\0';
}

int trusted_proxies_new(char *const *words, TrustedProxies **ret, const char **ret_bad)
{
    _cleanup_(trusted_proxies_freep) TrustedProxies *t = NULL;
    size_t n = 0;

    while (words && words[n])
        n++;
    t = calloc(1, sizeof(*t) + n * sizeof(t->networks[0]));
    if (!t)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        if (strcmp(words[i], "unix") == 0) {
            t->unix_peers = true;
        } else if (!parse_network(words[i], &t->networks[t->n_networks++])) {
            if (ret_bad)
                *ret_bad = words[i];
            return -EINVAL;
        }
    }
    *ret = TAKE_PTR(t);
    return 0;
}

TrustedProxies *trusted_proxies_free(TrustedProxies *t)
{
    free(t);
    return NULL;
}

static bool network_contains(const Network *n, const struct in6_addr *address)
{
    unsigned whole = n->prefix_length / 8, rest = n->prefix_length % 8;

    if (memcmp(&n->address, address, whole) != 0)
        return false;
    return rest == 0 || ((n->address.s6_addr[whole] ^ address->s6_addr[whole]) >> (8 - rest)) == 0;
}

bool trusted_proxies_contain(const TrustedProxies *t, const struct in6_addr *address)
{
    for (size_t i = 0; i < t->n_networks; i++)
        if (network_contains(&t->networks[i], address))
            return true;
    return false;
}

bool trusted_proxies_contain_peer(const TrustedProxies *t, Span peer)
{
    const char *zone = peer.size > 0 ? memchr(peer.data, '%', peer.size) : NULL;
    struct in6_addr address;

    if (peer.size == 0)
        return t->unix_peers;
    if (zone)
        peer.size = (size_t)(zone - peer.data);
    return trusted_proxies_parse_address(peer, &address) && trusted_proxies_contain(t, &address);
}
