/* SPDX-License-Identifier: MIT */
/* Target: whom and what the fields of proxies make the client and its request. Input, in lines: the trusted
 * proxies; the peer; then fields, each a letter (see kinds) and a value; "B": letters of the fields that are
 * believed (all); "C": what a client may write in front of what proxies append, without any effect. The
 * answer is compared with that of a second reading, which compares addresses bit by bit; where Forwarded is
 * among the fields, it is checked for what the server relies on. */
#include "base/cleanup.h"
#include "fuzz.h"
#include "http/forwarded-memory.h"
#include "strict-request.h"

#include <arpa/inet.h>
#include <ctype.h>

#define WORDS_MAX 8
#define FIELDS_MAX 8
#define ELEMENTS_MAX 64

static const struct {
    char letter;
    const char *name;
    ProxyHeader header;
} kinds[] = {
    {'F', "X-Forwarded-For", PROXY_X_FORWARDED_FOR},
    {'P', "X-Forwarded-Proto", PROXY_X_FORWARDED_PROTO},
    {'H', "X-Forwarded-Host", PROXY_X_FORWARDED_HOST},
    {'O', "X-Forwarded-Port", PROXY_X_FORWARDED_PORT},
    {'R', "X-Forwarded-Prefix", PROXY_X_FORWARDED_PREFIX},
    {'E', "Forwarded", PROXY_FORWARDED},
    {'S', "X-Forwarded-Ssl", PROXY_X_FORWARDED_SSL},
    {'L', "X-Forwarded-Protocol", PROXY_X_FORWARDED_PROTOCOL},
    {'N', "SCRIPT_NAME", PROXY_SCRIPT_NAME},
};

typedef struct Case {
    char *words[WORDS_MAX + 1];
    Span peer;
    Field fields[FIELDS_MAX];
    Request request;
    unsigned believed;
    Span client; /* its line, data NULL for none */
} Case;

typedef struct Address {
    uint8_t octets[16];
} Address;

/* --- the second reading --- */

static bool read_address(Span s, Address *ret)
{
    char text[64];

    *ret = (Address){.octets = {[10] = 0xff, [11] = 0xff}};
    if (s.size >= sizeof(text) || memchr(s.size > 0 ? s.data : "", '\0', s.size))
        return false;
    snprintf(text, sizeof(text), "%.*s", (int)s.size, s.size > 0 ? s.data : "");
    return inet_pton(AF_INET, text, ret->octets + 12) == 1 || inet_pton(AF_INET6, text, ret->octets) == 1;
}

static bool bit(const Address *a, unsigned i)
{
    return a->octets[i / 8] >> (7 - i % 8) & 1;
}

/* The word is a valid one. */
static bool word_covers(const char *word, const Address *a)
{
    const char *slash = strchr(word, '/');
    Span address = {word, slash ? (size_t)(slash - word) : strlen(word)};
    unsigned long n = slash ? strtoul(slash + 1, NULL, 10) : 128;
    Address network;

    if (strcmp(word, "unix") == 0)
        return false;
    fuzz_check(read_address(address, &network), "accepted \"%s\"", word);
    if (slash && !strchr(word, ':'))
        n += 96; /* IPv4-mapped */
    fuzz_check(n <= 128 && (!slash || isdigit((unsigned char)slash[1])), "accepted \"%s\"", word);
    for (unsigned i = 0; i < n; i++)
        if (bit(&network, i) != bit(a, i))
            return false;
    return true;
}

static bool trusts(const Case *c, const Address *a)
{
    for (size_t i = 0; c->words[i]; i++)
        if (word_covers(c->words[i], a))
            return true;
    return false;
}

static bool trusts_unix(const Case *c)
{
    for (size_t i = 0; c->words[i]; i++)
        if (strcmp(c->words[i], "unix") == 0)
            return true;
    return false;
}

static bool trusts_peer(const Case *c)
{
    Span peer = c->peer;
    Address a;

    if (peer.size == 0)
        return trusts_unix(c);
    peer.size = strcspn(peer.data, "%\n"); /* a zone; the line ends in LF */
    return read_address(peer, &a) && trusts(c, &a);
}

