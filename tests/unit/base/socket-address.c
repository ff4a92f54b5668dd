/* SPDX-License-Identifier: MIT */
#include "base/socket-address.h"

#include "base/cleanup.h"
#include "tap.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <sys/un.h>

/* The address as inet_ntop() and unix(7) have it, "" where it is refused. */
static const char *parsed(const char *text, char to[static 128])
{
    SocketAddress a;
    socklen_t size;
    char host[INET6_ADDRSTRLEN], port[SOCKET_PORT_MAX];
    int r = socket_address_parse(text, &a, &size);

    to[0] = '\0';
    if (r < 0)
        return to;
    socket_address_print(&a.storage, host, port);
    if (a.any.sa_family == AF_UNIX && !host[0] && !port[0])
        (void)snprintf(to, 128, "%s", ((const struct sockaddr_un *)&a.storage)->sun_path);
    else if (size == (a.any.sa_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6)))
        (void)snprintf(to, 128, "%s %s", host, port);
    return to;
}

static void test_print(void)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    char host[INET6_ADDRSTRLEN], port[SOCKET_PORT_MAX], expected[INET6_ADDRSTRLEN + SOCKET_PORT_MAX];
    char printed[sizeof expected];
    int n_right = 0;

    for (unsigned i = 0; i <= UINT16_MAX; i++) {
        in.sin_port = htons((uint16_t)i);
        in.sin_addr.s_addr = htonl(i << 24 | (255 - (i & 255)) << 16 | i);
        socket_address_print((const struct sockaddr_storage *)&in, host, port);
        (void)snprintf(printed, sizeof printed, "%s %s", host, port);
        inet_ntop(AF_INET, &in.sin_addr, host, sizeof host);
        (void)snprintf(expected, sizeof expected, "%s %u", host, i);
        n_right += strcmp(printed, expected) == 0;
    }
    is_int(n_right, UINT16_MAX + 1);
}

static void test_addresses(void)
{
    static const char *const cases[][2] = {
        {"8000", ":: 8000"},
        {"0", ":: 0"},
        {"65535", ":: 65535"},
        {"127.0.0.1:80", "127.0.0.1 80"},
        {"0.0.0.0:8000", "0.0.0.0 8000"},
        {"[::1]:8000", "::1 8000"},
        {"[::]:1", ":: 1"},
        {"[::ffff:192.0.2.7]:1", "192.0.2.7 1"},
        {"/run/x.sock", "/run/x.sock"},
        {"65536", ""},
        {"", ""},
        {":8000", ""},
        {"127.0.0.1", ""},
        {"127.0.0.1:", ""},
        {"127.0.0.1:-1", ""},
        {"127.0.0.1:8000x", ""},
        {"::1:8000", ""},
        {"[::1]8000", ""},
        {"[]:8000", ""},
        {"[127.0.0.1]:8000", ""},
        {"localhost:8000", ""},
        {"1.2.3:8000", ""},
        {"relative.sock", ""},
    };
    char to[128], path[256];

    for (size_t i = 0; i < ELEMENTSOF(cases); i++)
        is_string(parsed(cases[i][0], to), cases[i][1]);
    memset(path, 'a', sizeof(path));
    path[0] = '/';
    path[107] = '\0';
    is_string(parsed(path, to), path);
    path[107] = 'a';
    path[108] = '\0';
    is_string(parsed(path, to), "");
}

static void test_matches(void)
{
    static const struct {
        const char *address, *word;
        bool matches;
    } cases[] = {
        {"127.0.0.1:8000", "127.0.0.1:8000", true},
        {"127.0.0.1:8000", "8000", true},
        {"[::]:8000", "8000", true},
        {"8000", "[::]:8000", true},
        {"8000", "[0:0:0:0:0:0:0:0]:8000", true},
        {"8000", "0.0.0.0:8000", false},
        {"[2001:db8::1]:8000", "[2001:DB8:0::1]:8000", true},
        {"[2001:db8::1]:8000", "[2001:db8::2]:8000", false},
        {"127.0.0.1:8000", "127.0.0.2:8000", false},
        {"127.0.0.1:8000", "127.0.0.1:8001", false},
        {"127.0.0.1:8000", "8001", false},
        {"127.0.0.1:8000", "[::1]:8000", false},
        {"127.0.0.1:8000", "/run/x.sock", false},
        {"/run/x.sock", "8000", false},
        {"/run/x.sock", "/run/x.sock", true},
        {"/run/x.sock", "/run/x.soc", false},
        {"/run/x.soc", "/run/x.sock", false},
        {"127.0.0.1:8000", "all", false},
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        SocketAddress a;
        socklen_t size;

        is_int(socket_address_parse(cases[i].address, &a, &size), 0);
        tap_report(socket_address_matches(&a, cases[i].word) == cases[i].matches, "%s %s %s", cases[i].word,
                   cases[i].matches ? "names" : "does not name", cases[i].address);
    }
}

int main(void)
{
    test_print();
    test_addresses();
    test_matches();
    return tap_done();
}
