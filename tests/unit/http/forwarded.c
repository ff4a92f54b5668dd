/* SPDX-License-Identifier: MIT */
#include "http/forwarded.h"

#include "tap.h"

#include <errno.h>

typedef struct Case {
    const char *peer;
    const char *fields[4][2];
    int status;
    const char *address; /* NULL: the peer's */
    bool https;
} Case;

#define FOR(value)               \
    {                            \
        "X-Forwarded-For", value \
    }
#define PROTO(value)               \
    {                              \
        "x-forwarded-PROTO", value \
    }

/* Trusted: 127.0.0.1 ::1 10.0.0.0/8 192.168.4.0/22 2001:db8:ff00::/40 unix */
static const Case cases[] = {
    {"", {}, 0, NULL, false},
    {"", {FOR("192.0.2.7"), PROTO("https")}, 0, "192.0.2.7", true},
    {"127.0.0.1", {FOR("192.0.2.7"), PROTO("HTTPS")}, 0, "192.0.2.7", true},
    {"::ffff:127.0.0.1", {FOR("192.0.2.7")}, 0, "192.0.2.7", false},
    {"::1", {PROTO("http")}, 0, NULL, false},
    {"10.255.3.4", {FOR("192.0.2.7")}, 0, "192.0.2.7", false},
    {"192.168.7.255", {FOR("192.0.2.7")}, 0, "192.0.2.7", false},
    {"2001:db8:ffff::1", {FOR("2001:db8::7")}, 0, "2001:db8::7", false},
    {"::1%lo", {FOR("192.0.2.7")}, 0, "192.0.2.7", false},
    /* a peer that is not trusted says nothing, not even nonsense */
    {"192.0.2.1", {FOR("192.0.2.7"), PROTO("https")}, 0, NULL, false},
    {"11.0.0.0", {FOR("x"), PROTO("x")}, 0, NULL, false},
    {"192.168.8.0", {FOR("192.0.2.7")}, 0, NULL, false},
    {"2001:db8:fe00::1", {FOR("192.0.2.7")}, 0, NULL, false},
    {"nonsense", {FOR("192.0.2.7")}, 0, NULL, false},
    /* from the right, past trusted proxies, over lines; what a client made up stays unread */
    {"", {FOR("made up, 192.0.2.7,10.0.0.1 ,\t127.0.0.1")}, 0, "192.0.2.7", false},
    {"", {FOR("192.0.2.6, 192.0.2.7")}, 0, "192.0.2.7", false},
    {"", {FOR("made up, 192.0.2.7"), {"X", "y"}, FOR("10.0.0.1")}, 0, "192.0.2.7", false},
    {"", {FOR("10.0.0.2, 10.0.0.1")}, 0, "10.0.0.2", false},
    {"", {FOR("192.0.2.7, ,, 10.0.0.1,")}, 0, "192.0.2.7", false},
    {"", {FOR("")}, 0, NULL, false},
    {"", {FOR("192.0.2.7, unix:")}, 0, "192.0.2.7", false},
    {"", {FOR("192.0.2.7, unknown, 10.0.0.1")}, 0, "10.0.0.1", false},
    {"", {FOR("192.0.2.7, unknown")}, 0, NULL, false},
    /* ports and brackets */
    {"", {FOR("192.0.2.7:4711")}, 0, "192.0.2.7", false},
    {"", {FOR("[2001:db8::7]:4711")}, 0, "2001:db8::7", false},
    {"", {FOR("[2001:db8::7]")}, 0, "2001:db8::7", false},
    {"", {FOR("192.0.2.7:")}, 400, NULL, false},
    {"", {FOR("192.0.2.7:x")}, 400, NULL, false},
    {"", {FOR("[2001:db8::7")}, 400, NULL, false},
    {"", {FOR("[2001:db8::7]x")}, 400, NULL, false},
    {"", {FOR("[]")}, 400, NULL, false},
    {"", {FOR("[")}, 400, NULL, false},
    {"", {FOR(":")}, 400, NULL, false},
    /* malformed where it counts */
    {"", {FOR("nonsense")}, 400, NULL, false},
    {"", {FOR("192.0.2.7, nonsense, 10.0.0.1")}, 400, NULL, false},
    {"", {FOR("192.0.2.256")}, 400, NULL, false},
    {"", {FOR("192.0.2")}, 400, NULL, false},
    {"", {FOR("192.0.2.7 192.0.2.8")}, 400, NULL, false},
    {"", {FOR("0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000")}, 400, NULL, false},
    {"", {PROTO("https, https")}, 0, NULL, true},
    {"", {PROTO("https"), PROTO("HTTPS")}, 0, NULL, true},
    {"", {PROTO("http, https")}, 400, NULL, false},
    {"", {PROTO("https"), PROTO("http")}, 400, NULL, false},
    {"", {PROTO("ftp")}, 400, NULL, false},
    {"", {PROTO("")}, 400, NULL, false},
};

