/* SPDX-License-Identifier: MIT */
/* Unit tests of worker/access-log and worker/access-line: each atom, hostile octets, files that are full, the
 * journal's form (as lines on stderr, where records go without a journal). */
#include "worker/access-log.h"

#include "base/log.h"
#include "tap.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

static char directory[] = "/tmp/cgunicorn-access.XXXXXX";
static char path[sizeof(directory) + 16];
static char got[1 << 20];

/* The file's contents into `got`. */
static const char *read_file(const char *name)
{
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, got, sizeof(got) - 1);

    close(fd);
    got[n < 0 ? 0 : n] = '\0';
    return got;
}

static Field fields[] = {
    {.name = SPAN_LITERAL("Host"), .value = SPAN_LITERAL("example.org")},
    {.name = SPAN_LITERAL("Referer"), .value = SPAN_LITERAL("http://a/\"b\"")},
    {.name = SPAN_LITERAL("User-Agent"), .value = SPAN_LITERAL("curl/8\x1b[31m")},
    {.name = SPAN_LITERAL("Authorization"), .value = SPAN_LITERAL("Basic YWxhZGRpbjpvcGVuIHNlc2FtZQ==")},
    {.name = SPAN_LITERAL("X-Empty"), .value = SPAN_LITERAL("")},
};

static Request request = {
    .method = SPAN_LITERAL("GET"),
    .target = SPAN_LITERAL("/a%20b\n\xc3\xa9?x=1"),
    .path = SPAN_LITERAL("/a%20b\n\xc3\xa9"),
    .query = SPAN_LITERAL("x=1"),
    .host = SPAN_LITERAL("example.org"),
    .fields = fields,
    .n_fields = ELEMENTSOF(fields),
    .version_minor = 1,
};

static const WsgiPeer peer = {
    .remote_addr = SPAN_LITERAL("192.0.2.7"),
    .remote_port = SPAN_LITERAL("4711"),
    .server_name = SPAN_LITERAL("127.0.0.1"),
    .server_port = SPAN_LITERAL("8000"),
    .https = true,
};

static AccessEntry entry = {
    .request = &request,
    .status = 200,
    .body_size = 1234,
    .peer = &peer,
    .duration_usec = UINT64_C(90061) * USEC_PER_SEC + 5123, /* over a day */
};

/* The line of that format for e. */
static const char *line_of(const char *format, const AccessEntry *e)
{
    AccessLog *l = NULL;

    unlink(path);
    if (access_log_new(path, format, &l) < 0)
        return NULL;
    access_log_add(l, e);
    access_log_free(l);
    return read_file(path);
}

static void test_atoms(void)
{
    char expected[64];

    is_string(line_of("%(h)s %(l)s %(u)s", &entry), "192.0.2.7 - aladdin\n");
    is_string(line_of("\"%(r)s\" %(s)s %(b)s %(B)s", &entry),
              "\"GET /a%20b\\x0a\\xc3\\xa9?x=1 HTTP/1.1\" 200 1234 1234\n");
    is_string(line_of("%(m)s %(U)s %(q)s %(H)s", &entry), "GET /a%20b\\x0a\\xc3\\xa9 x=1 HTTP/1.1\n");
    is_string(line_of("\"%(f)s\" \"%(a)s\"", &entry), "\"http://a/\\\"b\\\"\" \"curl/8\\x1b[31m\"\n");
    is_string(line_of("%(T)s %(D)s %(M)s %(L)s", &entry), "90061 90061005123 90061005 90061.005123\n");
    snprintf(expected, sizeof(expected), "<%d>\n", (int)getpid());
    is_string(line_of("%(p)s", &entry), expected);
    is_string(line_of("%({user-agent}i)s|%({x-empty}i)s|%({nothing}i)s", &entry), "curl/8\\x1b[31m||-\n");
    is_string(line_of("%({REQUEST_METHOD}e)s %({PATH_INFO}e)s %({QUERY_STRING}e)s", &entry),
              "GET /a%20b\\x0a\\xc3\\xa9 x=1\n");
    is_string(line_of("%({REMOTE_ADDR}e)s %({SERVER_PROTOCOL}e)s %({HTTP_HOST}e)s", &entry),
              "192.0.2.7 HTTP/1.1 example.org\n");
    is_string(
        line_of("%({SERVER_NAME}e)s:%({SERVER_PORT}e)s %({REMOTE_PORT}e)s %({wsgi.url_scheme}e)s", &entry),
        "127.0.0.1:8000 4711 https\n");
    is_string(line_of("%({CONTENT_TYPE}e)s %({CONTENT_LENGTH}e)s", &entry), "- -\n");
    is_string(line_of("%({HTTP_USER_AGENT}e)s", &entry), "curl/8\\x1b[31m\n");
    is_string(line_of("%({HTTP_USER-AGENT}e)s %({HTTP_}e)s %({wsgi.input}e)s %({http_host}e)s", &entry),
              "- - - -\n");
    is_string(line_of("100%% %%(h)s", &entry), "100% %(h)s\n");
    is_string(line_of("", &entry), "\n");
}

