/* SPDX-License-Identifier: MIT */
/* Addresses of listening sockets: from the words of socket.listen, and in messages. Makes no socket. */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>

typedef union SocketAddress {
    struct sockaddr any;
    struct sockaddr_storage storage;
} SocketAddress;

/* An item of socket.listen: "8000" (all addresses, as in systemd.socket(5)), "127.0.0.1:8000", "[::1]:8000",
 * "/path". 0, or -EINVAL. */
int socket_address_parse(const char *s, SocketAddress *ret, socklen_t *ret_size);

/* Whether s, such an item, names the socket with address a (AF_INET, AF_INET6, AF_UNIX). A port alone names
 * every socket of that port. */
bool socket_address_matches(const SocketAddress *a, const char *s);

/* Address and port of AF_INET or AF_INET6 as text; "" and "" of any other family. An IPv4 address that is
 * mapped into IPv6 reads like one of IPv4. */
#define SOCKET_PORT_MAX sizeof("65535")
void socket_address_print(const struct sockaddr_storage *a, char to[static INET6_ADDRSTRLEN],
                          char port[static SOCKET_PORT_MAX]);

/* How a socket is called in messages: "http://127.0.0.1:8000", "unix:/run/x.sock". The result is `to`. */
#define SOCKET_NAME_MAX 128
char *socket_describe(int fd, char to[static SOCKET_NAME_MAX]);
