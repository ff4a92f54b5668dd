/* SPDX-License-Identifier: MIT */
/* Tests of config/config: every option of the table, the syntax, the messages, and that text and values are
 * the same thing. */
#include "config/config.h"
#include "config/reader.h"
#include "tap.h"

#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <syslog.h>

typedef struct Result {
    int r;
    Config *config;
    char *error;
} Result;

static Result parse_sized(const char *text, size_t size, char *const *overrides)
{
    Result result = {0};

    result.r = config_parse(text, size, "shop.ini", overrides, &result.config, &result.error);
    return result;
}

static Result parse(const char *text)
{
    return parse_sized(text, strlen(text), NULL);
}

static Result parse_setting(const char *setting)
{
    char *overrides[] = {(char[]){"app.module=shop"}, strdup(setting), NULL};
    Result result = parse_sized(NULL, 0, overrides);

    free(overrides[1]);
    return result;
}

static void done(Result *result)
{
    config_free(result->config);
    free(result->error);
}

static void accepts_setting(const char *setting)
{
    Result result = parse_setting(setting);

    if (!ok(result.r == 0, "%s", setting))
        printf("# %s\n", result.error);
    done(&result);
}

static void refuses_setting(const char *setting, const char *message)
{
    Result result = parse_setting(setting);

    if (!ok(result.r == CONFIG_E_INVALID && strstr(result.error, message), "%s", setting))
        printf("# got: %s\n", result.error ? result.error : "no error");
    done(&result);
}

/* The errors of a file, whole. */
static void errors_are(const char *text, const char *expected)
{
    Result result = parse(text);

    is_int(result.r, CONFIG_E_INVALID);
    is_string(result.error, expected);
    done(&result);
}

/* --- the table --- */

static void try_number(const ConfigOption *o, uint64_t value, const char *message)
{
    const char *unit = o->type_id == CONFIG_DURATION ? "us" : "";
    char setting[128];

    snprintf(setting, sizeof(setting), "%s.%s=%" PRIu64 "%s", o->section, o->key, value, unit);
    if (message)
        refuses_setting(setting, message);
    else
        accepts_setting(setting);
}

static void test_range(const ConfigOption *o)
{
    char setting[128], range[CONFIG_RANGE_MAX];

    try_number(o, o->min, NULL);
    try_number(o, o->max, NULL);
    if (o->min > 0)
        try_number(o, o->min - 1, config_option_range(o, range));
    if (o->max < UINT64_MAX)
        try_number(o, o->max + 1, config_option_range(o, range));
    snprintf(setting, sizeof(setting), "%s.%s=99999999999999999999", o->section, o->key);
    refuses_setting(setting, "out of range");
    snprintf(setting, sizeof(setting), "%s.%s=-1", o->section, o->key);
    refuses_setting(setting, o->default_value);
}

static void test_table(void)
{
    for (size_t i = 0; i < config_n_options; i++) {
        const ConfigOption *o = &config_options[i];
        bool number = o->type_id == CONFIG_UINT || o->type_id == CONFIG_SIZE || o->type_id == CONFIG_DURATION;
        char setting[256];

        snprintf(setting, sizeof(setting), "%s.%s=%s", o->section, o->key, o->default_value);
        if (strcmp(setting, "app.module=") != 0)
            accepts_setting(setting);
        ok(*o->doc && o->doc[strlen(o->doc) - 1] == '.', "%s", setting);
        if (number)
            test_range(o);
        else if (o->type_id == CONFIG_BOOL || o->type_id == CONFIG_LEVEL || o->type_id == CONFIG_PATH) {
            snprintf(setting, sizeof(setting), "%s.%s=maybe", o->section, o->key);
            refuses_setting(setting, "\"maybe\" is n");
        }
    }
}