/* Without its port. */
static bool read_hop(Span s, Span *ret, Address *ret_address)
{
    const char *last = s.size > 0 ? memrchr(s.data, s.data[0] == '[' ? ']' : ':', s.size) : NULL;
    size_t n = last ? (size_t)(last - s.data) : s.size;
    Span port;

    *ret = s;
    if (s.size > 0 && s.data[0] != '[' && read_address(s, ret_address))
        return true;
    if (!last)
        return false;
    *ret = s.data[0] == '[' ? (Span){s.data + 1, n - 1} : (Span){s.data, n};
    port = s.data[0] == '[' ? (Span){last + 1, s.size - n - 1} : (Span){last, s.size - n};
    for (size_t i = 0; i < port.size; i++)
        if (i == 0 ? port.data[i] != ':' : !isdigit((unsigned char)port.data[i]))
            return false;
    return port.size != 1 && read_address(*ret, ret_address) &&
           (s.data[0] == '[' || !memchr(ret->data, ':', ret->size));
}

static bool is_believed(const Case *c, const char *name)
{
    for (size_t i = 0; i < ELEMENTSOF(kinds); i++)
        if (strcmp(kinds[i].name, name) == 0)
            return c->believed & kinds[i].header;
    return false;
}

/* All elements of the fields of one kind, in order; none where it is not believed. */
static size_t list_elements(const Case *c, const char *name, Span elements[static ELEMENTS_MAX])
{
    size_t n = 0;

    for (size_t i = 0; i < c->request.n_fields; i++) {
        Span rest = c->fields[i].value;

        if (!fuzz_is(c->fields[i].name, name) || !is_believed(c, name))
            continue;
        while (n < ELEMENTS_MAX && fuzz_take(&rest, ',', &elements[n]))
            n++;
    }
    return n;
}

static int expect_address(const Case *c, Span *ret)
{
    Span elements[ELEMENTS_MAX], text;
    Address a;

    *ret = (Span){NULL, 0};
    for (size_t n = list_elements(c, "X-Forwarded-For", elements); n-- > 0;) {
        Span element = fuzz_trim(elements[n]);

        if (element.size == 0 || (trusts_unix(c) && span_equal(element, SPAN_LITERAL("unix:"))))
            continue;
        if (fuzz_is(element, "unknown"))
            break;
        if (!read_hop(element, &text, &a))
            return 400;
        *ret = text;
        if (!trusts(c, &a))
            break;
    }
    return 0;
}

static bool is_scheme(Span s)
{
    return fuzz_is(s, "http") || fuzz_is(s, "https");
}

static bool is_switch(Span s)
{
    return fuzz_is(s, "on") || fuzz_is(s, "off");
}

static bool is_protocol(Span s)
{
    return is_scheme(s) || fuzz_is(s, "ssl");
}

static bool is_secure(Span s)
{
    return fuzz_is(s, "https") || fuzz_is(s, "ssl") || fuzz_is(s, "on");
}

static bool is_same_scheme(Span a, Span b)
{
    return is_secure(a) == is_secure(b);
}

static bool is_port(Span s)
{
    unsigned long port = 0;

    for (size_t i = 0; i < s.size; i++) {
        if (!isdigit((unsigned char)s.data[i]) || s.data[0] == '0')
            return false;
        port = MIN(port * 10 + (unsigned long)(s.data[i] - '0'), 65536UL);
    }
    return port >= 1 && port <= 65535;
}

static bool is_prefix(Span s)
{
    for (size_t i = 0; i < s.size; i++)
        if (!isgraph((unsigned char)s.data[i]) || strchr("#?", s.data[i]))
            return false;
    return s.size > 0 && s.data[0] == '/' && (s.size == 1 || s.data[1] != '/');
}

/* Every element is valid, and all are the same. */
static bool read_kind(const Case *c, const char *name, bool (*is_valid)(Span), bool (*is_same)(Span, Span),
                      Span *ret)
{
    Span elements[ELEMENTS_MAX];
    size_t n = list_elements(c, name, elements);

    *ret = (Span){NULL, 0};
    for (size_t i = 0; i < n; i++) {
        if (!is_valid(fuzz_trim(elements[i])) || !is_same(fuzz_trim(elements[i]), fuzz_trim(elements[0])))
            return false;
        *ret = fuzz_trim(elements[i]);
    }
    return true;
}

