/* SPDX-License-Identifier: MIT */
/* The PROXY protocol, read strictly: a header is mandatory where it is expected, and everything behind it is the
 * client's, so that whatever is not exactly a header ends the connection. */
#include "http/proxy-protocol.h"

#include "base/cleanup.h"
#include "base/parse.h"
#include "base/span.h"
#include "http/syntax.h"

#include <arpa/inet.h>

/* §2.1: of the line with its CRLF. */
#define V1_MAX 107

/* §2.2 */
#define V2_HEADER_SIZE 16
#define V2_COMMAND_LOCAL 0x20 /* with the version */
#define V2_COMMAND_PROXY 0x21
#define V2_UNSPEC 0x00 /* families with their transport */
#define V2_TCP4 0x11
#define V2_TCP6 0x21
#define V2_UNIX_STREAM 0x31
#define V2_UNIX_SIZE (2 * 108)
#define V2_TYPE_CRC32C 0x03
#define V2_TYPE_SSL 0x20
#define V2_SSL_HEADER_SIZE 5 /* client, verify */
#define V2_CLIENT_SSL 0x01

static const char v1_start[] = "PROXY ";
static const char v2_signature[] = "\r\n\r\n\0\r\nQUIT\n";

static int refuse(const char **ret_reason, const char *reason)
{
    *ret_reason = reason;
    return PROXY_PROTOCOL_E_INVALID;
}

/* --- version 1 --- */

/* Takes the octets up to the next space, or the rest, off the line. */
static Span next_word(Span *line)
{
    const char *space = line->size > 0 ? memchr(line->data, ' ', line->size) : NULL;
    Span word = {line->data, space ? (size_t)(space - line->data) : line->size};

    *line = space ? (Span){space + 1, line->size - word.size - 1} : (Span){line->data + line->size, 0};
    return word;
}

/* inet_pton(3) takes no leading zeros in IPv4, no zone, and nothing around the address. */
static bool parse_address(Span word, int family, void *to)
{
    char text[INET6_ADDRSTRLEN];

    if (word.size >= sizeof(text) || memchr(word.data, '\0', word.size))
        return false;
    *(char *)mempcpy(text, word.data, word.size) = '\0';
    return inet_pton(family, text, to) == 1;
}

static bool parse_canonical_port(Span word, in_port_t *ret)
{
    uint16_t port;

    if ((word.size > 1 && word.data[0] == '0') || parse_port(word, &port) < 0)
        return false;
    *ret = htons(port);
    return true;
}

/* Where the address and the port of an end go. */
static void *address_of(struct sockaddr_storage *end)
{
    return end->ss_family == AF_INET ? (void *)&((struct sockaddr_in *)end)->sin_addr
                                     : (void *)&((struct sockaddr_in6 *)end)->sin6_addr;
}

static in_port_t *port_of(struct sockaddr_storage *end)
{
    return end->ss_family == AF_INET ? &((struct sockaddr_in *)end)->sin_port
                                     : &((struct sockaddr_in6 *)end)->sin6_port;
}

static void set_client(ProxyProtocol *p, sa_family_t family)
{
    p->origin = PROXY_PROTOCOL_CLIENT;
    p->source.ss_family = p->destination.ss_family = family;
}

/* line: what is behind "PROXY ", without the CRLF. */
static int decode_v1(Span line, ProxyProtocol *p, const char **ret_reason)
{
    Span protocol = next_word(&line), words[4];
    bool is_v4 = span_equal(protocol, SPAN_LITERAL("TCP4"));
    Span end = {line.data + line.size, 0};

    if (span_equal(protocol, SPAN_LITERAL("UNKNOWN"))) {
        p->origin = PROXY_PROTOCOL_UNKNOWN; /* and what follows is to be ignored */
        return 0;
    }
    if (!is_v4 && !span_equal(protocol, SPAN_LITERAL("TCP6")))
        return refuse(ret_reason, "unknown protocol and family");
    set_client(p, is_v4 ? AF_INET : AF_INET6);
    for (size_t i = 0; i < ELEMENTSOF(words); i++)
        words[i] = next_word(&line);
    if (words[3].data + words[3].size != end.data)
        return refuse(ret_reason, "more words than two addresses and two ports");
    if (!parse_address(words[0], p->source.ss_family, address_of(&p->source)) ||
        !parse_address(words[1], p->source.ss_family, address_of(&p->destination)))
        return refuse(ret_reason, "malformed address");
    if (!parse_canonical_port(words[2], port_of(&p->source)) ||
        !parse_canonical_port(words[3], port_of(&p->destination)))
        return refuse(ret_reason, "malformed port");
    return 0;
}

