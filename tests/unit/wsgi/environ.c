/* SPDX-License-Identifier: MIT */
/* The environ: keys and values as PEP 3333 and RFC 3875 have them, each request its own. */
#include "harness.h"

#include "wsgi/interpreter.h"

static WsgiApp *app;

static void get_once(const char *head)
{
    Call c;

    call_init(&c, head);
    call_run(&c, app);
    is_int(c.result, 0);
    call_deinit(&c);
}

/* The environ of a request with this head is keep.environ afterwards: that of the first time, when some of its lines
 * were new, and of later times, when they are known, and when a base has them. */
static void get(const char *head)
{
    static const char values[] = "sorted((k, v) for k, v in environ.items() if type(v) is str)";

    get_once(head);
    for (int i = 0; i < 12; i++) {
        _cleanup_free_ char *first = strdup(harness_string("keep", values));

        get_once(head);
        is_string(harness_string("keep", values), first);
    }
}

static void test_plain(void)
{
    get("GET /path?a=1&b=%20 HTTP/1.1\r\nHost: Example.com:8080");
    is_string(harness_string("keep", "environ['REQUEST_METHOD']"), "GET");
    is_string(harness_string("keep", "environ['SCRIPT_NAME']"), "");
    is_string(harness_string("keep", "environ['PATH_INFO']"), "/path");
    is_string(harness_string("keep", "environ['QUERY_STRING']"), "a=1&b=%20");
    is_string(harness_string("keep", "environ['RAW_URI']"), "/path?a=1&b=%20");
    is_string(harness_string("keep", "environ['REQUEST_URI']"), "/path?a=1&b=%20");
    is_string(harness_string("keep", "environ['SERVER_NAME']"), "198.51.100.1");
    is_string(harness_string("keep", "environ['SERVER_PORT']"), "8000");
    is_string(harness_string("keep", "environ['SERVER_PROTOCOL']"), "HTTP/1.1");
    is_string(harness_string("keep", "environ['SERVER_SOFTWARE']"), "cgunicorn/" PACKAGE_VERSION);
    is_string(harness_string("keep", "environ['REMOTE_ADDR']"), "192.0.2.7");
    is_string(harness_string("keep", "environ['REMOTE_PORT']"), "40000");
    is_string(harness_string("keep", "environ['HTTP_HOST']"), "Example.com:8080");
    is_string(harness_string("keep", "environ['wsgi.version']"), "(1, 0)");
    is_string(harness_string("keep", "environ['wsgi.url_scheme']"), "http");
    is_string(harness_string("keep",
                             "[environ['wsgi.' + k] for k in ('multithread', 'multiprocess', 'run_once', "
                             "'input_terminated')]"),
              "[False, True, False, True]");
    is_string(harness_string("keep", "callable(environ['wsgi.file_wrapper'])"), "True");
    is_string(harness_string("keep", "callable(environ['wsgi.early_hints'])"), "True");
    is_string(harness_string("keep", "type(environ) is dict and len(environ)"), "23");
    is_string(harness_string("keep", "'CONTENT_LENGTH' in environ or 'CONTENT_TYPE' in environ"), "False");
}

static void test_path(void)
{
    get("GET /a%20b/%C3%A9%2F%zz+%2541 HTTP/1.1\r\nHost: a");
    is_string(harness_string("keep", "ascii(environ['PATH_INFO'])"), "'/a b/\\xc3\\xa9/%zz+%41'");
    /* What was decoded once must not be taken for the same text as sent. */
    get("GET /a%20b/%C3%A9%2F%zz+%41 HTTP/1.1\r\nHost: a");
    is_string(harness_string("keep", "ascii(environ['PATH_INFO'])"), "'/a b/\\xc3\\xa9/%zz+A'");
    get("GET /? HTTP/1.1\r\nHost: a");
    is_string(harness_string("keep", "environ['PATH_INFO'], environ['QUERY_STRING'], environ['RAW_URI']"),
              "('/', '', '/?')");
}

static void test_forms(void)
{
    get("GET http://other.example/x?y HTTP/1.1\r\nHost: example.com");
    is_string(harness_string("keep", "[environ[k] for k in ('HTTP_HOST', 'PATH_INFO', 'QUERY_STRING')]"),
              "['other.example', '/x', 'y']");
    is_string(harness_string("keep", "environ['SERVER_NAME']"), "198.51.100.1");
    get("GET / HTTP/1.0");
    is_string(harness_string("keep", "environ['SERVER_PROTOCOL']"), "HTTP/1.0");
    is_string(harness_string("keep", "'HTTP_HOST' in environ"), "False");
    get("HEAD / HTTP/1.1\r\nHost: back");
    is_string(
        harness_string("keep", "environ['HTTP_HOST'], environ['REQUEST_METHOD'], environ['SERVER_PROTOCOL']"),
        "('back', 'HEAD', 'HTTP/1.1')");
}