static void check(const TrustedProxies *t, const Case *c)
{
    Field fields[4];
    Request r = {.fields = fields};
    Forwarded f;
    bool same;
    int status;

    for (; r.n_fields < 4 && c->fields[r.n_fields][0]; r.n_fields++)
        fields[r.n_fields] = (Field){span_of(c->fields[r.n_fields][0]), span_of(c->fields[r.n_fields][1])};
    status = forwarded_resolve(t, span_of(c->peer), &r, &f);
    same = c->address ? f.address.data && span_equal(f.address, span_of(c->address)) : !f.address.data;
    if (!ok(status == c->status && (status != 0 || (same && f.https == c->https)), "case %td", c - cases))
        printf("# status %d address %.*s https %d\n", status, (int)f.address.size,
               f.address.data ? f.address.data : "", f.https);
}

static void check_words(void)
{
    static const char *const bad[] = {
        "",           "localhost", "10.0.0.0/",   "10.0.0.0/33",        "::/129",
        "10.0.0.0/x", "10.0.0/8",  "10.0.0.0/8/", "10.0.0.0/-1",        "unix:",
        "*",          "::1%lo",    "[::1]",       "10.0.0.0/4294967304"};
    _cleanup_(trusted_proxies_freep) TrustedProxies *t = NULL;
    const char *word = NULL;

    for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
        char *words[] = {(char *)"127.0.0.1", (char *)bad[i], NULL};

        is_int(trusted_proxies_new(words, &t, &word), -EINVAL);
        ok(word == words[1] && !t, "'%s' is the bad word", bad[i]);
        is_int(trusted_proxies_new(words, &t, NULL), -EINVAL);
    }
}

static void check_nobody(void)
{
    static const Case c = {"", {FOR("192.0.2.7"), PROTO("https")}, 0, NULL, false};
    char *tcp_only[] = {(char *)"0.0.0.0/0", NULL};
    _cleanup_(trusted_proxies_freep) TrustedProxies *t = NULL;

    check(NULL, &c);
    is_int(trusted_proxies_new(NULL, &t, NULL), 0);
    check(t, &c);
    t = trusted_proxies_free(t);
    is_int(trusted_proxies_new(tcp_only, &t, NULL), 0);
    check(t, &c);
    check(t, &(Case){"203.0.113.9", {FOR("192.0.2.7")}, 0, "192.0.2.7", false});
    check(t, &(Case){"::1", {FOR("192.0.2.7")}, 0, NULL, false});
}

int main(void)
{
    const char *const words[] = {"127.0.0.1",          "::1",  "10.0.0.0/8", "192.168.4.0/22",
                                 "2001:db8:ff00::/40", "unix", NULL};
    _cleanup_(trusted_proxies_freep) TrustedProxies *t = NULL;

    is_int(trusted_proxies_new((char *const *)words, &t, NULL), 0);
    for (size_t i = 0; i < ELEMENTSOF(cases); i++)
        check(t, &cases[i]);
    check_words();
    check_nobody();
    return tap_done();
}
