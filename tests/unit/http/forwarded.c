/* SPDX-License-Identifier: MIT */
#include "http/forwarded-memory.h"

#include "tap.h"

#include <errno.h>

typedef struct Case {
    const char *peer; /* NULL: of a Unix socket */
    const char *fields[4][2];
    int status;
    const char *address; /* NULL: the peer's */
    bool https;
    const char *host, *port, *prefix; /* NULL: not said */
} Case;

#define FOR(value)               \
    {                            \
        "X-Forwarded-For", value \
    }
#define PROTO(value)               \
    {                              \
        "x-forwarded-PROTO", value \
    }
#define SSL(value)               \
    {                            \
        "X-Forwarded-SSL", value \
    }
#define PROTOCOL(value)               \
    {                                 \
        "X-Forwarded-Protocol", value \
    }
#define SCRIPT_NAME(value)   \
    {                        \
        "Script_NAME", value \
    }
#define HOST(value)               \
    {                             \
        "X-Forwarded-Host", value \
    }
#define PORT(value)               \
    {                             \
        "X-Forwarded-Port", value \
    }
#define PREFIX(value)               \
    {                               \
        "X-Forwarded-Prefix", value \
    }
#define FORWARDED(value)   \
    {                      \
        "forwarDED", value \
    }

/* Trusted: 127.0.0.1 ::1 10.0.0.0/8 192.168.4.0/22 2001:db8:ff00::/40 unix */
static const Case cases[] = {
    {.status = 0},
    {.fields = {FOR("192.0.2.7"), PROTO("https")}, .address = "192.0.2.7", .https = true},
    {.peer = "127.0.0.1",
     .fields = {FOR("192.0.2.7"), PROTO("HTTPS")},
     .address = "192.0.2.7",
     .https = true},
    {.peer = "::ffff:127.0.0.1", .fields = {FOR("192.0.2.7")}, .address = "192.0.2.7"},
    {.peer = "::1", .fields = {PROTO("http")}},
    {.peer = "10.255.3.4", .fields = {FOR("192.0.2.7")}, .address = "192.0.2.7"},
    {.peer = "192.168.7.255", .fields = {FOR("192.0.2.7")}, .address = "192.0.2.7"},
    {.peer = "2001:db8:ffff::1", .fields = {FOR("2001:db8::7")}, .address = "2001:db8::7"},
    {.peer = "::1%lo", .fields = {FOR("192.0.2.7")}, .address = "192.0.2.7"},
    /* a peer that is not trusted says nothing, not even nonsense */
    {.peer = "192.0.2.1", .fields = {FOR("192.0.2.7"), PROTO("https")}},
    {.peer = "11.0.0.0", .fields = {FOR("x"), PROTO("x")}},
    {.peer = "192.168.8.0", .fields = {FOR("192.0.2.7")}},
    {.peer = "2001:db8:fe00::1", .fields = {FOR("192.0.2.7")}},
    {.peer = "nonsense", .fields = {FOR("192.0.2.7")}},
    /* from the right, past trusted proxies, over lines; what a client made up stays unread */
    {.fields = {FOR("made up, 192.0.2.7,10.0.0.1 ,\t127.0.0.1")}, .address = "192.0.2.7"},
    {.fields = {FOR("192.0.2.6, 192.0.2.7")}, .address = "192.0.2.7"},
    {.fields = {FOR("made up, 192.0.2.7"), {"X", "y"}, FOR("10.0.0.1")}, .address = "192.0.2.7"},
    {.fields = {FOR("10.0.0.2, 10.0.0.1")}, .address = "10.0.0.2"},
    {.fields = {FOR("192.0.2.7, ,, 10.0.0.1,")}, .address = "192.0.2.7"},
    {.fields = {FOR("")}},
    {.fields = {FOR("192.0.2.7, unix:")}, .address = "192.0.2.7"},
    {.fields = {FOR("192.0.2.7, unknown, 10.0.0.1")}, .address = "10.0.0.1"},
    {.fields = {FOR("192.0.2.7, unknown")}},
    /* ports and brackets */
    {.fields = {FOR("192.0.2.7:4711")}, .address = "192.0.2.7"},
    {.fields = {FOR("[2001:db8::7]:4711")}, .address = "2001:db8::7"},
    {.fields = {FOR("[2001:db8::7]")}, .address = "2001:db8::7"},
    {.fields = {FOR("192.0.2.7:")}, .status = 400},
    {.fields = {FOR("192.0.2.7:x")}, .status = 400},
    {.fields = {FOR("[2001:db8::7")}, .status = 400},
    {.fields = {FOR("[2001:db8::7]x")}, .status = 400},
    {.fields = {FOR("[]")}, .status = 400},
    {.fields = {FOR("[")}, .status = 400},
    {.fields = {FOR(":")}, .status = 400},
    /* malformed where it counts */
    {.fields = {FOR("nonsense")}, .status = 400},
    {.fields = {FOR("192.0.2.7, nonsense, 10.0.0.1")}, .status = 400},
    {.fields = {FOR("192.0.2.256")}, .status = 400},
    {.fields = {FOR("192.0.2")}, .status = 400},
    {.fields = {FOR("192.0.2.7 192.0.2.8")}, .status = 400},
    {.fields = {FOR("0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000")}, .status = 400},
    {.fields = {PROTO("https, https")}, .https = true},
    {.fields = {PROTO("https"), PROTO("HTTPS")}, .https = true},
    {.fields = {PROTO("http, https")}, .status = 400},
    {.fields = {PROTO("https"), PROTO("http")}, .status = 400},
    {.fields = {PROTO("ftp")}, .status = 400},
    {.fields = {PROTO("")}, .status = 400},
    {.fields = {SSL("on")}, .https = true},
    {.fields = {SSL("ON, on")}, .https = true},
    {.fields = {SSL("off")}},
    {.fields = {SSL("")}, .status = 400},
    {.fields = {SSL("yes")}, .status = 400},
    {.fields = {SSL("https")}, .status = 400},
    {.fields = {SSL("on"), SSL("off")}, .status = 400},
    {.peer = "192.0.2.1", .fields = {SSL("on"), PROTOCOL("x")}},
    {.fields = {PROTOCOL("ssl")}, .https = true},
    {.fields = {PROTOCOL("HTTPS"), PROTOCOL("SSL")}, .https = true},
    {.fields = {PROTOCOL("http")}},
    {.fields = {PROTOCOL("")}, .status = 400},
    {.fields = {PROTOCOL("on")}, .status = 400},
    {.fields = {PROTOCOL("http, ssl")}, .status = 400},
    {.fields = {SSL("on"), PROTOCOL("ssl"), PROTO("https"), FORWARDED("proto=https")}, .https = true},
    {.fields = {SSL("off"), PROTOCOL("http"), PROTO("http"), FORWARDED("proto=http")}},
    {.fields = {SSL("on"), PROTO("http")}, .status = 400},
    {.fields = {PROTO("https"), SSL("off")}, .status = 400},
    {.fields = {PROTOCOL("ssl"), PROTO("http")}, .status = 400},
    {.fields = {PROTOCOL("http"), SSL("on")}, .status = 400},
    {.fields = {SSL("on"), FORWARDED("proto=http")}, .status = 400},
    /* as the prefix */
    {.fields = {SCRIPT_NAME("/shop")}, .prefix = "/shop"},
    {.fields = {SCRIPT_NAME("/shop/"), PREFIX("/shop/")}, .prefix = "/shop"},
    {.fields = {SCRIPT_NAME("/shop"), PREFIX("/other")}, .status = 400},
    {.fields = {SCRIPT_NAME("/a"), SCRIPT_NAME("/b")}, .status = 400},
    {.fields = {SCRIPT_NAME("//a")}, .status = 400},
    {.fields = {SCRIPT_NAME("a")}, .status = 400},
    {.fields = {SCRIPT_NAME("")}, .status = 400},
    {.fields = {{"Script-Name", "/shop"}}},
    {.peer = "192.0.2.1", .fields = {SCRIPT_NAME("/shop")}},
    /* host, port and prefix: one of each */
    {.fields = {HOST("Example.org:8443")}, .host = "Example.org:8443"},
    {.fields = {HOST("[2001:db8::1]:8443, [2001:DB8::1]:8443")}, .host = "[2001:DB8::1]:8443"},
    {.fields = {PORT("8443"), PORT("8443")}, .port = "8443"},
    {.fields = {PORT("65535")}, .port = "65535"},
    {.fields = {PREFIX("/shop/eu")}, .prefix = "/shop/eu"},
    {.fields = {PREFIX("/shop//")}, .prefix = "/shop"},
    {.fields = {PREFIX("/a%20b/%C3%A9")}, .prefix = "/a%20b/%C3%A9"},
    {.fields = {PREFIX("/")}},
    {.fields = {HOST("a"), PORT("1"), PREFIX("/b"), FOR("192.0.2.7")},
     .address = "192.0.2.7",
     .host = "a",
     .port = "1",
     .prefix = "/b"},
    {.fields = {HOST("a, b")}, .status = 400},
    {.fields = {HOST("a"), HOST("b")}, .status = 400},
    {.fields = {PORT("80, 443")}, .status = 400},
    {.fields = {PREFIX("/a"), PREFIX("/A")}, .status = 400},
    {.fields = {HOST("")}, .status = 400},
    {.fields = {HOST("a/b")}, .status = 400},
    {.fields = {HOST("me@a")}, .status = 400},
    {.fields = {HOST("a b")}, .status = 400},
    {.fields = {HOST("a:99999")}, .status = 400},
    {.fields = {PORT("")}, .status = 400},
    {.fields = {PORT("0")}, .status = 400},
    {.fields = {PORT("080")}, .status = 400},
    {.fields = {PORT("65536")}, .status = 400},
    {.fields = {PORT("+1")}, .status = 400},
    {.fields = {PREFIX("")}, .status = 400},
    {.fields = {PREFIX("shop")}, .status = 400},
    {.fields = {PREFIX("//example.org")}, .status = 400},
    {.fields = {PREFIX("/a?b")}, .status = 400},
    {.fields = {PREFIX("/a#b")}, .status = 400},
    {.fields = {PREFIX("/a b")}, .status = 400},
    {.fields = {PREFIX("/\xe9")}, .status = 400},
    {.fields = {PREFIX("http://a/b")}, .status = 400},
    /* RFC 7239 */
    {.fields = {FORWARDED("for=192.0.2.7")}, .address = "192.0.2.7"},
    {.fields = {FORWARDED("For=\"192.0.2.7:4711\"; PROTO=HTTPS ;host=\"a:1\";by=x;;y=\"\\\";,\"")},
     .address = "192.0.2.7",
     .https = true,
     .host = "a:1"},
    {.fields = {FORWARDED("for=\"[2001:db8::7]:4711\"")}, .address = "2001:db8::7"},
    {.fields = {FORWARDED("for=\"[2001:db8::7]\"")}, .address = "2001:db8::7"},
    {.fields = {FORWARDED("for=\"[2001:db8::7]:_port\"")}, .address = "2001:db8::7"},
    {.fields = {FORWARDED("proto=https")}, .https = true},
    {.fields = {FORWARDED(";host=a;")}, .host = "a"},
    {.fields = {FORWARDED("")}},
    {.fields = {FORWARDED("for=unknown")}},
    {.fields = {FORWARDED("for=_hidden;proto=https")}, .https = true},
    {.fields = {FORWARDED("for=\"Unknown:80\"")}},
    {.peer = "192.0.2.1", .fields = {FORWARDED("for=192.0.2.7;proto=https;host=a")}},
    {.peer = "192.0.2.1", .fields = {FORWARDED("for=\"")}},
    /* element by element, over lines; the proxy next to the client knows what the client wanted */
    {.fields = {FORWARDED("for=192.0.2.6, for=192.0.2.7, for=10.0.0.1 ,\tfor=\"[::1]\"")},
     .address = "192.0.2.7"},
    {.fields = {FORWARDED("for=192.0.2.7;host=a;proto=https, for=10.0.0.1;host=b;proto=http")},
     .address = "192.0.2.7",
     .https = true,
     .host = "a"},
    {.fields = {FORWARDED("for=192.0.2.7, for=10.0.0.1;host=b;proto=https")},
     .address = "192.0.2.7",
     .https = true,
     .host = "b"},
    {.fields = {FORWARDED("host=x;proto=https, for=192.0.2.7;host=a, for=10.0.0.1")},
     .address = "192.0.2.7",
     .host = "a"},
    {.fields = {FORWARDED("for=192.0.2.6"), FORWARDED("for=192.0.2.7"), FORWARDED("for=10.0.0.1")},
     .address = "192.0.2.7"},
    {.fields = {FORWARDED("for=10.0.0.2, for=10.0.0.1")}, .address = "10.0.0.2"},
    {.fields = {FORWARDED("for=192.0.2.7, for=_a, for=10.0.0.1")}, .address = "10.0.0.1"},
    {.fields = {FORWARDED("for=192.0.2.7, proto=https, for=10.0.0.1")}, .address = "10.0.0.1", .https = true},
    {.fields = {FORWARDED("for=192.0.2.7,,for=10.0.0.1,")}, .address = "192.0.2.7"},
    /* what a client made up on the left joins nothing */
    {.fields = {FORWARDED("for=\", for=192.0.2.7")}, .address = "192.0.2.7"},
    {.fields = {FORWARDED("for=\"a, for=\"192.0.2.7\";x=\"\\\"\"")}, .address = "192.0.2.7"},
    {.fields = {FORWARDED("x=\"\\, for=192.0.2.7;x=\"\\\\\"")}, .address = "192.0.2.7"},
    {.fields = {FORWARDED("nonsense, for=192.0.2.7")}, .address = "192.0.2.7"},
    /* malformed */
    {.fields = {FORWARDED("nonsense")}, .status = 400},
    {.fields = {FORWARDED("for")}, .status = 400},
    {.fields = {FORWARDED("for=")}, .status = 400},
    {.fields = {FORWARDED("for=;host=a")}, .status = 400},
    {.fields = {FORWARDED("=192.0.2.7")}, .status = 400},
    {.fields = {FORWARDED("for =192.0.2.7")}, .status = 400},
    {.fields = {FORWARDED("for= 192.0.2.7")}, .status = 400},
    {.fields = {FORWARDED("for=\"\"")}, .status = 400},
    {.fields = {FORWARDED("for=\"192.0.2.7")}, .status = 400},
    {.fields = {FORWARDED("for=\"192.0.2.7\\")}, .status = 400},
    {.fields = {FORWARDED("for=\"192.0.2.7\\\"")}, .status = 400},
    {.fields = {FORWARDED("for=\"192.0.2.7\"x")}, .status = 400},
    {.fields = {FORWARDED("for=\"192.0.2.7\" host=a")}, .status = 400},
    {.fields = {FORWARDED("for=192.0.2.7:80")}, .status = 400},
    {.fields = {FORWARDED("for=[2001:db8::7]")}, .status = 400},
    {.fields = {FORWARDED("for=\"2001:db8::7\"")}, .status = 400},
    {.fields = {FORWARDED("for=\"[2001:db8::7\"")}, .status = 400},
    {.fields = {FORWARDED("for=\"[2001:db8::7]x\"")}, .status = 400},
    {.fields = {FORWARDED("for=\"192.0.2.7:\"")}, .status = 400},
    {.fields = {FORWARDED("for=\"192.0.2.7:_\"")}, .status = 400},
    {.fields = {FORWARDED("for=192.0.2.256")}, .status = 400},
    {.fields = {FORWARDED("for=\"unix:\"")}, .status = 400},
    {.fields = {FORWARDED("for=_")}, .status = 400},
    {.fields = {FORWARDED("for=192.0.2.7;for=192.0.2.7")}, .status = 400},
    {.fields = {FORWARDED("proto=http;PROTO=http")}, .status = 400},
    {.fields = {FORWARDED("proto=ftp")}, .status = 400},
    {.fields = {FORWARDED("host=\"a b\"")}, .status = 400},
    {.fields = {FORWARDED("host=\"\"")}, .status = 400},
    {.fields = {FORWARDED("for=x, for=10.0.0.1")}, .status = 400},
    /* both kinds: the same, or what the other does not say */
    {.fields = {FORWARDED("for=192.0.2.7;proto=https;host=a"), FOR("192.0.2.7:1"), PROTO("HTTPS"), HOST("A")},
     .address = "192.0.2.7",
     .https = true,
     .host = "A"},
    {.fields = {FORWARDED("for=\"[2001:db8:0::7]\""), FOR("2001:db8::7")}, .address = "2001:db8::7"},
    {.fields = {FORWARDED("for=192.0.2.7"), PROTO("https"), PREFIX("/a")},
     .address = "192.0.2.7",
     .https = true,
     .prefix = "/a"},
    {.fields = {FORWARDED("proto=https;host=a"), FOR("192.0.2.7")},
     .address = "192.0.2.7",
     .https = true,
     .host = "a"},
    {.fields = {FORWARDED("for=192.0.2.6"), FOR("192.0.2.7")}, .status = 400},
    {.fields = {FORWARDED("proto=https"), PROTO("http")}, .status = 400},
    {.fields = {FORWARDED("host=a"), HOST("b")}, .status = 400},
    {.fields = {{"X-Forwarded-Server", "nonsense"}, {"X-Forwarded-", "x"}}},
};