static void test_fields(void)
{
    get("GET / HTTP/1.1\r\nHost: a\r\nX-A: 1\r\nx-a: 2\r\nX-A: 1\r\nCookie: a=1\r\nCOOKIE: b=2\r\nX-Latin: "
        "\xe9\r\n"
        "Empty:\r\nProxy: http://evil/\r\nRemote-Addr: 1\r\nScript-Name: /s\r\nWsgi.url-scheme: https\r\n"
        "X_A: spoofed\r\nContent_Length: 7\r\nE: x");
    is_string(harness_string("keep", "environ['HTTP_X_A']"), "1, 2, 1");
    is_string(harness_string("keep", "environ['HTTP_COOKIE']"), "a=1; b=2");
    is_string(harness_string("keep", "ascii(environ['HTTP_X_LATIN'])"), "'\\xe9'");
    is_string(harness_string("keep", "environ['HTTP_EMPTY']"), "");
    is_string(harness_string("keep", "environ['HTTP_PROXY']"), "http://evil/");
    is_string(
        harness_string("keep", "[environ[k] for k in ('REMOTE_ADDR', 'SCRIPT_NAME', 'wsgi.url_scheme')]"),
        "['192.0.2.7', '', 'http']");
    is_string(harness_string("keep", "environ['HTTP_REMOTE_ADDR'], environ['HTTP_SCRIPT_NAME']"),
              "('1', '/s')");
    is_string(harness_string("keep", "'HTTP_CONTENT_LENGTH' in environ or 'CONTENT_LENGTH' in environ"),
              "False");
    is_string(harness_string("keep", "environ['HTTP_E']"), "x");
    is_string(harness_string("keep", "all(type(v) is str for k, v in environ.items() if '.' not in k)"),
              "True");
}

static void test_long_names(void)
{
    char head[1024], name[201];

    memset(name, 'n', 200);
    name[200] = '\0';
    for (int i = 0; i < 3; i++) {
        snprintf(head, sizeof(head), "GET / HTTP/1.1\r\nHost: a\r\n%s: 1\r\n%s-2: 2\r\n%s: 3", name, name,
                 name);
        get(head);
        is_string(harness_string("keep", "environ['HTTP_' + 'N' * 200], environ['HTTP_' + 'N' * 200 + '_2']"),
                  "('1, 3', '2')");
    }
}