/* data begins with as much of "PROXY " as it has octets. */
static int parse_v1(const char *data, size_t size, ProxyProtocol *p, size_t *ret_size,
                    const char **ret_reason)
{
    size_t start = sizeof(v1_start) - 1, end = start;

    while (end < size && end < V1_MAX - 2 && data[end] != '\r' && data[end] != '\n')
        end++;
    if (end >= size)
        return HTTP_E_MORE;
    if (data[end] != '\r')
        return refuse(ret_reason, "no line of at most 107 octets with a CRLF");
    if (end + 1 == size)
        return HTTP_E_MORE;
    if (data[end + 1] != '\n')
        return refuse(ret_reason, "CR without LF");
    *ret_size = end + 2;
    return decode_v1((Span){data + start, end - start}, p, ret_reason);
}

/* --- version 2 --- */

static unsigned octet_at(const char *data, size_t i)
{
    return (uint8_t)data[i];
}

static size_t size_at(const char *data, size_t i)
{
    return octet_at(data, i) << 8 | octet_at(data, i + 1);
}

typedef struct Tlv {
    unsigned type;
    Span value;
} Tlv;

/* Takes the first one off, of which there is an octet at least. */
static bool tlv_next(Span *list, Tlv *ret)
{
    size_t size;

    if (list->size < 3)
        return false;
    size = size_at(list->data, 1);
    if (list->size - 3 < size)
        return false;
    *ret = (Tlv){octet_at(list->data, 0), {list->data + 3, size}};
    *list = (Span){list->data + 3 + size, list->size - 3 - size};
    return true;
}

/* RFC 9260 appendix A: the reflected polynomial of Castagnoli. */
static uint32_t crc32c_add(uint32_t crc, unsigned octet)
{
    crc ^= octet;
    for (unsigned bit = 0; bit < 8; bit++)
        crc = crc >> 1 ^ (crc & 1 ? UINT32_C(0x82f63b78) : 0);
    return crc;
}

/* §2.2.3: of the header, its sum taken as zeros. */
static bool crc32c_is_right(Span header, Span sum)
{
    uint32_t crc = UINT32_MAX, received;

    for (const char *p = header.data; p < header.data + header.size; p++)
        crc = crc32c_add(crc, p >= sum.data && p < sum.data + sum.size ? 0 : (uint8_t)*p);
    memcpy(&received, sum.data, sizeof(received));
    return ntohl(received) == ~crc;
}

/* §2.2.6 */
static bool read_ssl(Span value, ProxyProtocol *p)
{
    Span list;
    Tlv tlv;

    if (value.size < V2_SSL_HEADER_SIZE)
        return false;
    list = (Span){value.data + V2_SSL_HEADER_SIZE, value.size - V2_SSL_HEADER_SIZE};
    while (list.size > 0)
        if (!tlv_next(&list, &tlv))
            return false;
    p->https = octet_at(value.data, 0) & V2_CLIENT_SSL;
    return true;
}

/* list: what is behind the addresses. Types that have no effect here may stand in it as often as they like. */
static int read_tlvs(Span header, Span list, ProxyProtocol *p, const char **ret_reason)
{
    bool has_sum = false, has_ssl = false;
    Tlv tlv;

    while (list.size > 0) {
        if (!tlv_next(&list, &tlv))
            return refuse(ret_reason, "a value is longer than the header");
        if (tlv.type == V2_TYPE_CRC32C) {
            if (has_sum || tlv.value.size != sizeof(uint32_t))
                return refuse(ret_reason, "malformed checksum");
            if (!crc32c_is_right(header, tlv.value))
                return refuse(ret_reason, "wrong checksum");
            has_sum = true;
        } else if (tlv.type == V2_TYPE_SSL) {
            if (has_ssl || !read_ssl(tlv.value, p))
                return refuse(ret_reason, "malformed PP2_TYPE_SSL");
            has_ssl = true;
        }
    }
    return 0;
}