static bool is_said(Span got, const char *expected)
{
    return expected ? got.data && span_equal(got, span_of(expected)) : !got.data;
}

static bool is_as_expected(const Case *c, const Forwarded *f)
{
    return is_said(f->address, c->address) && is_said(f->host, c->host) && is_said(f->port, c->port) &&
           is_said(f->prefix, c->prefix) && f->https == c->https && (f->says_scheme || !f->https);
}

static Field field_of(const char *name, const char *value)
{
    return (Field){.name = span_of(name), .value = span_of(value), .role = field_role(span_of(name))};
}

/* What is remembered makes no difference, to known lines or new ones. */
static void check_again(const TrustedProxies *t, Request *r, int status, const Forwarded *f, const Case *c)
{
    ForwardedMemory m = {0};

    for (int i = 0; i < 4; i++) {
        Forwarded again;

        for (size_t k = 0; k < r->n_fields; k++)
            r->fields[k].line = i > 0 ? k + 1 : 0;
        r->reason = NULL;
        if (forwarded_memory_resolve(&m, t, PROXY_HEADERS_ALL, r, &again) != status ||
            (status != 0) != (r->reason != NULL) ||
            (status == 0 && (!is_as_expected(c, &again) || again.says_scheme != f->says_scheme)))
            ok(false, "case %td, time %d", c - cases, i);
    }
}

