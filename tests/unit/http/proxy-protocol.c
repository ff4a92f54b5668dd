/* SPDX-License-Identifier: MIT */
#include "http/proxy-protocol.h"

#include "base/cleanup.h"
#include "base/span.h"
#include "tap.h"

#include <arpa/inet.h>
#include <regex.h>
#include <stdlib.h>

#define TEXT_MAX 160

#define V2 "\r\n\r\n\0\r\nQUIT\n"
#define TCP4 V2 "\x21\x11"
#define TCP6 V2 "\x21\x21"
#define ENDS4                          \
    "\xc0\x00\x02\x07\xc6\x33\x64\x01" \
    "\xdc\x04\x01\xbb"
#define ENDS4_TEXT "192.0.2.7 56324 > 198.51.100.1 443"
#define ENDS6                                                          \
    "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x07" \
    "\x20\x01\x0d\xb8\xff\xff\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01" \
    "\xdc\x04\x01\xbb"
#define OCTETS_12 "............"
#define OCTETS_108 OCTETS_12 OCTETS_12 OCTETS_12 OCTETS_12 OCTETS_12 OCTETS_12 OCTETS_12 OCTETS_12 OCTETS_12

/* input, and what it is read as: see describe() */
static const struct {
    Span input;
    const char *expected;
} cases[] = {
#define CASE(input, expected)         \
    {                                 \
        SPAN_LITERAL(input), expected \
    }
    /* version 1 */
    CASE("PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n", "client " ENDS4_TEXT),
    CASE("PROXY TCP4 0.0.0.0 255.255.255.255 0 65535\r\n", "client 0.0.0.0 0 > 255.255.255.255 65535"),
    CASE("PROXY TCP6 2001:db8::7 ::1 1 2\r\n", "client 2001:db8::7 1 > ::1 2"),
    CASE("PROXY TCP6 2001:DB8:0:0:0:0:0:7 2001:0db8:0000:0000:0000:0000:0000:0007 1 2\r\n",
         "client 2001:db8::7 1 > 2001:db8::7 2"),
    CASE("PROXY TCP6 ::ffff:192.0.2.7 ::ffff:198.51.100.1 1 2\r\n",
         "client ::ffff:192.0.2.7 1 > ::ffff:198.51.100.1 2"),
    CASE("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
         "65535 65535\r\n",
         "client ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 > ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
         "65535"),
    CASE("PROXY UNKNOWN\r\n", "unknown"),
    CASE("PROXY UNKNOWN \r\n", "unknown"),
    CASE("PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
         "65535 65535\r\n",
         "unknown"),
    CASE("PROXY UNKNOWN \x01 \xff whatever it may be\r\n", "unknown"),
    CASE("PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
         "65535 655355\r\n",
         "! no line of at most 107 octets with a CRLF"),
    CASE("PROXY UNKNOWN\n", "! no line of at most 107 octets with a CRLF"),
    CASE("PROXY UNKNOWN a\nb\r\n", "! no line of at most 107 octets with a CRLF"),
    CASE("PROXY UNKNOWN\r\r\n", "! CR without LF"),
    CASE("PROXY UNKNOWN a\rb\r\n", "! CR without LF"),
    CASE("PROXY UNKNOWNS\r\n", "! unknown protocol and family"),
    CASE("PROXY unknown\r\n", "! unknown protocol and family"),
    CASE("PROXY \r\n", "! unknown protocol and family"),
    CASE("PROXY  TCP4 192.0.2.7 198.51.100.1 1 2\r\n", "! unknown protocol and family"),
    CASE("PROXY UDP4 192.0.2.7 198.51.100.1 1 2\r\n", "! unknown protocol and family"),
    CASE("PROXY TCP4\r\n", "! malformed address"),
    CASE("PROXY TCP4 192.0.2.7\r\n", "! malformed address"),
    CASE("PROXY TCP4 192.0.2.7 198.51.100.1\r\n", "! malformed port"),
    CASE("PROXY TCP4 192.0.2.7 198.51.100.1 1\r\n", "! malformed port"),
    CASE("PROXY TCP4 192.0.2.7 198.51.100.1 1 \r\n", "! malformed port"),
    CASE("PROXY TCP4 192.0.2.7 198.51.100.1 1 2 \r\n", "! more words than two addresses and two ports"),
    CASE("PROXY TCP4 192.0.2.7 198.51.100.1 1 2 3\r\n", "! more words than two addresses and two ports"),
    CASE("PROXY TCP4  192.0.2.7 198.51.100.1 1 2\r\n", "! more words than two addresses and two ports"),
    CASE("PROXY TCP4\t192.0.2.7 198.51.100.1 1 2\r\n", "! unknown protocol and family"),
    CASE("PROXY TCP4 192.0.2.7\t198.51.100.1 1 2\r\n", "! malformed address"),
    CASE("PROXY TCP4 192.0.2.07 198.51.100.1 1 2\r\n", "! malformed address"),
    CASE("PROXY TCP4 192.0.2.256 198.51.100.1 1 2\r\n", "! malformed address"),
    CASE("PROXY TCP4 192.0.2 198.51.100.1 1 2\r\n", "! malformed address"),
    CASE("PROXY TCP4 192.0.2.7\0 198.51.100.1 1 2\r\n", "! malformed address"),
    CASE("PROXY TCP4 192.0.2.7 2001:db8::1 1 2\r\n", "! malformed address"),
    CASE("PROXY TCP6 2001:db8::7 198.51.100.1 1 2\r\n", "! malformed address"),
    CASE("PROXY TCP6 2001:db8::7 fe80::1%eth0 1 2\r\n", "! malformed address"),
    CASE("PROXY TCP6 2001:db8::7::1 ::1 1 2\r\n", "! malformed address"),
    CASE("PROXY TCP6 [2001:db8::7] [::1] 1 2\r\n", "! malformed address"),
    CASE("PROXY TCP6 2001:db8:: 00000000000000000000000000000000000000000000000001 1 2\r\n",
         "! malformed address"),
    CASE("PROXY TCP4 192.0.2.7 198.51.100.1 65536 2\r\n", "! malformed port"),
    CASE("PROXY TCP4 192.0.2.7 198.51.100.1 00 2\r\n", "! malformed port"),
    CASE("PROXY TCP4 192.0.2.7 198.51.100.1 080 2\r\n", "! malformed port"),
    CASE("PROXY TCP4 192.0.2.7 198.51.100.1 +1 2\r\n", "! malformed port"),
    CASE("PROXY TCP4 192.0.2.7 198.51.100.1 1 100000\r\n", "! malformed port"),
    CASE("PROXY TCP4 192.0.2.7 198.51.100.1 1 0x50\r\n", "! malformed port"),
    /* neither */
    CASE("GET / HTTP/1.1\r\n", "! something else"),
    CASE("proxy TCP4 192.0.2.7 198.51.100.1 1 2\r\n", "! something else"),
    CASE(" PROXY UNKNOWN\r\n", "! something else"),
    CASE("\r\nPROXY UNKNOWN\r\n", "! something else"),
    CASE("PROXY\tUNKNOWN\r\n", "! something else"),
    CASE("PROPFIND / HTTP/1.1\r\n", "! something else"),
    CASE("\x16\x03\x01\x02", "! something else"),
    CASE("\r\n\r\n\r\n", "! something else"),
    CASE("\r\n\r\n\0\r\nQUIT\r", "! something else"),
    /* version 2 */
    CASE(TCP4 "\0\x0c" ENDS4, "client " ENDS4_TEXT),
    CASE(TCP6 "\0\x24" ENDS6, "client 2001:db8::7 56324 > 2001:db8:ffff::1 443"),
    CASE(V2 "\x21\x31\0\xd8" OCTETS_108 OCTETS_108, "client unix"),
    CASE(V2 "\x20\0\0\0", "local"),
    CASE(V2 "\x20\x11\0\x0c" ENDS4, "local"),
    CASE(V2 "\x20\xff\0\x03...", "local"),
    CASE(V2 "\x21\0\0\0", "unknown"),
    CASE(V2 "\x21\0\0\x0c" OCTETS_12, "unknown"),
    CASE(V2 "\x11\x11\0\x0c" ENDS4, "! neither version 2's LOCAL nor its PROXY"),
    CASE(V2 "\x31\x11\0\x0c" ENDS4, "! neither version 2's LOCAL nor its PROXY"),
    CASE(V2 "\x22\x11\0\x0c" ENDS4, "! neither version 2's LOCAL nor its PROXY"),
    CASE(V2 "\x21\x12\0\x0c" ENDS4, "! unknown address family, or no stream"),
    CASE(V2 "\x21\x10\0\x0c" ENDS4, "! unknown address family, or no stream"),
    CASE(V2 "\x21\x01\0\x0c" ENDS4, "! unknown address family, or no stream"),
    CASE(V2 "\x21\x32\0\xd8" OCTETS_108 OCTETS_108, "! unknown address family, or no stream"),
    CASE(V2 "\x21\x41\0\x0c" ENDS4, "! unknown address family, or no stream"),
    CASE(TCP4 "\0\x0b\xc0\x00\x02\x07\xc6\x33\x64\x01\xdc\x04\x01", "! too short for two addresses"),
    CASE(TCP4 "\0\0", "! too short for two addresses"),
    CASE(TCP6 "\0\x0c" ENDS4, "! too short for two addresses"),
    CASE(V2 "\x21\x31\0\x0c" OCTETS_12, "! too short for two addresses"),
    CASE(TCP4 "\x0f\xf1", "! longer than 4096 octets"),
    CASE(V2 "\x20\0\xff\xff", "! longer than 4096 octets"),
    /* values */
    CASE(TCP4 "\0\x12" ENDS4 "\x04\0\0\x04\0\0", "client " ENDS4_TEXT),
    CASE(TCP4 "\0\x14" ENDS4 "\xe0\0\x02..\x04\0\0", "client " ENDS4_TEXT),
    CASE(TCP4 "\0\x0d" ENDS4 "\x04", "! a value is longer than the header"),
    CASE(TCP4 "\0\x0e" ENDS4 "\x04\0", "! a value is longer than the header"),
    CASE(TCP4 "\0\x0f" ENDS4 "\x04\0\x01", "! a value is longer than the header"),
    CASE(TCP4 "\0\x11" ENDS4 "\x04\0\x01.\x04", "! a value is longer than the header"),
    CASE(TCP4 "\0\x10" ENDS4 "\x04\xff\xff.", "! a value is longer than the header"),
    /* the checksum was calculated by another implementation, which gives RFC 3720's check value e3069283 */
    CASE(TCP4 "\0\x13" ENDS4 "\x03\0\x04\x54\x8e\x28\xff", "client " ENDS4_TEXT),
    CASE(TCP4 "\0\x13" ENDS4 "\x03\0\x04\x54\x8e\x28\xfe", "! wrong checksum"),
    CASE(TCP4 "\0\x13" ENDS4 "\x03\0\x04\0\0\0\0", "! wrong checksum"),
    CASE(TCP4 "\0\x12" ENDS4 "\x03\0\x03\x54\x8e\x28", "! malformed checksum"),
    CASE(TCP4 "\0\x14" ENDS4 "\x03\0\x05\x54\x8e\x28\xff.", "! malformed checksum"),
    /* TLS */
    CASE(TCP4 "\0\x14" ENDS4 "\x20\0\x05\x01\0\0\0\0", "client " ENDS4_TEXT " https"),
    CASE(TCP4 "\0\x14" ENDS4 "\x20\0\x05\x07\0\0\0\x01", "client " ENDS4_TEXT " https"),
    CASE(TCP4 "\0\x1e" ENDS4 "\x20\0\x0f\x01\0\0\0\0\x21\0\x07TLSv1.3", "client " ENDS4_TEXT " https"),
    CASE(V2 "\x21\x31\0\xe0" OCTETS_108 OCTETS_108 "\x20\0\x05\x01\0\0\0\0", "client unix https"),
    CASE(TCP4 "\0\x14" ENDS4 "\x20\0\x05\x06\0\0\0\0", "client " ENDS4_TEXT),
    CASE(TCP4 "\0\x13" ENDS4 "\x20\0\x04\x01\0\0\0", "! malformed PP2_TYPE_SSL"),
    CASE(TCP4 "\0\x0f" ENDS4 "\x20\0\0", "! malformed PP2_TYPE_SSL"),
    CASE(TCP4 "\0\x15" ENDS4 "\x20\0\x06\x01\0\0\0\0\x21", "! malformed PP2_TYPE_SSL"),
    CASE(TCP4 "\0\x1e" ENDS4 "\x20\0\x0f\x01\0\0\0\0\x21\0\x08TLSv1.3", "! malformed PP2_TYPE_SSL"),
    CASE(TCP4 "\0\x1c" ENDS4 "\x20\0\x05\x01\0\0\0\0\x20\0\x05\0\0\0\0\0", "! malformed PP2_TYPE_SSL"),
    CASE(V2 "\x21\0\0\x08\x20\0\x05\x01\0\0\0\0", "unknown"),
    CASE(V2 "\x20\0\0\x08\x20\0\x05\x01\0\0\0\0", "local"),
#undef CASE
};