/* The one place where defaults are written down a second time: changing one is a change for every user. */
static void test_defaults(void)
{
    Result result = parse("[app]\nmodule = shop.wsgi\n");
    const Config *c = result.config;

    is_int(result.r, 0);
    is_string(c->app_module, "shop.wsgi");
    is_string(c->app_virtualenv, NULL);
    is_int(strv_length(c->app_environment), 0);
    is_int(c->workers_count, 2);
    is_int(c->workers_threads, 1);
    ok(!c->workers_preload);
    is_int(c->timeouts_request, 30 * USEC_PER_SEC);
    is_int(c->timeouts_keepalive, 75 * USEC_PER_SEC);
    is_int(c->limits_request_line, 8190);
    is_int(c->limits_head, 64 << 10);
    is_int(c->limits_body, 1 << 30);
    is_int(strv_length(c->proxy_trusted), 3);
    is_string(c->proxy_trusted[2], "unix");
    is_int(c->log_level, LOG_INFO);
    is_string(c->log_access, "off");
    is_string(c->log_access_format, "%(h)s %(l)s %(u)s %(t)s \"%(r)s\" %(s)s %(b)s \"%(f)s\" \"%(a)s\"");
    is_string(c->service_user, NULL);
    is_int(strv_length(c->socket_listen), 0);
    done(&result);
}

/* --- the syntax --- */

static void test_syntax(void)
{
    static const char text[] = "\xef\xbb\xbf# comment\r\n"
                               "[app] # the application\r\n"
                               "module : shop.wsgi:make( 'a',\r\n"
                               "   b=1 ) ; comment\r\n"
                               "  ; comment\n"
                               "\n"
                               "environment = A=1;2 ; comment\n"
                               "    B = two  words ; comment\n"
                               "    # comment\n"
                               "    C==\xc3\xa4\n"
                               "pythonpath =\n"
                               "\t/a\t/b\n"
                               "\t/c ;/d\n"
                               "[limits]\n"
                               "  request-line = 100\n"
                               "body_memory = ; empty is refused\n"
                               "[app]\n"
                               "chdir = /srv/shop";
    Result result;

    errors_are(
        text,
        "shop.ini:8: app.environment: \"B \" is no name of a variable; write one NAME=value a line, for "
        "example DJANGO_SETTINGS_MODULE=shop.settings\n"
        "shop.ini:16: limits.body_memory: \"\" is no size; write 0 to 1G, for example 1M");
    result = parse(
        "[app]\nmodule : shop.wsgi:make( 'a',\r\n   b=1 ) ; comment\n  ; comment\n\nenvironment = A=1;2 ; "
        "x\n    # comment\n    B=two  words ; x\npythonpath =\n\t/a\t/b\n\t/c ;/d\n[limits]\n  "
        "request-line = 100\n[app] ; again\nchdir = /srv/shop");
    is_int(result.r, 0);
    is_string(result.config->app_module, "shop.wsgi:make( 'a', b=1 )");
    is_int(strv_length(result.config->app_environment), 2);
    is_string(result.config->app_environment[0], "A=1;2");
    is_string(result.config->app_environment[1], "B=two  words");
    is_int(strv_length(result.config->app_pythonpath), 3);
    is_string(result.config->app_pythonpath[2], "/c");
    is_int(result.config->limits_request_line, 100);
    is_string(result.config->app_chdir, "/srv/shop");
    done(&result);
}

