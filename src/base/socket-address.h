/* SPDX-License-Identifier: MIT */
/* Addresses of listening sockets: from the words of socket.listen, and in messages. Makes no socket. */
#pragma once

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

/* How a socket is called in messages: "http://127.0.0.1:8000", "unix:/run/x.sock". The result is `to`. */
#define SOCKET_NAME_MAX 128
char *socket_describe(int fd, char to[static SOCKET_NAME_MAX]);