static int expect(const Case *c, Forwarded *ret)
{
    Span schemes[3], script_name;

    if (!read_kind(c, "X-Forwarded-Proto", is_scheme, is_same_scheme, &schemes[0]) ||
        !read_kind(c, "X-Forwarded-Ssl", is_switch, is_same_scheme, &schemes[1]) ||
        !read_kind(c, "X-Forwarded-Protocol", is_protocol, is_same_scheme, &schemes[2]) ||
        !read_kind(c, "X-Forwarded-Host", strict_authority, span_equal_nocase, &ret->host) ||
        !read_kind(c, "X-Forwarded-Port", is_port, span_equal, &ret->port) ||
        !read_kind(c, "X-Forwarded-Prefix", is_prefix, span_equal, &ret->prefix) ||
        !read_kind(c, "SCRIPT_NAME", is_prefix, span_equal, &script_name) ||
        (script_name.data && ret->prefix.data && !span_equal(script_name, ret->prefix)))
        return 400;
    if (script_name.data)
        ret->prefix = script_name;
    for (size_t i = 0; i < ELEMENTSOF(schemes); i++) {
        if (schemes[i].data && ret->says_scheme && is_secure(schemes[i]) != ret->https)
            return 400;
        if (schemes[i].data)
            ret->https = is_secure(schemes[i]);
        ret->says_scheme = ret->says_scheme || schemes[i].data;
    }
    while (ret->prefix.size > 0 && ret->prefix.data[ret->prefix.size - 1] == '/')
        ret->prefix.size--;
    return expect_address(c, &ret->address);
}

/* --- checks --- */

static void check_same(const Forwarded *got, const Forwarded *expected)
{
    fuzz_check_span("address", got->address, expected->address);
    fuzz_check_span("host", got->host, expected->host);
    fuzz_check_span("port", got->port, expected->port);
    fuzz_check_span("prefix", got->prefix, expected->prefix);
    fuzz_check(got->https == expected->https && got->says_scheme == expected->says_scheme, "https %d",
               got->https);
}

static bool has_field(const Case *c, const char *name)
{
    for (size_t i = 0; i < c->request.n_fields; i++)
        if (fuzz_is(c->fields[i].name, name) && is_believed(c, name))
            return true;
    return false;
}

static void check_properties(const Forwarded *f)
{
    Address a;

    fuzz_check(!f->address.data || read_address(f->address, &a), "address \"%.*s\"", (int)f->address.size,
               f->address.data);
    fuzz_check(!f->host.data || strict_authority(f->host), "host \"%.*s\"", (int)f->host.size, f->host.data);
    fuzz_check(!f->port.data || is_port(f->port), "port \"%.*s\"", (int)f->port.size, f->port.data);
    fuzz_check(!f->prefix.data || is_prefix(f->prefix), "prefix \"%.*s\"", (int)f->prefix.size,
               f->prefix.data);
}

/* Puts the client's text in front of the first field of that name. An address that no proxy of ours has was
 * the last to be looked at, so what is on its left changes nothing. */
static void check_client(const Case *c, const TrustedProxies *t, const char *name, const Forwarded *f)
{
    _cleanup_free_ char *value = NULL;
    Forwarded got;
    Case changed = *c;
    Address a;
    size_t i = 0;
    int n;

    if (!f->address.data || !read_address(f->address, &a) || trusts(c, &a) || !has_field(c, name))
        return;
    while (!fuzz_is(c->fields[i].name, name))
        i++;
    n = asprintf(&value, "%.*s, %.*s", (int)c->client.size, c->client.data, (int)c->fields[i].value.size,
                 c->fields[i].value.data);
    fuzz_check(n >= 0, "no memory");
    changed.fields[i].value = fuzz_trim((Span){value, (size_t)n});
    changed.request.fields = changed.fields;
    fuzz_check(forwarded_resolve(t, c->believed, &changed.request, &got) == 0, "%s: %s", name, value);
    check_same(&got, f);
}