static void test_syntax_errors(void)
{
    static const char nul[] = "[app]\nmodule = a\0b\n[workers]\ncount = 3\n";
    Result result;

    errors_are("module = shop\n[app]\nmodule = shop\n",
               "shop.ini:1: module: stands in front of the first section; begin with [app]");
    errors_are("[app\nmodul = shop\n[app]\nmodule = shop\n[log]x\nlevel = no\n",
               "shop.ini:1: no ']' behind the name of the section, for example [app]\n"
               "shop.ini:5: text behind [section]; a key must have a line of its own");
    errors_are(
        "[app]\nmodule = shop\n[log]\nlevel\n    info\n= info\n",
        "shop.ini:4: neither [section] nor key = value; more of the value of a line above must be indented\n"
        "shop.ini:5: neither [section] nor key = value; more of the value of a line above must be indented\n"
        "shop.ini:6: no key in front of '='");
    errors_are(
        "[app]\nmodule = shop\n[workers]\ncount = 3\n  threads = 2\n",
        "shop.ini:4: workers.count: \"3 threads = 2\" is no whole number; write 1 to 1024, for example 2\n"
        "shop.ini:5: this line is indented, so it continues the value of workers.count");
    result = parse_sized(nul, sizeof(nul) - 1, NULL);
    is_string(result.error,
              "shop.ini:2: a NUL octet; the file must be plain text\n"
              "shop.ini: app.module: missing; name the application in section [app], for example module = "
              "shop.wsgi:application");
    done(&result);
    errors_are("[app]\nmodule = shop\n[log]\naccess = /\x1b\n[service]\nuser = \xc3\n",
               "shop.ini:4: a control character; only tabs and line ends are allowed\n"
               "shop.ini:6: an octet that is not UTF-8; save the file in UTF-8");
}

