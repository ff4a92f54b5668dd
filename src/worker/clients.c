/* SPDX-License-Identifier: MIT */
/* Connections of each client address: a hash table with chains. */
#include "worker/clients.h"

#include "base/cleanup.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/random.h>

#define BUCKETS_FIRST 64

void clients_init(Clients *c, unsigned max)
{
    *c = (Clients){.max = max};
}

void clients_deinit(Clients *c)
{
    for (size_t i = 0; i < c->n_buckets; i++)
        while (c->buckets[i]) {
            Client *client = c->buckets[i];
            c->buckets[i] = client->next;
            free(client);
        }
    free(c->buckets);
    clients_init(c, c->max);
}

static void make_key(const struct sockaddr_storage *a, uint8_t key[static 16])
{
    const struct in6_addr *in6 = &((const struct sockaddr_in6 *)a)->sin6_addr;

    memset(key, 0, 16);
    if (a->ss_family == AF_INET) {
        key[10] = key[11] = 0xff; /* as it is mapped in IPv6, RFC 4291 §2.5.5.2 */
        memcpy(key + 12, &((const struct sockaddr_in *)a)->sin_addr, 4);
    } else {
        memcpy(key, in6, IN6_IS_ADDR_V4MAPPED(in6) ? 16 : 8);
    }
}

/* Seeded for each process, so that nobody can choose addresses that all fall into one bucket. */
static size_t hash(const uint8_t key[static 16])
{
    static uint64_t seed;
    uint64_t a, b;

    if (seed == 0 && getrandom(&seed, sizeof seed, GRND_NONBLOCK) != sizeof seed)
        seed = (uintptr_t)&seed;
    memcpy(&a, key, 8);
    memcpy(&b, key + 8, 8);
    a = (a ^ seed) * UINT64_C(0x9e3779b97f4a7c15);
    a = (a ^ a >> 32 ^ b) * UINT64_C(0xd6e8feb86659fd93);
    return (size_t)(a ^ a >> 32);
}

static int grow(Clients *c)
{
    size_t n = c->n_buckets ? c->n_buckets * 2 : BUCKETS_FIRST;
    Client **buckets = calloc(n, sizeof(Client *));

    if (!buckets)
        return -ENOMEM;
    for (size_t i = 0; i < c->n_buckets; i++)
        for (Client *client = c->buckets[i], *next; client; client = next) {
            Client **bucket = &buckets[hash(client->key) & (n - 1)];
            next = client->next;
            client->next = *bucket;
            *bucket = client;
        }
    free(c->buckets);
    c->buckets = buckets;
    c->n_buckets = n;
    return 0;
}

static Client *find(const Clients *c, const uint8_t key[static 16])
{
    Client *client = c->n_buckets ? c->buckets[hash(key) & (c->n_buckets - 1)] : NULL;

    while (client && memcmp(client->key, key, sizeof client->key) != 0)
        client = client->next;
    return client;
}

static Client *add(Clients *c, const uint8_t key[static 16])
{
    Client *client = malloc(sizeof *client), **bucket;

    if (!client)
        return NULL;
    bucket = &c->buckets[hash(key) & (c->n_buckets - 1)];
    *client = (Client){.next = *bucket};
    memcpy(client->key, key, sizeof client->key);
    *bucket = client;
    c->n++;
    return client;
}

int clients_enter(Clients *c, const struct sockaddr_storage *address, Client **ret)
{
    uint8_t key[16];
    Client *client;
    int r;

    make_key(address, key);
    client = find(c, key);
    if (!client) {
        r = c->n >= c->n_buckets ? grow(c) : 0;
        if (r < 0)
            return r;
        client = add(c, key);
    }
    if (!client)
        return -ENOMEM;
    *ret = client;
    if (client->n_connections >= c->max)
        return CLIENTS_E_FULL;
    client->n_connections++;
    return 0;
}

void clients_leave(Clients *c, Client *client)
{
    Client **at;

    if (--client->n_connections > 0)
        return;
    at = &c->buckets[hash(client->key) & (c->n_buckets - 1)];
    while (*at != client)
        at = &(*at)->next;
    *at = client->next;
    free(client);
    c->n--;
}
