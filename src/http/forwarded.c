/* SPDX-License-Identifier: MIT */
/* Whom to believe about a client: each proxy appends what it saw, so X-Forwarded-For and Forwarded are read from
 * the right for as long as trusted proxies wrote them. The other fields are the nearest proxy's, which must not
 * say two things. */
#include "http/forwarded.h"

#include "base/parse.h"
#include "http/syntax.h"
#include "http/target.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>

/* The hop was a trusted proxy: the one before it stands further left. */
#define GO_ON 1

/* What can be said of a request. Spans are borrowed from its fields, with data NULL where it was not said. */
typedef enum Part {
    PART_ADDRESS,
    PART_PROTO,
    PART_HOST,
    N_FORWARDED_PARTS, /* Forwarded can say those above */
    PART_PORT = N_FORWARDED_PARTS,
    PART_PREFIX,
    N_PARTS,
} Part;

/* --- what a part may look like --- */

static bool is_proto(Span s)
{
    return span_equal_nocase(s, SPAN_LITERAL("https")) || span_equal_nocase(s, SPAN_LITERAL("http"));
}

/* Of X-Forwarded-Ssl, and of X-Forwarded-Protocol, in which some write "ssl": the scheme that they mean. */
static bool is_switch(Span s)
{
    return span_equal_nocase(s, SPAN_LITERAL("on")) || span_equal_nocase(s, SPAN_LITERAL("off"));
}

static Span switch_to_proto(Span s)
{
    return span_equal_nocase(s, SPAN_LITERAL("on")) ? SPAN_LITERAL("https") : SPAN_LITERAL("http");
}

static bool is_protocol(Span s)
{
    return is_proto(s) || span_equal_nocase(s, SPAN_LITERAL("ssl"));
}

static Span protocol_to_proto(Span s)
{
    return span_equal_nocase(s, SPAN_LITERAL("ssl")) ? SPAN_LITERAL("https") : s;
}

static bool is_port(Span s)
{
    uint16_t port;

    return s.size > 0 && s.data[0] != '0' && parse_port(s, &port) == 0;
}

