/* SPDX-License-Identifier: MIT */
/* Target: what a connection begins with where a PROXY protocol header is expected. However it is cut into
 * pieces, the verdict is the same, and it is that of a second reading of HAProxy's proxy-protocol.txt: whole
 * headers only, by tables. */
#include "http/proxy-protocol.h"
#include "base/cleanup.h"
#include "fuzz.h"

#include <arpa/inet.h>
#include <regex.h>

/* --- the second reading --- */

typedef struct Address {
    int family;
    uint8_t octets[16];
    unsigned port;
} Address;

typedef struct Strict {
    bool accepted, https;
    ProxyProtocolOrigin origin;
    size_t size;
    Address source, destination;
    const char *sum; /* the checksum, right or not */
} Strict;

static unsigned number_at(const char *data, size_t n_octets)
{
    unsigned n = 0;

    for (size_t i = 0; i < n_octets; i++)
        n = n << 8 | (uint8_t)data[i];
    return n;
}

static bool read_address(const char *text, const char *port, int family, Address *ret)
{
    ret->family = family;
    ret->port = (unsigned)strtoul(port, NULL, 10);
    return ret->port < 65536 && inet_pton(family, text, ret->octets) == 1;
}

/* line: NUL-terminated, with its CRLF. */
static bool match_v1(char *line, Strict *s)
{
    static const char form[] =
        "^PROXY TCP(4 [0-9.]{7,15} [0-9.]{7,15}|6 [0-9a-fA-F:.]{2,45} [0-9a-fA-F:.]{2,45})"
        " (0|[1-9][0-9]{0,4}) (0|[1-9][0-9]{0,4})\r\n$";
    static regex_t compiled;
    char *words[6];
    int family;

    if (!compiled.re_nsub)
        fuzz_check(regcomp(&compiled, form, REG_EXTENDED) == 0, "regcomp");
    if (regexec(&compiled, line, 0, NULL, 0) != 0)
        return false;
    for (size_t i = 0; i < ELEMENTSOF(words); i++)
        words[i] = strtok(i == 0 ? line : NULL, " \r\n");
    family = strcmp(words[1], "TCP4") == 0 ? AF_INET : AF_INET6;
    s->origin = PROXY_PROTOCOL_CLIENT;
    return read_address(words[2], words[4], family, &s->source) &&
           read_address(words[3], words[5], family, &s->destination);
}

static bool read_v1(Span octets, Strict *s)
{
    char line[108] = {0};

    while (s->size < octets.size && s->size < 107 && octets.data[s->size] != '\n')
        s->size++;
    if (s->size == octets.size || s->size == 107 || octets.data[s->size] != '\n')
        return false;
    memcpy(line, octets.data, ++s->size);
    if (memchr(line, '\r', s->size) != line + s->size - 2)
        return false;
    s->origin = PROXY_PROTOCOL_UNKNOWN;
    if (strncmp(line, "PROXY UNKNOWN ", 14) == 0 || strcmp(line, "PROXY UNKNOWN\r\n") == 0)
        return true;
    return strlen(line) == s->size && match_v1(line, s);
}

/* RFC 9260 appendix B: by a table, of the octets in front, four zeros, those behind. */
static uint32_t crc32c(const char *data, const char *sum, const char *end)
{
    uint32_t crc = ~UINT32_C(0), table[256];

    for (unsigned i = 0; i < 256; i++) {
        table[i] = i;
        for (unsigned bit = 0; bit < 8; bit++)
            table[i] = (table[i] >> 1) ^ (UINT32_C(0x82f63b78) & -(table[i] & 1));
    }
    for (; data < end; data++)
        crc = crc >> 8 ^ table[(crc ^ (data >= sum && data < sum + 4 ? 0 : (uint8_t)*data)) & 0xff];
    return ~crc;
}

static bool read_values(const char *data, const char *end, Strict *s, bool nested)
{
    unsigned n_sums = 0, n_ssl = 0;

    for (size_t size; data < end; data += 3 + size) {
        if (end - data < 3)
            return false;
        size = number_at(data + 1, 2);
        if (size > (size_t)(end - data - 3))
            return false;
        if (nested)
            continue;
        if (*data == 0x03) {
            if (size != 4)
                return false;
            n_sums++;
            s->sum = data + 3;
        } else if (*data == 0x20) {
            if (size < 5 || !read_values(data + 8, data + 3 + size, s, true))
                return false;
            n_ssl++;
            s->https = data[3] & 1;
        }
    }
    return n_sums <= 1 && n_ssl <= 1;
}