/* Octets of two addresses of the family, with ports. */
static size_t addresses_size(unsigned family)
{
    return family == V2_TCP4   ? 2 * (sizeof(struct in_addr) + sizeof(in_port_t))
           : family == V2_TCP6 ? 2 * (sizeof(struct in6_addr) + sizeof(in_port_t))
                               : V2_UNIX_SIZE;
}

static void read_addresses(unsigned family, const char *data, ProxyProtocol *p)
{
    size_t size = family == V2_TCP4 ? sizeof(struct in_addr) : sizeof(struct in6_addr);

    set_client(p, family == V2_TCP4 ? AF_INET : family == V2_TCP6 ? AF_INET6 : AF_UNIX);
    if (family == V2_UNIX_STREAM)
        return;
    memcpy(address_of(&p->source), data, size);
    memcpy(address_of(&p->destination), data + size, size);
    memcpy(port_of(&p->source), data + 2 * size, sizeof(in_port_t));
    memcpy(port_of(&p->destination), data + 2 * size + sizeof(in_port_t), sizeof(in_port_t));
}

static int decode_v2(Span header, ProxyProtocol *p, const char **ret_reason)
{
    unsigned family = octet_at(header.data, 13);
    Span block = {header.data + V2_HEADER_SIZE, header.size - V2_HEADER_SIZE};
    size_t size = addresses_size(family);

    if (octet_at(header.data, 12) == V2_COMMAND_LOCAL || family == V2_UNSPEC) {
        p->origin =
            octet_at(header.data, 12) == V2_COMMAND_LOCAL ? PROXY_PROTOCOL_LOCAL : PROXY_PROTOCOL_UNKNOWN;
        return 0; /* the block is to be ignored */
    }
    if (block.size < size)
        return refuse(ret_reason, "too short for two addresses");
    read_addresses(family, block.data, p);
    return read_tlvs(header, (Span){block.data + size, block.size - size}, p, ret_reason);
}

/* data begins with as much of the signature as it has octets. */
static int parse_v2(const char *data, size_t size, ProxyProtocol *p, size_t *ret_size,
                    const char **ret_reason)
{
    unsigned command = size > 12 ? octet_at(data, 12) : V2_COMMAND_LOCAL;
    unsigned family = size > 13 ? octet_at(data, 13) : V2_UNSPEC;
    size_t whole = V2_HEADER_SIZE;

    if (command != V2_COMMAND_LOCAL && command != V2_COMMAND_PROXY)
        return refuse(ret_reason, "neither version 2's LOCAL nor its PROXY");
    if (command == V2_COMMAND_PROXY && family != V2_UNSPEC && family != V2_TCP4 && family != V2_TCP6 &&
        family != V2_UNIX_STREAM)
        return refuse(ret_reason, "unknown address family, or no stream");
    if (size >= V2_HEADER_SIZE)
        whole += size_at(data, 14);
    if (whole > PROXY_PROTOCOL_MAX)
        return refuse(ret_reason, "longer than 4096 octets");
    if (size < whole || size < V2_HEADER_SIZE)
        return HTTP_E_MORE;
    *ret_size = whole;
    return decode_v2((Span){data, whole}, p, ret_reason);
}

int proxy_protocol_parse(const char *data, size_t size, ProxyProtocol *ret, size_t *ret_size,
                         const char **ret_reason)
{
    ProxyProtocol p = {.origin = PROXY_PROTOCOL_LOCAL};
    size_t header_size = 0;
    int r;

    if (size == 0)
        return HTTP_E_MORE;
    if (memcmp(data, v1_start, MIN(size, sizeof(v1_start) - 1)) == 0)
        r = parse_v1(data, size, &p, &header_size, ret_reason);
    else if (memcmp(data, v2_signature, MIN(size, sizeof(v2_signature) - 1)) == 0)
        r = parse_v2(data, size, &p, &header_size, ret_reason);
    else
        r = refuse(ret_reason, "something else");
    if (r == 0) {
        *ret = p;
        *ret_size = header_size;
    }
    return r;
}