static void check(const TrustedProxies *t, const Case *c)
{
    Field fields[4];
    Request r = {.fields = fields};
    bool trusted = t && trusted_proxies_contain_peer(t, span_of(c->peer ? c->peer : ""));
    Forwarded f;
    int status;

    for (; r.n_fields < 4 && c->fields[r.n_fields][0]; r.n_fields++)
        fields[r.n_fields] = field_of(c->fields[r.n_fields][0], c->fields[r.n_fields][1]);
    status = forwarded_resolve(trusted ? t : NULL, PROXY_HEADERS_ALL, &r, &f);
    if (!ok(status == c->status && (status == 0 ? is_as_expected(c, &f) : r.reason != NULL), "case %td",
            c - cases))
        printf("# status %d address %.*s https %d\n", status, (int)f.address.size,
               f.address.data ? f.address.data : "", f.https);
    check_again(trusted ? t : NULL, &r, status, &f, c);
}

/* Each request's spans point into its own octets; and who is not trusted is not believed, whatever is remembered. */
static void check_memory(const TrustedProxies *t)
{
    char first[] = "10.0.0.9, 192.0.2.7", second[] = "10.0.0.9, 192.0.2.7";
    Field fields[] = {field_of("X-Forwarded-For", first), field_of("Accept", "*/*"),
                      field_of("X-Forwarded-Proto", "https")};
    Request r = {.fields = fields, .n_fields = 3};
    ForwardedMemory m = {0};
    Forwarded f;

    for (size_t i = 0; i < 3; i++)
        fields[i].line = i + 1;
    is_int(forwarded_memory_resolve(&m, t, PROXY_HEADERS_ALL, &r, &f), 0);
    ok(f.address.data == first + 10 && f.address.size == 9 && f.https);
    fields[0].value.data = second;
    memset(first, 0, sizeof first);
    is_int(forwarded_memory_resolve(&m, t, PROXY_HEADERS_ALL, &r, &f), 0);
    ok(f.address.data == second + 10 && f.address.size == 9 && f.https && f.says_scheme && !f.host.data);
    is_int(forwarded_memory_resolve(&m, NULL, PROXY_HEADERS_ALL, &r, &f), 0);
    ok(!f.address.data && !f.https && !f.says_scheme);
}

