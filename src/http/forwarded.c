/* SPDX-License-Identifier: MIT */
/* Whom to believe about a client: each proxy appends the address that it saw, so X-Forwarded-For is read from
 * the right for as long as trusted proxies wrote it. The Forwarded field (RFC 7239) is not read. */
#include "http/forwarded.h"

#include "http/syntax.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>

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

/* The hop was a trusted proxy: the one before it stands further left. */
#define GO_ON 1

#define IPV4_PREFIX 96 /* bits of an IPv4-mapped address before the IPv4 address */

/* Whether it is an address without port and zone. */
static bool parse_address(Span s, struct in6_addr *ret)
{
    char text[INET6_ADDRSTRLEN];
    struct in_addr v4;

    if (s.size == 0 || s.size >= sizeof(text))
        return false;
    *(char *)mempcpy(text, s.data, s.size) = '\0';
    if (inet_pton(AF_INET6, text, ret) == 1)
        return true;
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

    if (!parse_address(address, &ret->address))
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

static bool is_trusted(const TrustedProxies *t, const struct in6_addr *address)
{
    for (size_t i = 0; i < t->n_networks; i++)
        if (network_contains(&t->networks[i], address))
            return true;
    return false;
}

static bool peer_is_trusted(const TrustedProxies *t, Span peer)
{
    const char *zone = peer.size > 0 ? memchr(peer.data, '%', peer.size) : NULL;
    struct in6_addr address;

    if (peer.size == 0)
        return t->unix_peers;
    if (zone)
        peer.size = (size_t)(zone - peer.data);
    return parse_address(peer, &address) && is_trusted(t, &address);
}

static bool is_port_suffix(Span s)
{
    if (s.size < 2 || s.data[0] != ':')
        return false;
    for (size_t i = 1; i < s.size; i++)
        if (!octet_is_digit(s.data[i]))
            return false;
    return true;
}

/* "192.0.2.1", "2001:db8::1", "[2001:db8::1]", or one with a port, which some proxies add. s is not empty. */
static bool strip_port(Span s, Span *ret)
{
    const char *end = memchr(s.data, s.data[0] == '[' ? ']' : ':', s.size);
    size_t n = end ? (size_t)(end - s.data) : s.size;

    if (s.data[0] == '[') {
        *ret = (Span){s.data + 1, n - 1};
        n++;
    } else {
        if (end && memchr(end + 1, ':', s.size - n - 1))
            n = s.size; /* an IPv6 address */
        *ret = (Span){s.data, n};
    }
    return n == s.size || (n < s.size && is_port_suffix((Span){s.data + n, s.size - n}));
}

/* Looks at one element of X-Forwarded-For: 0 and *ret_address, GO_ON, or 400. */
static int read_hop(const TrustedProxies *t, Span element, Span *ret_address)
{
    struct in6_addr address;
    Span text;

    if (element.size == 0)
        return GO_ON; /* RFC 9110 §5.6.1.2 */
    if (t->unix_peers && span_equal(element, SPAN_LITERAL("unix:")))
        return GO_ON; /* nginx's name for the client of its own Unix socket */
    if (span_equal_nocase(element, SPAN_LITERAL("unknown")))
        return 0; /* the proxy would not say: the last hop that is known stays */
    if (!strip_port(element, &text) || !parse_address(text, &address))
        return 400;
    *ret_address = text;
    return is_trusted(t, &address) ? GO_ON : 0;
}

/* Reads the elements of one line from the right. */
static int read_hops(const TrustedProxies *t, Span line, Span *ret_address)
{
    for (;;) {
        const char *comma = line.size > 0 ? memrchr(line.data, ',', line.size) : NULL;
        size_t start = comma ? (size_t)(comma - line.data) + 1 : 0;
        int r = read_hop(t, span_trim((Span){line.data + start, line.size - start}), ret_address);

        if (r != GO_ON || !comma)
            return r;
        line.size = start - 1;
    }
}

static int resolve_address(const TrustedProxies *t, const Request *r, Span *ret)
{
    for (size_t i = r->n_fields; i-- > 0;) {
        int status;

        if (!TOKEN_IS(r->fields[i].name, "x-forwarded-for"))
            continue;
        status = read_hops(t, r->fields[i].value, ret);
        if (status != GO_ON)
            return status;
    }
    return 0;
}

/* Several proxies may each have said it, but only the same. */
static int resolve_scheme(const Request *r, bool *ret_https)
{
    bool http = false, https = false;

    for (size_t i = 0; i < r->n_fields; i++) {
        Span list = r->fields[i].value, scheme;

        if (!TOKEN_IS(r->fields[i].name, "x-forwarded-proto"))
            continue;
        while (list_next(&list, &scheme)) {
            if (span_equal_nocase(scheme, SPAN_LITERAL("https")))
                https = true;
            else if (span_equal_nocase(scheme, SPAN_LITERAL("http")))
                http = true;
            else
                return 400;
        }
    }
    *ret_https = https;
    return http && https ? 400 : 0;
}

static bool has_forwarded_fields(const Request *r)
{
    for (size_t i = 0; i < r->n_fields; i++)
        if (TOKEN_IS(r->fields[i].name, "x-forwarded-for") ||
            TOKEN_IS(r->fields[i].name, "x-forwarded-proto"))
            return true;
    return false;
}

int forwarded_resolve(const TrustedProxies *t, Span peer, const Request *r, Forwarded *ret)
{
    int status;

    *ret = (Forwarded){0};
    if (!t || !has_forwarded_fields(r) || !peer_is_trusted(t, peer))
        return 0;
    status = resolve_scheme(r, &ret->https);
    return status != 0 ? status : resolve_address(t, r, &ret->address);
}