static bool read_v2(Span octets, Strict *s)
{
    static const struct {
        uint8_t command, family, address_size;
        ProxyProtocolOrigin origin;
        int address_family;
    } known[] = {
        {0x21, 0x00, 0, PROXY_PROTOCOL_UNKNOWN, AF_UNSPEC},
        {0x21, 0x11, 4, PROXY_PROTOCOL_CLIENT, AF_INET},
        {0x21, 0x21, 16, PROXY_PROTOCOL_CLIENT, AF_INET6},
        {0x21, 0x31, 108, PROXY_PROTOCOL_CLIENT, AF_UNIX},
    };
    const char *data = octets.data, *block = data + 16, *end;
    size_t kind = 0, n;

    if (octets.size < 16)
        return false;
    s->size = 16 + number_at(data + 14, 2);
    end = data + s->size;
    if (s->size > PROXY_PROTOCOL_MAX || s->size > octets.size)
        return false;
    s->origin = PROXY_PROTOCOL_LOCAL;
    if (data[12] == 0x20)
        return true;
    while (kind < ELEMENTSOF(known) &&
           (known[kind].command != (uint8_t)data[12] || known[kind].family != (uint8_t)data[13]))
        kind++;
    if (kind == ELEMENTSOF(known))
        return false;
    s->origin = known[kind].origin;
    if (s->origin == PROXY_PROTOCOL_UNKNOWN)
        return true;
    n = known[kind].address_size;
    s->source.family = s->destination.family = known[kind].address_family;
    if ((size_t)(end - block) < (n == 108 ? 2 * n : 2 * (n + 2)))
        return false;
    if (n < 108) {
        memcpy(s->source.octets, block, n);
        memcpy(s->destination.octets, block + n, n);
        s->source.port = number_at(block + 2 * n, 2);
        s->destination.port = number_at(block + 2 * n + 2, 2);
    }
    return read_values(block + (n == 108 ? 2 * n : 2 * (n + 2)), end, s, false) &&
           (!s->sum || crc32c(data, s->sum, end) == number_at(s->sum, 4));
}

static Strict strict_read(Span octets)
{
    static const Span v1 = SPAN_LITERAL("PROXY "), v2 = SPAN_LITERAL("\r\n\r\n\0\r\nQUIT\n");
    Strict s = {0};

    if (octets.size >= v1.size && memcmp(octets.data, v1.data, v1.size) == 0)
        s.accepted = read_v1(octets, &s);
    else if (octets.size >= v2.size && memcmp(octets.data, v2.data, v2.size) == 0)
        s.accepted = read_v2(octets, &s);
    return s;
}

/* --- the first --- */

typedef struct Verdict {
    int status;
    size_t size;
    const char *reason;
    ProxyProtocol header;
} Verdict;

static Verdict parse(Span octets)
{
    _cleanup_free_ char *copy = fuzz_copy(octets.data, octets.size);
    Verdict v = {0}, before;

    memset(&v.header, 0x5a, sizeof(v.header));
    before = v;
    v.status = proxy_protocol_parse(copy, octets.size, &v.header, &v.size, &v.reason);
    fuzz_check(v.status == 0 || (v.size == 0 && memcmp(&v.header, &before.header, sizeof(v.header)) == 0),
               "something is returned with %d", v.status);
    fuzz_check((v.reason != NULL) == (v.status == PROXY_PROTOCOL_E_INVALID), "%d, \"%s\"", v.status,
               v.reason);
    fuzz_check(v.status != HTTP_E_MORE || octets.size < PROXY_PROTOCOL_MAX, "%zu octets wait", octets.size);
    return v;
}

/* The first octets that decide it say what all of them do. */
static Verdict parse_in_pieces(Span octets)
{
    Verdict whole = parse(octets), v = {.status = HTTP_E_MORE};
    size_t n = 0;

    while (v.status == HTTP_E_MORE && n < octets.size)
        v = parse((Span){octets.data, ++n});
    fuzz_check(v.status == whole.status && v.size == whole.size && v.reason == whole.reason,
               "%d of %zu octets, %d of all", v.status, n, whole.status);
    fuzz_check(v.status != 0 || v.size == n, "%zu octets, known at %zu", v.size, n);
    return whole;
}

static void check_end(const struct sockaddr_storage *got, const Address *expected)
{
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)got;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)got;

    fuzz_check(got->ss_family == expected->family, "family %d, expected %d", got->ss_family,
               expected->family);
    if (got->ss_family == AF_INET)
        fuzz_check(memcmp(&v4->sin_addr, expected->octets, 4) == 0 && ntohs(v4->sin_port) == expected->port,
                   "another address");
    if (got->ss_family == AF_INET6)
        fuzz_check(memcmp(&v6->sin6_addr, expected->octets, 16) == 0 &&
                       ntohs(v6->sin6_port) == expected->port && v6->sin6_scope_id == 0,
                   "another address");
}

static Strict run(Span octets)
{
    Verdict v = parse_in_pieces(octets);
    Strict s = strict_read(octets);

    fuzz_check((v.status == 0) == s.accepted, "%d (%s), second reading: %d", v.status,
               v.reason ? v.reason : "", s.accepted);
    if (v.status == 0) {
        fuzz_check(v.size == s.size, "%zu octets, expected %zu", v.size, s.size);
        fuzz_check(v.header.origin == s.origin, "%d, expected %d", (int)v.header.origin, (int)s.origin);
        fuzz_check(v.header.https == s.https, "https %d", v.header.https);
        check_end(&v.header.source, &s.source);
        check_end(&v.header.destination, &s.destination);
    }
    return s;
}

/* Behind a wrong checksum nothing can be found: with the right one as well. */
static void run_with_sum(Span octets, const Strict *s)
{
    _cleanup_free_ char *copy = fuzz_copy(octets.data, octets.size);
    uint32_t sum = htonl(crc32c(octets.data, s->sum, octets.data + s->size));

    memcpy(copy + (s->sum - octets.data), &sum, sizeof(sum));
    (void)run((Span){copy, octets.size});
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Span octets = {(const char *)data, size};
    Strict s;

    if (size == 0)
        return 0;
    s = run(octets);
    if (s.sum)
        run_with_sum(octets, &s);
    return 0;
}