static void test_body_lengths(void)
{
    Call c;

    call_init(&c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 05\r\nContent-Type: text/plain");
    call_set_body(&c, "12345", 5);
    call_run(&c, app);
    is_string(harness_string("keep", "environ['CONTENT_LENGTH'], environ['CONTENT_TYPE']"),
              "('5', 'text/plain')");
    is_string(harness_string("keep", "[k for k in environ if k.startswith('HTTP_CONTENT')]"), "[]");
    call_deinit(&c);

    call_init(&c, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked");
    call_set_body(&c, "1234567", 7);
    call_run(&c, app);
    is_string(harness_string("keep", "environ['CONTENT_LENGTH']"), "7");
    is_string(harness_string("keep", "'HTTP_TRANSFER_ENCODING' in environ"), "False");
    call_set_body(&c, "", 0);
    call_run(&c, app);
    is_string(harness_string("keep", "environ['CONTENT_LENGTH']"), "0");
    c.has_body = false; /* it is on its way */
    call_run(&c, app);
    is_string(harness_string("keep", "'CONTENT_LENGTH' in environ"), "False");
    is_string(harness_string("keep", "environ['wsgi.input_terminated']"), "True");
    call_deinit(&c);

    get("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0");
    is_string(harness_string("keep", "environ['CONTENT_LENGTH']"), "0");
    get("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9223372036854775807");
    is_string(harness_string("keep", "environ['CONTENT_LENGTH']"), "9223372036854775807");
}

static void test_peers(void)
{
    Call c;

    call_init(&c, "GET / HTTP/1.1\r\nHost: a");
    c.peer = (WsgiPeer){
        .remote_addr = SPAN_LITERAL(""),
        .remote_port = SPAN_LITERAL(""),
        .server_name = SPAN_LITERAL("unix"),
        .server_port = SPAN_LITERAL("443"),
        .https = true,
    };
    call_run(&c, app);
    is_string(harness_string("keep", "environ['REMOTE_ADDR'], 'REMOTE_PORT' in environ"), "('', False)");
    is_string(
        harness_string("keep", "environ['SERVER_NAME'], environ['SERVER_PORT'], environ['wsgi.url_scheme']"),
        "('unix', '443', 'https')");
    call_deinit(&c);
    get("GET / HTTP/1.1\r\nHost: a");
    is_string(harness_string("keep", "environ['REMOTE_PORT'], environ['wsgi.url_scheme']"),
              "('40000', 'http')");
}

/* A new request each time, to the same application: nothing of one may stay for the next. */
static void is_split(const char *target, const char *prefix, const char *expected)
{
    char head[256];
    Call c;

    snprintf(head, sizeof(head), "GET %s HTTP/1.1\r\nHost: a", target);
    call_init(&c, head);
    c.peer.script_name = span_of(prefix);
    call_run(&c, app);
    is_string(harness_string("keep", "ascii((environ['SCRIPT_NAME'], environ['PATH_INFO']))"), expected);
    is_string(harness_string("keep", "environ['RAW_URI']"), target);
    call_deinit(&c);
}

static void test_script_name(void)
{
    is_split("/shop/list?a", "/shop", "('/shop', '/list')");
    is_split("/shop/list?a", "", "('', '/shop/list')");
    is_split("/shop/list?a", "/shop", "('/shop', '/list')");
    is_split("/shop/", "/shop", "('/shop', '/')");
    is_split("/shop", "/shop", "('/shop', '')");
    is_split("/shop/eu/list", "/shop/eu", "('/shop/eu', '/list')");
    is_split("/shop%2Flist", "/shop", "('/shop', '/shop/list')");
    /* cut off by the proxy */
    is_split("/list", "/shop", "('/shop', '/list')");
    is_split("/shopping", "/shop", "('/shop', '/shopping')");
    is_split("/Shop/list", "/shop", "('/shop', '/Shop/list')");
    is_split("/", "/shop", "('/shop', '/')");
    is_split("/a%20b/c%20d", "/a%20b", "('/a b', '/c d')");
    is_split("/x/%C3%A9", "/%C3%A9", "('/\\xc3\\xa9', '/x/\\xc3\\xa9')");
    is_split("/list", "", "('', '/list')");
}

static void test_forwarded_host(void)
{
    Call c;

    call_init(&c, "GET http://b/ HTTP/1.1\r\nHost: a");
    c.peer.host = SPAN_LITERAL("Example.org:8443");
    call_run(&c, app);
    is_string(harness_string("keep", "environ['HTTP_HOST'], environ['SERVER_NAME']"),
              "('Example.org:8443', '198.51.100.1')");
    c.peer.host = SPAN_LITERAL("");
    call_run(&c, app);
    is_string(harness_string("keep", "environ['HTTP_HOST']"), "b");
    call_deinit(&c);
}

static void test_own_dict(void)
{
    get("GET / HTTP/1.1\r\nHost: a\r\nX-First: 1");
    harness_exec("keep",
                 "first = environ\nfirst['SERVER_NAME'] = 5\nfirst['added'] = 1\ndel first['PATH_INFO']");
    get("GET / HTTP/1.1\r\nHost: a");
    is_string(harness_string("keep", "first is environ"), "False");
    is_string(harness_string("keep", "environ['SERVER_NAME'], environ['PATH_INFO'], 'added' in environ, "
                                     "'HTTP_X_FIRST' in environ"),
              "('198.51.100.1', '/', False, False)");
}

/* --- the base with fields --- */

/* One head after the other, each with the values that are expected of these two keys: whatever a base has learnt. */
static void in_turns(const char *const heads[][2])
{
    for (int round = 0; round < 15; round++)
        for (size_t i = 0; heads[i][0]; i++) {
            char request[512];

            snprintf(request, sizeof request, "GET / HTTP/1.1\r\nHost: a\r\n%s", heads[i][0]);
            get_once(request);
            if (strcmp(harness_string("keep", "environ.get('HTTP_X'), environ.get('HTTP_Y')"), heads[i][1]) !=
                0)
                is_string(harness_string("keep", "environ.get('HTTP_X'), environ.get('HTTP_Y')"),
                          heads[i][1]);
        }
}

static void test_fields_in_turns(void)
{
    in_turns((const char *const[][2]){{"X: 1\r\nY: 2", "('1', '2')"},
                                      {"X: 3\r\nY: 2", "('3', '2')"},
                                      {"X: 1\r\nY: 4", "('1', '4')"},
                                      {NULL}});
    in_turns((const char *const[][2]){
        {"X: 1\r\nY: 2", "('1', '2')"}, {"Y: 2\r\nX: 1", "('1', '2')"}, {"Y: 2", "(None, '2')"}, {NULL}});
    in_turns((const char *const[][2]){{"X: 1", "('1', None)"}, {"Z: 1", "(None, None)"}, {NULL}});
    in_turns((const char *const[][2]){
        {"X: 1\r\nX: 2", "('1, 2', None)"}, {"X: 2\r\nX: 1", "('2, 1', None)"}, {NULL}});
    ok(true, "each has its own");
}

/* A new line before or behind a known one of the same name: the values are joined in the order of the lines. */
static void test_new_fields(void)
{
    for (int i = 0; i < 30; i++) {
        char request[128], expected[64];

        snprintf(request, sizeof request, "GET / HTTP/1.1\r\nHost: a\r\n%s: %d\r\nX: known\r\nY: %d",
                 i % 3 ? "Z" : "X", i, i);
        snprintf(expected, sizeof expected, i % 3 ? "('known', '%d')" : "('%d, known', '%d')", i, i);
        get_once(request);
        is_string(harness_string("keep", "environ['HTTP_X'], environ['HTTP_Y']"), expected);
    }
}

static void test_many_fields(void)
{
    char head[2048] = "GET / HTTP/1.1\r\nHost: a", *end = head + strlen(head);

    for (int i = 0; i < 40; i++) {
        end += sprintf(end, "\r\nN-%d: %d", i, i);
        get(head);
    }
    is_string(
        harness_string("keep", "[environ[f'HTTP_N_{i}'] for i in range(40)] == [str(i) for i in range(40)]"),
        "True");
}

/* What the application does with its dict is its own affair, also while a base has its fields. */
static void test_kept_dicts(void)
{
    harness_exec("keep", "kept = []");
    for (int i = 0; i < 15; i++) {
        get_once("GET / HTTP/1.1\r\nHost: a\r\nX: 1");
        harness_exec("keep", "kept.append(environ)\nenviron['HTTP_X'] += '!'\nenviron['HTTP_Z'] = 1\ndel "
                             "environ['HTTP_HOST']");
    }
    is_string(harness_string("keep",
                             "len(set(map(id, kept))), {e['HTTP_X'] for e in kept}, {len(e) for e in kept}"),
              "(15, {'1!'}, {24})");
    harness_exec("keep", "kept = []");
}

/* They are one client's. */
static void test_credentials(void)
{
    static const char in_any[] =
        "[k for d in __import__('gc').get_objects() if type(d) is dict and 'wsgi.version' in d and d is not "
        "environ "
        "for k in ('HTTP_COOKIE', 'HTTP_AUTHORIZATION', 'HTTP_PROXY_AUTHORIZATION') if k in d]";

    for (int i = 0; i < 15; i++)
        get_once(
            "GET / HTTP/1.1\r\nHost: a\r\nCookie: a\r\nAuthorization: b\r\nX: 1\r\nProxy-Authorization: c");
    is_string(harness_string("keep", "environ['HTTP_COOKIE'], environ['HTTP_AUTHORIZATION']"), "('a', 'b')");
    is_string(harness_string("keep", in_any), "[]");
}

/* Applications look up constants, which are interned: keys should be the same objects. */
static void test_interned_keys(void)
{
    get("GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: x");
    is_string(harness_string("keep", "all(any(k is sys.intern(n) for k in environ) for n in "
                                     "('HTTP_HOST', 'HTTP_USER_AGENT', 'PATH_INFO', 'wsgi.input'))"
                                     " if not globals().update(sys=__import__('sys')) else 0"),
              "True");
}

int main(void)
{
    harness_start();
    app = harness_app("keep");
    test_plain();
    test_path();
    test_forms();
    test_fields();
    test_long_names();
    test_body_lengths();
    test_peers();
    test_script_name();
    test_forwarded_host();
    test_own_dict();
    test_fields_in_turns();
    test_new_fields();
    test_many_fields();
    test_kept_dicts();
    test_credentials();
    test_interned_keys();
    wsgi_app_free(app);
    interpreter_finalize();
    return tap_done();
}