static size_t print_end(char *to, const struct sockaddr_storage *end)
{
    char address[INET6_ADDRSTRLEN];
    const struct sockaddr_in *in = (const struct sockaddr_in *)end;
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)end;

    if (end->ss_family == AF_INET)
        return (size_t)sprintf(to, " %s %u", inet_ntop(AF_INET, &in->sin_addr, address, sizeof(address)),
                               ntohs(in->sin_port));
    return (size_t)sprintf(to, " %s %u", inet_ntop(AF_INET6, &in6->sin6_addr, address, sizeof(address)),
                           ntohs(in6->sin6_port));
}

/* "more", "! REASON", "local", "unknown", "client unix" or "client ADDRESS PORT > ADDRESS PORT", the last two with
 * " https" or not. */
static void describe(Span input, char to[static TEXT_MAX], size_t *ret_size)
{
    static const char *const origins[] = {"local", "unknown", "client"};
    const char *reason = NULL;
    ProxyProtocol p;
    size_t n;
    int r = proxy_protocol_parse(input.data, input.size, &p, ret_size, &reason);

    if (r != 0) {
        sprintf(to, "%s%s", r == HTTP_E_MORE ? "more" : "! ", r == HTTP_E_MORE ? "" : reason);
        return;
    }
    n = (size_t)sprintf(to, "%s", origins[p.origin]);
    if (p.source.ss_family == AF_UNIX) {
        n += (size_t)sprintf(to + n, " unix");
    } else if (p.origin == PROXY_PROTOCOL_CLIENT) {
        n += print_end(to + n, &p.source);
        n += (size_t)sprintf(to + n, " >");
        n += print_end(to + n, &p.destination);
    }
    strcpy(to + n, p.https ? " https" : "");
}