static void check_reasons(const TrustedProxies *t)
{
    static const struct {
        const char *fields[2][2];
        const char *reason;
    } reasons[] = {
        {{FOR("x")}, "malformed X-Forwarded-For"},
        {{PREFIX("x")}, "malformed X-Forwarded-Prefix"},
        {{PORT("1"), PORT("2")}, "contradictory X-Forwarded-Port"},
        {{SSL("x")}, "malformed X-Forwarded-Ssl"},
        {{PROTO("http"), PROTOCOL("ssl")}, "contradictory X-Forwarded-Protocol"},
        {{PREFIX("/a"), SCRIPT_NAME("/b")}, "contradictory SCRIPT_NAME"},
        {{FORWARDED("x")}, "malformed Forwarded"},
        {{FORWARDED("host=a"), HOST("b")}, "Forwarded contradicts X-Forwarded-*"},
    };

    for (size_t i = 0; i < ELEMENTSOF(reasons); i++) {
        Field fields[2];
        Request r = {.fields = fields};
        Forwarded f;

        for (; r.n_fields < 2 && reasons[i].fields[r.n_fields][0]; r.n_fields++)
            fields[r.n_fields] = field_of(reasons[i].fields[r.n_fields][0], reasons[i].fields[r.n_fields][1]);
        is_int(forwarded_resolve(t, PROXY_HEADERS_ALL, &r, &f), 400);
        is_string(r.reason, reasons[i].reason);
    }
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
    static const Case c = {.fields = {FOR("192.0.2.7"), PROTO("https")}};
    char *tcp_only[] = {(char *)"0.0.0.0/0", NULL};
    _cleanup_(trusted_proxies_freep) TrustedProxies *t = NULL;

    check(NULL, &c);
    is_int(trusted_proxies_new(NULL, &t, NULL), 0);
    check(t, &c);
    t = trusted_proxies_free(t);
    is_int(trusted_proxies_new(tcp_only, &t, NULL), 0);
    check(t, &c);
    check(t, &(Case){.peer = "203.0.113.9", .fields = {FOR("192.0.2.7")}, .address = "192.0.2.7"});
    check(t, &(Case){.peer = "::1", .fields = {FOR("192.0.2.7")}});
}

int main(void)
{
    const char *const words[] = {"127.0.0.1",          "::1",  "10.0.0.0/8", "192.168.4.0/22",
                                 "2001:db8:ff00::/40", "unix", NULL};
    _cleanup_(trusted_proxies_freep) TrustedProxies *t = NULL;

    is_int(trusted_proxies_new((char *const *)words, &t, NULL), 0);
    for (size_t i = 0; i < ELEMENTSOF(cases); i++)
        check(t, &cases[i]);
    check_memory(t);
    check_reasons(t);
    check_words();
    check_nobody();
    return tap_done();
}