/* As if all lines were known: the first time, and when it is remembered. */
static void check_remembered(Case *c, const TrustedProxies *t, int status, const Forwarded *f)
{
    ForwardedMemory m = {0};

    for (size_t i = 0; i < c->request.n_fields; i++)
        c->fields[i].line = i + 1;
    for (int i = 0; i < 2; i++) {
        Forwarded again;

        fuzz_check(forwarded_memory_resolve(&m, t, c->believed, &c->request, &again) == status,
                   "not %d again", status);
        if (status == 0)
            check_same(&again, f);
    }
}

static void check_resolved(Case *c, const TrustedProxies *t)
{
    Forwarded got = {.address = {"-", 1}}, expected = {0};
    bool trusted = t && trusts_peer(c);
    int r = forwarded_resolve(trusted ? t : NULL, c->believed, &c->request, &got);
    bool both = has_field(c, "Forwarded") && has_field(c, "X-Forwarded-For");

    fuzz_check(r == 0 || (r == 400 && c->request.reason), "%d", r);
    if (!trusted || !has_field(c, "Forwarded")) {
        int e = trusted ? expect(c, &expected) : 0;

        fuzz_check(r == e, "%d, expected %d", r, e);
        if (r == 0)
            check_same(&got, &expected);
    }
    check_remembered(c, trusted ? t : NULL, r, &got);
    if (r == 0)
        check_properties(&got);
    if (r == 0 && c->client.data && !both) {
        check_client(c, t, "X-Forwarded-For", &got);
        check_client(c, t, "Forwarded", &got);
    }
}

/* --- */

static void read_words(Case *c, Span line)
{
    Span word;

    for (size_t n = 0; n < WORDS_MAX && fuzz_take(&line, ' ', &word);)
        if (word.size > 0)
            c->words[n++] = strndup(word.data, word.size);
}

static unsigned read_believed(Span letters)
{
    unsigned believed = 0;

    for (size_t i = 0; i < ELEMENTSOF(kinds); i++)
        if (letters.size > 0 && memchr(letters.data, kinds[i].letter, letters.size))
            believed |= kinds[i].header;
    return believed;
}

static void read_field(Case *c, char letter, Span value)
{
    if (letter == 'B')
        c->believed = read_believed(value);
    if (letter == 'C')
        c->client = value;
    for (size_t i = 0; i < ELEMENTSOF(kinds) && c->request.n_fields < FIELDS_MAX; i++)
        if (kinds[i].letter == letter)
            c->fields[c->request.n_fields++] = (Field){
                .name = span_of(kinds[i].name), .value = value, .role = field_role(span_of(kinds[i].name))};
}

static void read_fields(Case *c, Span rest)
{
    Span line;

    c->believed = PROXY_HEADERS_ALL;
    while (fuzz_take(&rest, '\n', &line))
        if (line.size > 0)
            read_field(c, line.data[0], fuzz_trim((Span){line.data + 1, line.size - 1}));
    c->request.fields = c->fields;
}

/* As the parser would not let them through; and few enough for the second reading's array. */
static bool is_possible(const char *data, size_t size)
{
    unsigned n_commas = 0;

    for (size_t i = 0; i < size; i++) {
        n_commas += data[i] == ',';
        if (iscntrl((unsigned char)data[i]) && data[i] != '\n' && data[i] != '\t')
            return false;
    }
    return n_commas + FIELDS_MAX < ELEMENTS_MAX;
}

static void run(const char *text, size_t size)
{
    _cleanup_(trusted_proxies_freep) TrustedProxies *t = NULL;
    Span rest = {text, size}, line;
    const char *bad = NULL;
    Case c = {0};
    int r;

    if (fuzz_take(&rest, '\n', &line))
        read_words(&c, line);
    if (fuzz_take(&rest, '\n', &c.peer) && rest.data) {
        read_fields(&c, rest);
        check_resolved(&c, NULL);
        r = trusted_proxies_new(c.words, &t, &bad);
        fuzz_check(r == 0 || (r == -EINVAL && bad), "%d", r);
        if (r == 0)
            check_resolved(&c, t);
    }
    for (size_t i = 0; c.words[i]; i++)
        free(c.words[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 0 && is_possible((const char *)data, size))
        run((const char *)data, size);
    return 0;
}
