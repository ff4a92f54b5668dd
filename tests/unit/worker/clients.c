/* SPDX-License-Identifier: MIT */
/* Tests of worker/clients. */
#include "worker/clients.h"

#include "base/cleanup.h"
#include "tap.h"

#include <arpa/inet.h>
#include <netinet/in.h>

static struct sockaddr_storage address(const char *text)
{
    struct sockaddr_storage a = {0};

    if (strchr(text, ':')) {
        a.ss_family = AF_INET6;
        inet_pton(AF_INET6, text, &((struct sockaddr_in6 *)&a)->sin6_addr);
    } else {
        a.ss_family = AF_INET;
        inet_pton(AF_INET, text, &((struct sockaddr_in *)&a)->sin_addr);
    }
    return a;
}

static int enter(Clients *c, const char *text, Client **ret)
{
    struct sockaddr_storage a = address(text);

    return clients_enter(c, &a, ret);
}

static void test_limit(void)
{
    Client *a, *b, *other;
    Clients c;

    clients_init(&c, 2);
    is_int(enter(&c, "192.0.2.1", &a), 0);
    is_int(enter(&c, "192.0.2.1", &b), 0);
    ok(a == b);
    is_int(enter(&c, "192.0.2.1", &b), CLIENTS_E_FULL);
    is_int(enter(&c, "::ffff:192.0.2.1", &b), CLIENTS_E_FULL);
    is_int(enter(&c, "192.0.2.2", &other), 0);
    clients_leave(&c, a);
    is_int(enter(&c, "192.0.2.1", &a), 0);
    clients_leave(&c, a);
    clients_leave(&c, a);
    clients_leave(&c, other);
    is_int(c.n, 0);
    clients_deinit(&c);
}

static void test_networks(void)
{
    Client *a, *b;
    Clients c;

    clients_init(&c, 1);
    is_int(enter(&c, "2001:db8:0:1::1", &a), 0);
    is_int(enter(&c, "2001:db8:0:1:ffff::2", &b), CLIENTS_E_FULL);
    is_int(enter(&c, "2001:db8:0:2::1", &b), 0);
    clients_deinit(&c);
}

static void test_many(void)
{
    static Client *all[5000];
    bool good = true;
    char text[32];
    Clients c;

    clients_init(&c, 1);
    for (size_t i = 0; i < ELEMENTSOF(all); i++) {
        (void)snprintf(text, sizeof text, "10.0.%zu.%zu", i / 250, i % 250);
        good = good && enter(&c, text, &all[i]) == 0;
    }
    ok(good, "5000 clients");
    is_int(c.n, ELEMENTSOF(all));
    ok(c.n_buckets >= c.n);
    for (size_t i = 0; i < ELEMENTSOF(all); i++)
        clients_leave(&c, all[ELEMENTSOF(all) - 1 - i]);
    is_int(c.n, 0);
    clients_deinit(&c);
}

int main(void)
{
    test_limit();
    test_networks();
    test_many();
    return tap_done();
}