/* Exactly as many octets as there are, so that AddressSanitizer sees a read behind them. */
static void describe_copy(Span input, char to[static TEXT_MAX], size_t *ret_size)
{
    _cleanup_free_ char *copy = malloc(input.size);

    memcpy(copy, input.data, input.size);
    describe((Span){copy, input.size}, to, ret_size);
}

/* Of all beginnings: "more" up to the first that decides, then always the same. */
static bool is_decided_once(Span input, char verdict[static TEXT_MAX])
{
    char text[TEXT_MAX];
    size_t size;

    strcpy(verdict, "more");
    for (size_t n = 1; n <= input.size; n++) {
        describe_copy((Span){input.data, n}, text, &size);
        if (strcmp(verdict, "more") != 0 && strcmp(verdict, text) != 0)
            return false;
        strcpy(verdict, text);
    }
    return true;
}

static void test_cases(void)
{
    char text[TEXT_MAX], longer[512];
    size_t size = 0;

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        Span input = cases[i].input;
        bool is_valid = cases[i].expected[0] != '!';

        describe_copy(input, text, &size);
        tap_report(strcmp(text, cases[i].expected) == 0 && (!is_valid || size == input.size),
                   "case %zu is '%s', %zu octets: '%s'", i, cases[i].expected, size, text);
        tap_report(is_decided_once(input, text) && strcmp(text, cases[i].expected) == 0,
                   "case %zu in any pieces: '%s'", i, text);
        if (is_valid) {
            describe_copy((Span){input.data, input.size - 1}, text, &size);
            tap_report(strcmp(text, "more") == 0, "case %zu without its last octet: '%s'", i, text);
        }
        memcpy(mempcpy(longer, input.data, input.size), "GET / ", 6);
        describe((Span){longer, input.size + 6}, text, &size);
        tap_report(strcmp(text, cases[i].expected) == 0 && (!is_valid || size == input.size),
                   "case %zu with a request behind it: '%s'", i, text);
    }
}

