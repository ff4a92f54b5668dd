/* SPDX-License-Identifier: MIT */
/* Percent-decoding of a path, and what an authority may look like. Splitting a target is the parser's. */
#include "http/target.h"

#include "base/cleanup.h"
#include "base/parse.h"
#include "http/syntax.h"

#include <arpa/inet.h>

static int hex_value(char c)
{
    if (octet_is_digit(c))
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool is_escape(const char *data, size_t size)
{
    return size >= 3 && data[0] == '%' && hex_value(data[1]) >= 0 && hex_value(data[2]) >= 0;
}

size_t target_decode_path(Span path, char *to)
{
    size_t from = 0, n = 0;

    if (path.size == 0 || !memchr(path.data, '%', path.size)) {
        if (path.size > 0)
            memcpy(to, path.data, path.size);
        return path.size;
    }
    while (from < path.size) {
        const char *data = path.data + from;

        if (is_escape(data, path.size - from)) {
            to[n++] = (char)(hex_value(data[1]) << 4 | hex_value(data[2]));
            from += 3;
        } else {
            to[n++] = *data;
            from++;
        }
    }
    return n;
}

/* RFC 3986 §3.2.3: it may be empty. */
static bool is_port(Span s)
{
    uint16_t port;

    return s.size == 0 || parse_port(s, &port) == 0;
}

/* "[" IPv6 "]"; the future's addresses and zones are not for Host. Returns its size or 0. */
static size_t ipv6_literal_size(Span s)
{
    const char *end = memchr(s.data, ']', s.size);
    char text[INET6_ADDRSTRLEN];
    struct in6_addr address;
    size_t size;

    if (!end)
        return 0;
    size = (size_t)(end - s.data) - 1;
    if (size >= sizeof(text))
        return 0;
    *(char *)mempcpy(text, s.data + 1, size) = '\0';
    return inet_pton(AF_INET6, text, &address) == 1 ? size + 2 : 0;
}

static size_t host_size(Span s)
{
    size_t n = 0;

    for (;;) {
        n = octets_end(s.data, n, s.size, OCTET_HOST);
        if (!is_escape(s.data + n, s.size - n))
            return n;
        n += 3;
    }
}

bool target_authority_is_valid(Span s)
{
    size_t n;

    if (s.size == 0)
        return false;
    n = s.data[0] == '[' ? ipv6_literal_size(s) : host_size(s);
    if (n == 0)
        return false;
    return n == s.size || (s.data[n] == ':' && is_port((Span){s.data + n + 1, s.size - n - 1}));
}