static void test_time(void)
{
    int day, year, hour, minute, second, offset, n = 0;
    char month[4];
    bool good;

    line_of("%(t)s", &entry);
    good = sscanf(got, "[%2d/%3s/%4d:%2d:%2d:%2d %5d]\n%n", &day, month, &year, &hour, &minute, &second,
                  &offset, &n) == 7 &&
           n == (int)strlen(got) && year > 2000;
    ok(good, "a date");
}

static void test_response_fields(void)
{
    AccessEntry e = entry;
    Response p;

    response_init(&p);
    response_set_status(&p, "200 OK", 6);
    response_add_field(&p, "Content-Type", 12, "text/plain", 10);
    response_add_field(&p, "X-Empty", 7, "", 0);
    e.response = &p;
    is_string(line_of("%({content-type}o)s|%({X-EMPTY}o)s|%({content}o)s", &e), "text/plain||-\n");
    is_string(line_of("%({content-type}o)s", &entry), "-\n");
    response_deinit(&p);
}

/* Refused before there was a request. */
static void test_empty_request(void)
{
    Request q;
    AccessEntry e = {.peer = &peer, .request = &q, .status = 400};

    request_init(&q);
    is_string(line_of("%(h)s %(l)s %(u)s \"%(r)s\" %(s)s %(b)s \"%(f)s\" \"%(a)s\"", &e),
              "192.0.2.7 - - \"-\" 400 0 \"-\" \"-\"\n");
    is_string(line_of("%(m)s %(U)s [%(q)s] %({REQUEST_METHOD}e)s [%({QUERY_STRING}e)s]", &e),
              "- - [] - []\n");
}

static void test_users(void)
{
    static const struct {
        const char *value, *user;
    } cases[] = {
        {"Basic YTpi", "a\n"},                            /* a:b */
        {"bAsIc YTpi", "a\n"},     {"Basic YTo=", "a\n"}, /* a: */
        {"Basic YSI6", "a\\\"\n"},                        /* a": */
        {"Basic YQ==", "-\n"},                            /* a */
        {"Basic OmI=", "-\n"},                            /* :b */
        {"Basic \x80YTpi", "-\n"}, {"Basic ", "-\n"},     {"Basic", "-\n"},
        {"Bearer YTpi", "-\n"},    {"", "-\n"},
    };
    Field field = {.name = SPAN_LITERAL("authorization")};
    Request q = {.fields = &field, .n_fields = 1};
    AccessEntry e = {.peer = &peer, .request = &q};
    char *value = malloc(2000);

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        field.value = span_of(cases[i].value);
        is_string(line_of("%(u)s", &e), cases[i].user);
    }
    memset(value, 'A', 2000);
    memcpy(value, "Basic ", 6);
    field.value = (Span){value, 2000};
    is_string(line_of("%(u)s", &e), "-\n");
    free(value);
}

static void test_long_values(void)
{
    _cleanup_free_ char *target = malloc(100000);
    Request q = request;
    AccessEntry e = {.peer = &peer, .request = &q};

    memset(target, '\n', 100000);
    q.target = (Span){target, 8190};
    line_of("%(r)s", &e);
    ok(strlen(got) < 17000 && strstr(got, "... HTTP/1.1\n"), "a long one is cut");
    memset(target, 'x', 100000);
    is_int(strlen(line_of("%(r)s", &e)), 4 + 8190 + 9 + 1);
    q.target.size = 100000;
    line_of("%(r)s", &e);
    ok(strlen(got) < 17000 && strstr(got, "xxx... HTTP/1.1\n"));
}

static void test_file(void)
{
    _cleanup_(access_log_freep) AccessLog *l = NULL;
    struct stat st;
    size_t size;

    unlink(path);
    umask(0);
    is_int(access_log_new("/nonexistent/log", "%(h)s", &l), -ENOENT);
    is_int(access_log_new(path, "%(nothing)s", &l), -EINVAL);
    is_int(access_log_new(path, "%(h)s", &l), 0);
    ok(stat(path, &st) == 0 && (st.st_mode & 07777) == 0640, "mode 0640");
    access_log_add(l, &entry);
    is_string(read_file(path), "");
    access_log_flush(l);
    is_string(read_file(path), "192.0.2.7\n");
    for (int i = 0; i < 32 * 1024 / 10; i++)
        access_log_add(l, &entry);
    is_int(strlen(read_file(path)), 10);
    access_log_add(l, &entry);
    size = strlen(read_file(path));
    is_int(size, (32 * 1024 / 10 + 2) * 10);
    l = access_log_free(l);
    is_int(access_log_new(path, "again", &l), 0);
    access_log_add(l, &entry);
    l = access_log_free(l);
    is_string(read_file(path) + size, "again\n");
}

