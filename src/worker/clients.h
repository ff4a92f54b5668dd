/* SPDX-License-Identifier: MIT */
/* How many connections each client address has to this worker: nobody takes them all. An IPv6 client is its
 * /64, which is what one customer is given (RFC 6177). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define CLIENTS_E_FULL 1 /* the client has the most connections that it may */

typedef struct Client {
    struct Client *next; /* in its bucket */
    uint8_t key[16];
    unsigned n_connections;
    bool is_noted; /* a record says that it wanted too many; until it has none */
} Client;

typedef struct Clients {
    Client **buckets;
    size_t n_buckets; /* a power of 2, or 0 */
    size_t n;
    unsigned max; /* connections of one client */
} Clients;

void clients_init(Clients *c, unsigned max);
void clients_deinit(Clients *c);

/* One connection more of that address (AF_INET, AF_INET6). 0 with *ret, to be given to clients_leave() when
 * the connection ends; CLIENTS_E_FULL with *ret, which is not to be given back, unless the caller counts it
 * by itself; -ENOMEM. */
int clients_enter(Clients *c, const struct sockaddr_storage *address, Client **ret);
void clients_leave(Clients *c, Client *client);