static void test_utf8(void)
{
    static const char *const good[] = {
        "a\tb",         "\xc2\x80",     "\xdf\xbf",         "\xe0\xa0\x80",
        "\xed\x9f\xbf", "\xef\xbf\xbf", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"};
    static const char *const bad[] = {"\x80",
                                      "\xc1\xbf",
                                      "\xc2",
                                      "\xe0\x9f\xbf",
                                      "\xed\xa0\x80",
                                      "\xe2\x82",
                                      "\xf0\x8f\xbf\xbf",
                                      "\xf4\x90\x80\x80",
                                      "\xf5\x80\x80\x80",
                                      "\x7f",
                                      "\n"};

    for (size_t i = 0; i < ELEMENTSOF(good); i++)
        ok(reader_bad_octet(span_of(good[i])) == NULL, "%zu", i);
    for (size_t i = 0; i < ELEMENTSOF(bad); i++)
        ok(reader_bad_octet(span_of(bad[i])) != NULL, "%zu", i);
}

static void test_unknown_names(void)
{
    errors_are("[app]\nmodule = shop\n[worker]\ncount = 3\n[frobnicate]\nx = y\n  z\n",
               "shop.ini:3: [worker]: unknown section, did you mean [workers]?\n"
               "shop.ini:5: [frobnicate]: unknown section; `cgunicorn options` lists all");
    errors_are("[app]\nmodule = shop\nmodul = shop\n[timeouts]\nkeep-alive = 2\ncount = 2\nxyzzy = 1\n  2\n",
               "shop.ini:3: app.modul: unknown key, did you mean module?\n"
               "shop.ini:5: timeouts.keep-alive: unknown key, did you mean keepalive?\n"
               "shop.ini:6: timeouts.count: unknown key, did you mean count in [workers]?\n"
               "shop.ini:7: timeouts.xyzzy: unknown key; `cgunicorn options` lists all");
    errors_are(
        "[app]\nmodule = shop\n[a\"\x1b[section that has a name which is much longer than any other name]\n",
        "shop.ini:3: a control character; only tabs and line ends are allowed");
    errors_are("[app]\nmodule = shop\n[\xc3\xa4\"]\n",
               "shop.ini:3: [\\xc3\\xa4\\\"]: unknown section; `cgunicorn options` lists all");
}

static void test_duplicates(void)
{
    errors_are("[limits]\nrequest-line = 100\n[app]\nmodule = shop\n[limits]\nrequest_line = 200\n   300\n",
               "shop.ini:6: limits.request_line: set twice, first in line 2; keep one of them");
}

static void test_missing_module(void)
{
    static const char missing[] =
        "app.module: missing; name the application in section [app], for example module = "
        "shop.wsgi:application";
    char *overrides[] = {(char[]){"app.module=shop"}, NULL}, expected[256];
    Result result = parse_sized("[app]\n", 6, overrides);

    is_int(result.r, 0);
    done(&result);
    snprintf(expected, sizeof(expected), "shop.ini: %s", missing);
    errors_are("", expected);
    errors_are("[app]\nmodule = ; none\n", expected);
    errors_are("[app]\nmodule = shop/wsgi.py\n",
               "shop.ini:2: app.module: \"shop/wsgi.py\" is no application; write module:callable or "
               "module:factory(), for example shop.wsgi:application");
    result = parse_sized(NULL, 0, NULL);
    snprintf(expected, sizeof(expected), "command line: %s", missing);
    is_string(result.error, expected);
    done(&result);
}

static void test_long_lines(void)
{
    char text[READER_LINE_MAX + 64], *p = stpcpy(text, "[app]\nmodule=");

    memset(p, 'x', READER_LINE_MAX - strlen("module="));
    strcpy(p + READER_LINE_MAX - strlen("module="), "\n[log]\nlevel=debug\n");
    {
        Result result = parse(text);

        ok(result.r == CONFIG_E_INVALID && strstr(result.error, "shop.ini:2: app.module: "));
        ok(strstr(result.error, "is too long") != NULL); /* " = " would not fit */
        done(&result);
    }
    strcpy(p + READER_LINE_MAX - strlen("module="), "x\n[log]\nlevel=no\n");
    errors_are(
        text, "shop.ini:2: line longer than 8190 octets; split the value over indented lines\n"
              "shop.ini:4: log.level: \"no\" is no level; write debug, info, warning, error or critical, for "
              "example info\n"
              "shop.ini: app.module: missing; name the application in section [app], for example module = "
              "shop.wsgi:application");
}

/* --- single keys --- */

static void test_keys(void)
{
    static const char *const good[] = {
        "app.module=shop",
        "app.module=shop.wsgi:app",
        "app.module=shop:make('x', y=2)",
        "app.module=l\xc3\xa4"
        "den:app",
        "app.hooks=shop.hooks",
        "app.environment=A=1\n _b2=",
        "proxy.trusted=",
        "proxy.trusted=10.0.0.0/8 ::1 fe80::/10 unix 0.0.0.0/0",
        "proxy.headers=X-Forwarded-SSL x-forwarded-protocol",
        "proxy.forwarder_headers=SCRIPT_NAME remote_user HTTP_X",
        "proxy.protocol=all 8000 127.0.0.1:80 [::1]:80 /run/x.sock",
        "request.header_map=refuse",
        "log.access=journal",
        "log.access=/var/log/a",
        "log.access-format=%(h)s %({x-y}i)s %%",
        "service.user=www-data",
        "service.user=1000",
        "service.group=_x",
        "socket.mode=0",
        "socket.mode=0777",
        "socket.listen=80 1.2.3.4:65535 [::]:1 /run/shop.sock",
        "workers.preload=on",
        "timeouts.load=1min 30s",
        "limits.body=2T",
        " workers.count = 3 ",
    };
    static const char *const bad[][2] = {
        {"app.module=shop:", "\"shop:\" is no application"},
        {"app.module=3shop", "is no application"},
        {"app.module=shop()", "is no application"},
        {"app.module=shop:f(", "is no application"},
        {"app.module=shop:a b", "is no application"},
        {"app.module=shop:a\nb", "a control character"},
        {"app.hooks=shop:hooks", "\"shop:hooks\" is no module"},
        {"app.hooks=shop.", "is no module"},
        {"app.hooks=hooks/shop.py", "is no module"},
        {"app.environment=A=1\nPASS-WORD=hidden", "\"PASS-WORD\" is no name"},
        {"app.environment=1A=x", "is no name"},
        {"app.sendfile_roots=/srv/a media", "\"media\" is no absolute path"},
        {"app.sendfile_roots=protected/=/srv/media", "is no absolute path"},
        {"app.environment=A=x ;y", "begins a comment"},
        {"app.pythonpath=/a #b", "begins a comment"},
        {"app.chdir=srv", "is no absolute path"},
        {"proxy.trusted=*", "is no peer"},
        {"proxy.trusted=10.0.0.0/33", "is no peer"},
        {"proxy.headers=x-real-ip", "is no such field"},
        {"proxy.trusted=::/129", "is no peer"},
        {"proxy.trusted=10.0.0.0/", "is no peer"},
        {"proxy.forwarder_headers=X-Remote-User", "is no name with '_'"},
        {"proxy.forwarder_headers=REMOTEUSER", "is no name with '_'"},
        {"proxy.forwarder_headers=SCRIPT_NAME:", "is no name with '_'"},
        {"proxy.forwarder_headers=SCRIPT_NAME Path_Info", "is not for proxies to set"},
        {"proxy.forwarder_headers=content_length", "would hide"},
        {"proxy.forwarder_headers=X_FORWARDED_FOR", "would hide"},
        {"proxy.protocol=yes", "is no address"},
        {"proxy.protocol=127.0.0.1", "is no address"},
        {"request.header_map=dangerous", "is not offered"},
        {"request.header_map=", "is neither drop nor refuse"},
        {"request.header_map=Drop", "is neither drop nor refuse"},
        {"proxy.trusted=localhost", "is no peer"},
        {"log.access=", "is neither off"},
        {"log.access=access.log", "is neither off"},
        {"log.access-format=", "is no format"},
        {"log.access-format=%(h)s %x y", "\"%x y\" begins with no atom"},
        {"service.user=-x", "is no name"},
        {"service.group=a b", "is no name"},
        {"socket.mode=0888", "is no mode"},
        {"socket.mode=1777", "is no mode"},
        {"socket.listen=0", "is no address"},
        {"socket.listen=65536", "is no address"},
        {"socket.listen=localhost:80", "is no address"},
        {"socket.listen=::1:80", "is no address"},
        {"socket.listen=[::1]", "is no address"},
        {"socket.listen=[1.2.3.4]:80", "is no address"},
        {"socket.listen=unix:/run/x", "without unix:"},
        {"workers.count", "is no setting"},
        {"count=3", "is no setting"},
        {"worker.count=3", "--set worker.count: unknown key"},
        {"workers.cuont=3", "--set workers.cuont: unknown key, did you mean count?"},
    };
    char setting[160] = "socket.listen=/";

    for (size_t i = 0; i < ELEMENTSOF(good); i++)
        accepts_setting(good[i]);
    for (size_t i = 0; i < ELEMENTSOF(bad); i++)
        refuses_setting(bad[i][0], bad[i][1]);
    memset(setting + strlen(setting), 'x', 106);
    accepts_setting(setting);
    setting[strlen(setting)] = 'x';
    refuses_setting(setting, "too long for a Unix socket");
}

static void test_overrides(void)
{
    static const char text[] =
        "[app]\nmodule = shop\nenvironment = A=1\n[workers]\ncount = 3\n[socket]\nlisten = 80\n";
    char *overrides[] = {(char[]){"workers.count=4"}, (char[]){"workers.count=5"},
                         (char[]){"socket.listen=81 82"}, (char[]){"app.environment="}, NULL};
    Result result = parse_sized(text, strlen(text), overrides);

    is_int(result.r, 0);
    is_int(result.config->workers_count, 5);
    is_int(strv_length(result.config->socket_listen), 2);
    is_string(result.config->socket_listen[0], "81");
    is_int(strv_length(result.config->app_environment), 0);
    done(&result);
}

/* --- text and values --- */

static bool lists_equal(char *const *a, char *const *b)
{
    size_t n = strv_length(a);
    bool same = n == strv_length(b);

    for (size_t i = 0; same && i < n; i++)
        same = strcmp(a[i], b[i]) == 0;
    return same;
}

static bool strings_equal(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

#define EQUAL_STRING(a, b) strings_equal(a, b)
#define EQUAL_PATH(a, b) strings_equal(a, b)
#define EQUAL_BOOL(a, b) ((a) == (b))
#define EQUAL_UINT(a, b) ((a) == (b))
#define EQUAL_SIZE(a, b) ((a) == (b))
#define EQUAL_DURATION(a, b) ((a) == (b))
#define EQUAL_LEVEL(a, b) ((a) == (b))
#define EQUAL_WORDS(a, b) lists_equal(a, b)
#define EQUAL_LINES(a, b) lists_equal(a, b)

static bool configs_equal(const Config *a, const Config *b)
{
    return true
#define OPTION(section, key, type, default_, min, max, doc) \
    &&EQUAL_##type(a->section##_##key, b->section##_##key)
#include "config/options.def"
#undef OPTION
        ;
}

static bool round_trips(const Config *c, bool all)
{
    _cleanup_free_ char *text = NULL;
    Result again;
    bool same;

    if (config_format(c, all, &text) != 0)
        return false;
    again = parse(text);
    same = again.r == 0 && configs_equal(c, again.config);
    if (!same)
        printf("# %s\n# %s\n", text, again.error ? again.error : "differs");
    done(&again);
    return same;
}

/* A linear congruential generator: the same values in every run. */
static unsigned next_random(unsigned *state)
{
    *state = *state * 1103515245 + 12345;
    return *state >> 16;
}

/* Text of the letters that mean something in an INI file, and others. */
static void random_text(unsigned *state, char *to, size_t max, const char *letters)
{
    size_t n = next_random(state) % max;

    for (size_t i = 0; i < n; i++)
        to[i] = letters[next_random(state) % strlen(letters)];
    to[n] = '\0';
}

static void test_round_trip_of_settings(void)
{
    static const char *const keys[] = {"app.module", "app.pythonpath",    "app.environment", "app.chdir",
                                       "log.access", "log.access_format", "proxy.trusted"};
    static const char *const starts[] = {"", "/", "A=", "A=\nB=", "%(h)s", "unix ", "shop:f("};
    unsigned state = 1, n_accepted = 0, n_bad = 0;

    for (unsigned i = 0; i < 20000; i++) {
        char setting[128], *p = setting;
        Result result;

        p += sprintf(p, "%s=%s", keys[next_random(&state) % ELEMENTSOF(keys)],
                     starts[next_random(&state) % ELEMENTSOF(starts)]);
        random_text(&state, p, 12, "aZ/ \t;#\"'=:[]().%\\\n,1\xc3\xa4");
        result = parse_setting(setting);
        n_accepted += result.r == 0;
        if (result.r == 0 && !(round_trips(result.config, false) && round_trips(result.config, true)))
            n_bad++;
        done(&result);
    }
    is_int(n_bad, 0);
    ok(n_accepted > 2000, "%u settings were accepted", n_accepted);
}

static void test_round_trip_of_numbers(void)
{
    unsigned state = 2, n_bad = 0;

    for (unsigned i = 0; i < 2000; i++) {
        uint64_t n = (uint64_t)next_random(&state) * (uint64_t)next_random(&state) % 3600000000;
        char setting[128];
        Result result;

        snprintf(setting, sizeof(setting), i % 2 ? "timeouts.request=%" PRIu64 "us" : "limits.body=%" PRIu64,
                 n);
        result = parse_setting(setting);
        n_bad += result.r != 0 || !round_trips(result.config, false);
        done(&result);
    }
    is_int(n_bad, 0);
}

/* Whatever a file holds: an answer, and a configuration only if it can be written down again. */
static void test_random_files(void)
{
    static const char *const lines[] = {"[app]",    "[workers]", "module=a",    "module",
                                        "count = ", "[",         "listen = 80", "environment =",
                                        "  A=1",    "\t;",       "#",           "pythonpath = /a",
                                        " ",        "[app] ;",   "\xff",        "\r",
                                        "A=2",      "=x",        "[socket]",    "[x",
                                        ":",        "[]"};
    unsigned state = 3, n_accepted = 0, n_bad = 0;

    for (unsigned i = 0; i < 20000; i++) {
        char text[512], *p = text;
        Result result;

        if (i % 2)
            p = stpcpy(p, "[app]\nmodule = shop\n");
        for (unsigned n = next_random(&state) % 7; n > 0; n--)
            p += sprintf(p, "%s%s", lines[next_random(&state) % ELEMENTSOF(lines)], n % 5 ? "\n" : "\r\n");
        result = parse(text);
        n_accepted += result.r == 0;
        n_bad += result.r == 0 ? !round_trips(result.config, true) : !result.error || !*result.error;
        done(&result);
    }
    is_int(n_bad, 0);
    ok(n_accepted > 500, "%u files were accepted", n_accepted);
}

static void test_format(void)
{
    Result result = parse(
        "[app]\nmodule = shop\nenvironment = A=1\n  B=2\n[timeouts]\nrequest = 90s\n[workers]\ncount = 2\n");
    _cleanup_free_ char *text = NULL;

    is_int(config_format(result.config, false, &text), 0);
    is_string(text, "[app]\nmodule = shop\nenvironment =\n    A=1\n    B=2\n\n[timeouts]\nrequest = 90s\n");
    done(&result);
}

/* --- files --- */

static void read_fails(const char *path, const char *message)
{
    _cleanup_free_ char *data = NULL, *error = NULL;
    char expected[256];
    size_t size;

    snprintf(expected, sizeof(expected), "%s: %s", path, message);
    is_int(config_read_file(path, &data, &size, &error), CONFIG_E_INVALID);
    is_string(error, expected);
}

static void test_read_file(void)
{
    char directory[] = "/tmp/cgunicorn-config-XXXXXX", path[64], fifo[64];
    _cleanup_free_ char *data = NULL, *error = NULL;
    size_t size = 0;
    FILE *f;

    if (!ok(mkdtemp(directory) != NULL))
        return;
    snprintf(path, sizeof(path), "%s/shop.ini", directory);
    snprintf(fifo, sizeof(fifo), "%s/fifo.ini", directory);
    read_fails(path, "No such file or directory");
    read_fails(directory, "a directory, not a file");
    ok(mkfifo(fifo, 0600) == 0);
    read_fails(fifo, "not a regular file");

    f = fopen(path, "w");
    fputs("[app]\n", f);
    fclose(f);
    is_int(config_read_file(path, &data, &size, &error), 0);
    is_int(size, 6);
    is_string(data, "[app]\n");
    ok(truncate(path, CONFIG_SIZE_MAX + 1) == 0);
    read_fails(path, "larger than 1 MiB, which no configuration is");
    unlink(path);
    unlink(fifo);
    rmdir(directory);
}

static void test_site_names(void)
{
    static const char *const good[] = {"a", "shop", "shop-2", "abcdefghijklmnopqrstu"};
    static const char *const bad[] = {
        "", "2shop", "-a", "Shop", "a.b", "a_b", "a/b", "a b", "abcdefghijklmnopqrstuv", "\xc3\xa4"};

    for (size_t i = 0; i < ELEMENTSOF(good); i++)
        ok(config_site_name_is_valid(good[i]), "%s", good[i]);
    for (size_t i = 0; i < ELEMENTSOF(bad); i++)
        ok(!config_site_name_is_valid(bad[i]), "%s", bad[i]);
}

int main(void)
{
    test_table();
    test_defaults();
    test_syntax();
    test_syntax_errors();
    test_utf8();
    test_unknown_names();
    test_duplicates();
    test_missing_module();
    test_long_lines();
    test_keys();
    test_overrides();
    test_round_trip_of_settings();
    test_round_trip_of_numbers();
    test_random_files();
    test_format();
    test_read_file();
    test_site_names();
    return tap_done();
}