/* What the server says on stderr while f runs. By a pipe, which has no limit of file sizes. */
static const char *stderr_of(void (*f)(AccessLog *l), AccessLog *l)
{
    int saved = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3), ends[2];
    ssize_t n;

    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0 || dup2(ends[1], STDERR_FILENO) < 0)
        abort();
    f(l);
    dup2(saved, STDERR_FILENO);
    n = read(ends[0], got, sizeof(got) - 1);
    got[n < 0 ? 0 : n] = '\0';
    close(ends[0]);
    close(ends[1]);
    close(saved);
    return got;
}

static void add_one(AccessLog *l)
{
    access_log_add(l, &entry);
}

static void add_many(AccessLog *l)
{
    for (int i = 0; i < 20000; i++)
        access_log_add(l, &entry);
}

static void add_two(AccessLog *l)
{
    access_log_add(l, &entry);
    access_log_add(l, &entry);
    access_log_flush(l);
}

static void set_file_size_max(rlim_t size)
{
    struct rlimit limit;

    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = size == RLIM_INFINITY ? limit.rlim_max : size;
    setrlimit(RLIMIT_FSIZE, &limit);
}

/* A file system that is full and is not again: RLIMIT_FSIZE stands for it, with EFBIG for ENOSPC. */
static void test_write_errors(void)
{
    AccessLog *l = NULL;

    is_int(access_log_new("/dev/full", "%(h)s", &l), 0);
    stderr_of(add_two, l);
    ok(strstr(got, "[WARNING] access log /dev/full: No space left on device: lines are being lost\n"));
    is_string(stderr_of(add_two, l), "");
    access_log_free(l);

    signal(SIGXFSZ, SIG_IGN);
    unlink(path);
    access_log_new(path, "%(h)s", &l);
    set_file_size_max(14);
    stderr_of(add_two, l);
    ok(strstr(got, "lines are being lost\n"));
    is_string(read_file(path), "192.0.2.7\n192.");
    stderr_of(add_two, l);
    is_string(got, "");
    set_file_size_max(RLIM_INFINITY);
    stderr_of(add_two, l);
    ok(strstr(got, "written again, 3 lines were lost\n"));
    is_string(read_file(path), "192.0.2.7\n192.\n192.0.2.7\n192.0.2.7\n");
    is_string(stderr_of(add_two, l), "");
    access_log_free(l);
}

static void test_fifo(void)
{
    AccessLog *l = NULL;
    char data[64];
    int reader;

    unlink(path);
    if (mkfifo(path, 0600) < 0)
        abort();
    is_int(access_log_new(path, "%(h)s", &l), -ENXIO);
    reader = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    is_int(access_log_new(path, "%(h)s", &l), 0);
    stderr_of(add_many, l);
    ok(strstr(got, "Resource temporarily unavailable: lines are being lost\n"));
    is_int(read(reader, data, 20), 20);
    ok(memcmp(data, "192.0.2.7\n192.0.2.7\n", 20) == 0, "a reader that is slow holds up nobody");
    close(reader);
    access_log_free(l);
}

static void test_journal(void)
{
    static const char expected[] = "[INFO] GET /a%20b\\x0a\\xc3\\xa9 200 1234 B 90061005.1 ms\n";
    Request empty;
    AccessLog *l = NULL;

    is_int(access_log_new("journal", "unused", &l), 0);
    stderr_of(add_one, l);
    is_string(strstr(got, "[INFO]"), expected);
    entry.status = 503;
    stderr_of(add_two, l);
    ok(strstr(got, "[ERROR] GET /a") != NULL, "5xx is an error");
    request_init(&empty);
    entry = (AccessEntry){.peer = &peer, .request = &empty, .status = 400, .duration_usec = 999};
    stderr_of(add_two, l);
    ok(strstr(got, "[INFO] - - 400 0 B 0.9 ms\n") != NULL);
    access_log_free(l);
}

int main(void)
{
    if (!mkdtemp(directory))
        return 99;
    snprintf(path, sizeof(path), "%s/access.log", directory);
    unsetenv("JOURNAL_STREAM");
    log_init("", LOG_WARNING);
    signal(SIGPIPE, SIG_IGN);
    test_atoms();
    test_time();
    test_response_fields();
    test_empty_request();
    test_users();
    test_long_values();
    test_file();
    test_write_errors();
    test_fifo();
    test_journal();
    unlink(path);
    ok(rmdir(directory) == 0);
    return tap_done();
}