/* The longest header, and that nothing longer is waited for. */
static void test_bounds(void)
{
    char data[PROXY_PROTOCOL_MAX + 1] = V2 "\x20\0\x0f\xf0", text[TEXT_MAX];
    size_t size = 0;

    describe((Span){data, PROXY_PROTOCOL_MAX - 1}, text, &size);
    is_string(text, "more");
    describe((Span){data, PROXY_PROTOCOL_MAX}, text, &size);
    is_string(text, "local");
    is_int(size, PROXY_PROTOCOL_MAX);
    data[15] = '\xf1';
    describe((Span){data, sizeof(data)}, text, &size);
    is_string(text, "! longer than 4096 octets");
}

#define ERE_OCTET "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
#define ERE_V4 " " ERE_OCTET "[.]" ERE_OCTET "[.]" ERE_OCTET "[.]" ERE_OCTET
#define ERE_PORT " (0|[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"

/* Each octet made each other octet: the line is read if the expression, which is §2.1's text, matches. */
static void test_v1_mutations(void)
{
    char line[] = "PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n", verdict[TEXT_MAX];
    unsigned n_wrong = 0, n_valid = 0;
    regex_t expression;

    if (!ok(regcomp(&expression, "^PROXY TCP4" ERE_V4 ERE_V4 ERE_PORT ERE_PORT "\r\n$",
                    REG_EXTENDED | REG_NOSUB) == 0))
        return;
    for (size_t i = 0; i < sizeof(line) - 1; i++) {
        char former = line[i];

        for (unsigned octet = 0; octet < 256; octet++) {
            line[i] = (char)octet;
            bool is_valid = strlen(line) == sizeof(line) - 1 && regexec(&expression, line, 0, NULL, 0) == 0;
            bool is_once = is_decided_once((Span){line, sizeof(line) - 1}, verdict);

            n_valid += is_valid;
            n_wrong += !is_once || (strncmp(verdict, "client ", 7) == 0) != is_valid;
        }
        line[i] = former;
    }
    is_int(n_wrong, 0);
    ok(n_valid > 100, "%u are valid", n_valid);
    regfree(&expression);
}

/* A checksum finds every octet that changed, unless the change is that there is none any more: another type, or a
 * length that ends in front of it. */
static void test_v2_mutations(void)
{
    char header[] = TCP4 "\0\x1b" ENDS4 "\x03\0\x04\xc7\x2f\xd3\xbf\x20\0\x05\x01\0\0\0\0", verdict[TEXT_MAX];
    unsigned n_wrong = 0, n_once = 0, n_mutations = 0;

    for (size_t i = 0; i < sizeof(header) - 1; i++) {
        char former = header[i];

        for (unsigned octet = 0; octet < 256; octet++) {
            bool has_sum = i != 28 && !(i == 15 && octet == 12);

            header[i] = (char)octet;
            n_mutations++;
            n_once += is_decided_once((Span){header, sizeof(header) - 1}, verdict);
            n_wrong += has_sum && (strncmp(verdict, "client", 6) == 0) != (header[i] == former);
        }
        header[i] = former;
    }
    is_int(n_wrong, 0);
    is_int(n_once, n_mutations);
}

int main(void)
{
    test_cases();
    test_bounds();
    test_v1_mutations();
    test_v2_mutations();
    return tap_done();
}