/* Applications put it in front of the links that they make, where "//" would name another host. */
static bool is_prefix(Span s)
{
    if (s.size == 0 || s.data[0] != '/' || (s.size > 1 && s.data[1] == '/'))
        return false;
    return octets_end(s.data, 0, s.size, OCTET_TARGET) == s.size && !memchr(s.data, '?', s.size);
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

/* A name or a port that a proxy made up. RFC 7239 §6.3 allows fewer octets; nothing is done with them. */
static bool is_obfuscated(Span s)
{
    return s.size > 1 && s.data[0] == '_' && span_is_token(s);
}

/* --- hops --- */

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

/* Looks at one element of X-Forwarded-For: 0 and said[PART_ADDRESS], GO_ON, or 400. */
static int read_address(const TrustedProxies *t, Span element, Span said[])
{
    struct in6_addr address;
    Span text;

    if (trusted_proxies_contain_peer(t, (Span){"", 0}) && span_equal(element, SPAN_LITERAL("unix:")))
        return GO_ON; /* nginx's name for the client of its own Unix socket */
    if (span_equal_nocase(element, SPAN_LITERAL("unknown")))
        return 0; /* the proxy would not say: the last hop that is known stays */
    if (!strip_port(element, &text) || !trusted_proxies_parse_address(text, &address))
        return 400;
    said[PART_ADDRESS] = text;
    return trusted_proxies_contain(t, &address) ? GO_ON : 0;
}

/* The node of for=, RFC 7239 §6. As above, but IPv6 only in brackets, and names or ports may be made up. */
static int read_node(const TrustedProxies *t, Span node, Span said[])
{
    const char *bracket = node.size > 0 && node.data[0] == '[' ? memchr(node.data, ']', node.size) : NULL;
    const char *from = bracket ? bracket : node.data;
    const char *colon = memchr(from, ':', node.size - (size_t)(from - node.data));
    Span name = {node.data, colon ? (size_t)(colon - node.data) : node.size};
    Span port = {node.data + name.size, node.size - name.size};

    if (port.size > 0 && !is_port_suffix(port) && !is_obfuscated((Span){port.data + 1, port.size - 1}))
        return 400;
    if (is_obfuscated(name) || span_equal_nocase(name, SPAN_LITERAL("unknown")))
        return 0;
    return name.size > 0 ? read_address(t, name, said) : 400;
}

/* Takes token "=" ( token / quoted-string ) and the ';' behind it off the element. */
static bool pair_next(Span *element, Span *ret_name, Span *ret_value)
{
    const char *data = element->data;
    size_t size = element->size, i = octets_end(data, 0, size, OCTET_TOKEN), start = i + 1;

    if (i == 0 || start >= size || data[i] != '=')
        return false;
    *ret_name = (Span){data, i};
    if (data[start] == '"') {
        for (i = ++start; i < size && data[i] != '"'; i++)
            i += data[i] == '\\';
        if (i >= size)
            return false;
        *ret_value = (Span){data + start, i++ - start};
    } else {
        i = octets_end(data, start, size, OCTET_TOKEN);
        if (i == start)
            return false;
        *ret_value = (Span){data + start, i - start};
    }
    *element = span_trim((Span){data + i, size - i});
    if (element->size == 0)
        return true;
    if (element->data[0] != ';')
        return false;
    *element = span_trim((Span){element->data + 1, element->size - 1});
    return true;
}

/* A forwarded-element, in which no parameter may occur twice (RFC 7239 §4). by= and those that are not known
 * count for nothing. Octets that quoted-pairs are for are malformed in all three. */
static bool split_element(Span element, Span ret[])
{
    static const Span names[] = {
        [PART_ADDRESS] = SPAN_LITERAL("for"),
        [PART_PROTO] = SPAN_LITERAL("proto"),
        [PART_HOST] = SPAN_LITERAL("host"),
    };
    Span name, value;

    while (element.size > 0) {
        if (element.data[0] == ';') {
            element = span_trim((Span){element.data + 1, element.size - 1});
            continue;
        }
        if (!pair_next(&element, &name, &value))
            return false;
        for (Part p = 0; p < N_FORWARDED_PARTS; p++) {
            if (!token_is(name, names[p]))
                continue;
            if (ret[p].data)
                return false;
            ret[p] = value;
        }
    }
    return true;
}

/* One element of Forwarded. Of the scheme and the host, what the proxy next to the client says counts. */
static int read_element(const TrustedProxies *t, Span element, Span said[])
{
    Span parts[N_FORWARDED_PARTS] = {0};

    if (!split_element(element, parts) || (parts[PART_PROTO].data && !is_proto(parts[PART_PROTO])) ||
        (parts[PART_HOST].data && !target_authority_is_valid(parts[PART_HOST])))
        return 400;
    if (parts[PART_PROTO].data)
        said[PART_PROTO] = parts[PART_PROTO];
    if (parts[PART_HOST].data)
        said[PART_HOST] = parts[PART_HOST];
    return parts[PART_ADDRESS].data ? read_node(t, parts[PART_ADDRESS], said) : 0;
}

typedef int (*HopReader)(const TrustedProxies *t, Span element, Span said[]);

static bool is_escaped(Span line, size_t i)
{
    size_t start = i;

    while (start > 0 && line.data[start - 1] == '\\')
        start--;
    return (i - start) % 2 == 1;
}

/* Where the last element begins. Quoted-strings are passed over from their ends too, so that nothing that a
 * client wrote on the left can join the elements that proxies appended. */
static size_t last_element(Span line)
{
    bool is_quoted = false;
    size_t i = line.size;

    while (i > 0 && (is_quoted || line.data[i - 1] != ',')) {
        i--;
        if (line.data[i] == '"' && !is_escaped(line, i))
            is_quoted = !is_quoted;
    }
    return i;
}

/* Reads the elements of one line from the right. Empty ones are none (RFC 9110 §5.6.1.2). */
static int read_line(const TrustedProxies *t, Span line, HopReader read, Span said[])
{
    for (;;) {
        size_t start = last_element(line);
        Span element = span_trim((Span){line.data + start, line.size - start});
        int r = element.size > 0 ? read(t, element, said) : GO_ON;

        if (r != GO_ON || start == 0)
            return r;
        line.size = start - 1;
    }
}

static int read_hops(const TrustedProxies *t, const Request *r, Span name, HopReader read, Span said[])
{
    for (size_t i = r->n_fields; i-- > 0;) {
        const Field *f = &r->fields[i];
        int status = GO_ON;

        if (f->role == ROLE_FORWARDING && token_is(f->name, name))
            status = read_line(t, f->value, read, said);
        if (status != GO_ON)
            return status;
    }
    return 0;
}

/* --- what the nearest proxy says --- */

typedef struct Kind {
    ProxyHeader header;
    Part part;
    Span name;
    bool (*is_valid)(Span s);
    bool (*is_same)(Span a, Span b);
    const char *malformed, *contradictory;
    Span (*translate)(Span s); /* a valid value to that of the part; NULL: it is that */
} Kind;

static const Kind kinds[] = {
    {PROXY_X_FORWARDED_PROTO, PART_PROTO, SPAN_LITERAL("x-forwarded-proto"), is_proto, span_equal_nocase,
     "malformed X-Forwarded-Proto", "contradictory X-Forwarded-Proto", NULL},
    {PROXY_X_FORWARDED_SSL, PART_PROTO, SPAN_LITERAL("x-forwarded-ssl"), is_switch, span_equal_nocase,
     "malformed X-Forwarded-Ssl", "contradictory X-Forwarded-Ssl", switch_to_proto},
    {PROXY_X_FORWARDED_PROTOCOL, PART_PROTO, SPAN_LITERAL("x-forwarded-protocol"), is_protocol,
     span_equal_nocase, "malformed X-Forwarded-Protocol", "contradictory X-Forwarded-Protocol",
     protocol_to_proto},
    {PROXY_X_FORWARDED_HOST, PART_HOST, SPAN_LITERAL("x-forwarded-host"), target_authority_is_valid,
     span_equal_nocase, "malformed X-Forwarded-Host", "contradictory X-Forwarded-Host", NULL},
    {PROXY_X_FORWARDED_PORT, PART_PORT, SPAN_LITERAL("x-forwarded-port"), is_port, span_equal,
     "malformed X-Forwarded-Port", "contradictory X-Forwarded-Port", NULL},
    {PROXY_X_FORWARDED_PREFIX, PART_PREFIX, SPAN_LITERAL("x-forwarded-prefix"), is_prefix, span_equal,
     "malformed X-Forwarded-Prefix", "contradictory X-Forwarded-Prefix", NULL},
    {PROXY_SCRIPT_NAME, PART_PREFIX, SPAN_LITERAL("script_name"), is_prefix, span_equal,
     "malformed SCRIPT_NAME", "contradictory SCRIPT_NAME", NULL},
};

/* Several proxies may each have said it, but only the same. */
static int read_kind(Request *r, const Kind *k, Span *said)
{
    for (size_t i = 0; i < r->n_fields; i++) {
        const Field *f = &r->fields[i];
        Span list = f->value, value;

        if (f->role != ROLE_FORWARDING || !span_equal_nocase(f->name, k->name))
            continue;
        while (list_next(&list, &value)) {
            if (!k->is_valid(value))
                return request_refuse(r, 400, k->malformed);
            if (k->translate)
                value = k->translate(value);
            if (said->data && !k->is_same(*said, value))
                return request_refuse(r, 400, k->contradictory);
            *said = value;
        }
    }
    return 0;
}

/* --- all together --- */

static bool is_same_address(Span a, Span b)
{
    struct in6_addr x, y;

    return trusted_proxies_parse_address(a, &x) && trusted_proxies_parse_address(b, &y) &&
           memcmp(&x, &y, sizeof(x)) == 0;
}

/* Adds what Forwarded says to what the other fields do. */
static int merge(Request *r, Span said[], const Span forwarded[])
{
    for (Part p = 0; p < N_FORWARDED_PARTS; p++) {
        bool (*is_same)(Span, Span) = p == PART_ADDRESS ? is_same_address : span_equal_nocase;

        if (!said[p].data)
            said[p] = forwarded[p];
        else if (forwarded[p].data && !is_same(said[p], forwarded[p]))
            return request_refuse(r, 400, "Forwarded contradicts X-Forwarded-*");
    }
    return 0;
}

static bool has_forwarding_fields(const Request *r)
{
    for (size_t i = 0; i < r->n_fields; i++)
        if (r->fields[i].role == ROLE_FORWARDING)
            return true;
    return false;
}

static int read_fields(const TrustedProxies *t, unsigned believed, Request *r, Span said[])
{
    Span forwarded[N_FORWARDED_PARTS] = {0};

    for (size_t i = 0; i < ELEMENTSOF(kinds); i++)
        if (believed & kinds[i].header && read_kind(r, &kinds[i], &said[kinds[i].part]) != 0)
            return 400;
    if (believed & PROXY_X_FORWARDED_FOR &&
        read_hops(t, r, SPAN_LITERAL("x-forwarded-for"), read_address, said) != 0)
        return request_refuse(r, 400, "malformed X-Forwarded-For");
    if (believed & PROXY_FORWARDED &&
        read_hops(t, r, SPAN_LITERAL("forwarded"), read_element, forwarded) != 0)
        return request_refuse(r, 400, "malformed Forwarded");
    return merge(r, said, forwarded);
}

int forwarded_resolve(const TrustedProxies *t, unsigned believed, Request *r, Forwarded *ret)
{
    Span said[N_PARTS] = {0}, prefix;
    int status;

    *ret = (Forwarded){0};
    if (!t || !has_forwarding_fields(r))
        return 0;
    status = read_fields(t, believed, r, said);
    if (status != 0)
        return status;
    prefix = said[PART_PREFIX];
    while (prefix.size > 0 && prefix.data[prefix.size - 1] == '/')
        prefix.size--;
    *ret = (Forwarded){
        .address = said[PART_ADDRESS],
        .host = said[PART_HOST],
        .port = said[PART_PORT],
        .prefix = prefix.size > 0 ? prefix : (Span){NULL, 0},
        .says_scheme = said[PART_PROTO].data,
        .https = span_equal_nocase(said[PART_PROTO], SPAN_LITERAL("https")),
    };
    return 0;
}
