/* SPDX-License-Identifier: MIT */
/* Target: a file asked for with preconditions, ranges and dates. Input: an octet that chooses status, size and date of
 * the file, the request's head as text, 0xff, the application's fields as lines. A second reading, by strptime(3) and
 * whole numbers, says what the answer must be where the request is well-formed; no answer reaches beyond the file. */
#include "http/file-response.h"
#include "base/cleanup.h"
#include "request-text.h"

#include <ctype.h>
#include <inttypes.h>

#define MODIFIED 784111777 /* Sun, 06 Nov 1994 08:49:37 GMT */

/* What a second reading makes of a field. */
typedef enum Answer { NO, YES, UNSURE } Answer;

typedef struct Case {
    const char *status;
    FileVersion file;
    Request request;
    char *etag, *last_modified, *accept_ranges; /* of the application, or NULL */
} Case;

typedef struct Expected {
    unsigned status; /* 0: the second reading does not say */
    uint64_t offset, size;
} Expected;

/* --- dates (RFC 9110 §5.6.7) --- */

typedef enum Form { IMF_FIXDATE, RFC850, ASCTIME, ASCTIME_TWO_DIGITS } Form;

static void print_date(const struct tm *tm, Form form, char *to, size_t size)
{
    char short_day[16], day[16], month[16], clock[16];

    strftime(short_day, sizeof(short_day), "%a", tm);
    strftime(day, sizeof(day), "%A", tm);
    strftime(month, sizeof(month), "%b", tm);
    strftime(clock, sizeof(clock), "%H:%M:%S", tm);
    switch (form) {
    case IMF_FIXDATE:
        snprintf(to, size, "%s, %02d %s %04d %s GMT", short_day, tm->tm_mday, month, tm->tm_year + 1900,
                 clock);
        return;
    case RFC850:
        snprintf(to, size, "%s, %02d-%s-%02d %s GMT", day, tm->tm_mday, month, tm->tm_year % 100, clock);
        return;
    case ASCTIME:
        snprintf(to, size, "%s %s %2d %s %04d", short_day, month, tm->tm_mday, clock, tm->tm_year + 1900);
        return;
    case ASCTIME_TWO_DIGITS:
        snprintf(to, size, "%s %s %02d %s %04d", short_day, month, tm->tm_mday, clock, tm->tm_year + 1900);
    }
}

/* What strptime(3) has read is right when it gives the same text again. */
static bool reads_as(const char *text, struct tm tm, Form form, time_t *ret)
{
    bool is_leap = tm.tm_sec == 60;
    char again[128];

    tm.tm_sec -= is_leap;
    *ret = timegm(&tm);
    tm.tm_sec += is_leap;
    print_date(&tm, form, again, sizeof(again));
    return strcmp(again, text) == 0;
}

/* Years of two digits: of the last fifty, or of the next. */
static bool reads_as_rfc850(const char *text, const struct tm *read, time_t now, time_t *ret)
{
    struct tm today;

    gmtime_r(&now, &today);
    for (int year = today.tm_year - 49; year <= today.tm_year + 50; year++) {
        struct tm tm = *read;

        tm.tm_year = year;
        if (year % 100 == read->tm_year % 100 && reads_as(text, tm, RFC850, ret))
            return true;
    }
    return false;
}

static bool read_date(const char *text, time_t now, time_t *ret)
{
    struct tm tm = {0};

    if (strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &tm) && reads_as(text, tm, IMF_FIXDATE, ret))
        return true;
    if (strptime(text, "%a %b %d %H:%M:%S %Y", &tm) &&
        (reads_as(text, tm, ASCTIME, ret) || reads_as(text, tm, ASCTIME_TWO_DIGITS, ret)))
        return true;
    return strptime(text, "%A, %d-%b-%y %H:%M:%S GMT", &tm) && reads_as_rfc850(text, &tm, now, ret);
}

/* --- the request's fields --- */

/* How often the field is there; *ret: its last value, to be freed. */
static size_t find(const Request *q, const char *name, char **ret)
{
    size_t n = 0;

    *ret = NULL;
    for (size_t i = 0; i < q->n_fields; i++) {
        if (!fuzz_is(q->fields[i].name, name))
            continue;
        n++;
        free(*ret);
        *ret = strndup(q->fields[i].value.data, q->fields[i].value.size);
        fuzz_check(*ret, "no memory");
    }
    return n;
}

static size_t blanks(const char *s)
{
    return strspn(s, " \t");
}

/* Length of an entity tag, or 0. */
static size_t tag_length(const char *s)
{
    size_t n = strncmp(s, "W/", 2) == 0 ? 2 : 0;

    if (s[n++] != '"')
        return 0;
    while (s[n] && s[n] != '"' && s[n] != ' ' && s[n] != '\t')
        n++;
    return s[n] == '"' ? n + 1 : 0;
}

static bool is_tag(const char *s)
{
    return *s && tag_length(s) == strlen(s);
}

static bool same_tag(const char *own, const char *s, size_t n, bool strong)
{
    bool own_weak = own && own[0] == 'W', weak = s[0] == 'W';

    if (!own || !is_tag(own) || (strong && (own_weak || weak)))
        return false;
    own += own_weak ? 2 : 0;
    s += weak ? 2 : 0;
    n -= weak ? 2 : 0;
    return strlen(own) == n && memcmp(own, s, n) == 0;
}

static Answer list_has_tag(const char *own, const char *list, bool strong)
{
    Answer answer = NO;

    if (strcmp(list, "*") == 0)
        return YES;
    for (;;) {
        size_t n = tag_length(list += blanks(list));

        if (n > 0 && same_tag(own, list, n, strong))
            answer = YES;
        list += n;
        list += blanks(list);
        if (!*list)
            return answer;
        if (*list++ != ',')
            return UNSURE;
    }
}

/* NO where the field says nothing, as it is no date or there are two. */
static Answer find_date(const Request *q, const char *name, time_t now, time_t *ret)
{
    _cleanup_free_ char *value = NULL;

    return find(q, name, &value) == 1 && read_date(value, now, ret) ? YES : NO;
}

static Answer find_tag(const Case *c, const char *name, bool strong, size_t *ret_n)
{
    _cleanup_free_ char *value = NULL;

    *ret_n = find(&c->request, name, &value);
    if (*ret_n > 1 || (c->etag && !is_tag(c->etag)))
        return UNSURE;
    return *ret_n == 1 ? list_has_tag(c->etag, value, strong) : NO;
}

/* 412, 304, 200: go on; 0: unsure (RFC 9110 §13.2.2) */
static unsigned expect_preconditions(const Case *c)
{
    time_t own, date;
    bool dated = c->last_modified && read_date(c->last_modified, c->file.now, &own);
    size_t n;
    Answer a = find_tag(c, "If-Match", true, &n);

    if (n > 0 && a != YES)
        return a == NO ? 412 : 0;
    if (n == 0 && dated && find_date(&c->request, "If-Unmodified-Since", c->file.now, &date) && own > date)
        return 412;
    a = find_tag(c, "If-None-Match", false, &n);
    if (n > 0)
        return a == YES ? 304 : a == NO ? 200 : 0;
    if (dated && find_date(&c->request, "If-Modified-Since", c->file.now, &date) && own <= date)
        return 304;
    return 200;
}

static Answer expect_if_range(const Case *c)
{
    _cleanup_free_ char *value = NULL;
    time_t own, date;
    size_t n = find(&c->request, "If-Range", &value);

    if (n != 1)
        return n == 0 ? YES : NO;
    if (read_date(value, c->file.now, &date) && c->last_modified &&
        read_date(c->last_modified, c->file.now, &own))
        return date == own ? YES : NO;
    if (c->etag && !is_tag(c->etag))
        return UNSURE;
    if (!is_tag(value)) /* with blanks within: not a tag, but harmless */
        return value[0] == '"' || value[0] == 'W' || value[0] == ',' ? UNSURE : NO;
    return same_tag(c->etag, value, strlen(value), true) ? YES : NO;
}

__extension__ typedef __int128 Wide;

/* Digits as a number that fits; -1: there are none. */
static Wide number_at(const char *s)
{
    Wide n = isdigit((unsigned char)*s) ? 0 : -1;

    for (; isdigit((unsigned char)*s); s++)
        n = MIN(n * 10 + (*s - '0'), (Wide)UINT64_MAX);
    return n;
}

static Expected expect_range(const char *value, uint64_t size)
{
    static const char unit[] = "bytes=";
    const Expected whole = {200, 0, size};
    Wide first, last;
    const char *dash;

    if (strncasecmp(value, unit, strlen(unit)) != 0)
        return whole;
    value += strlen(unit);
    value += blanks(value);
    dash = value + strspn(value, "0123456789");
    if (*dash != '-' || dash[1 + strspn(dash + 1, "0123456789")])
        return whole;
    first = number_at(value);
    last = number_at(dash + 1);
    if ((first < 0 && last < 0) || (first >= 0 && last >= 0 && last < first))
        return whole;
    if (first >= 0 ? first >= size : last == 0)
        return (Expected){416, 0, 0};
    if (size == 0)
        return whole;
    if (first < 0)
        return (Expected){206, last >= size ? 0 : size - (uint64_t)last, (uint64_t)MIN(last, size)};
    last = last < 0 || last >= size ? (Wide)size - 1 : last;
    return (Expected){206, (uint64_t)first, (uint64_t)(last - first + 1)};
}

static Expected expect(const Case *c)
{
    _cleanup_free_ char *range = NULL;
    Expected e = {(unsigned)atoi(c->status), 0, c->file.size};
    Answer holds;

    if (e.status == 206)
        e.status = 200;
    if (e.status != 200 || !(fuzz_is(c->request.method, "GET") || fuzz_is(c->request.method, "HEAD")))
        return e;
    e.status = expect_preconditions(c);
    if (e.status > 200)
        e.size = 0;
    if (e.status != 200 || c->request.is_head || find(&c->request, "Range", &range) != 1 ||
        strcasecmp(c->accept_ranges, "bytes") != 0)
        return e;
    holds = expect_if_range(c);
    if (holds == UNSURE)
        return (Expected){0};
    return holds == YES ? expect_range(range, c->file.size) : e;
}

/* --- the application's --- */

static void copy_value(char **to, Span name, Span value, const char *wanted)
{
    while (value.size > 0 && strchr(" \t", value.data[0]))
        value = (Span){value.data + 1, value.size - 1};
    while (value.size > 0 && strchr(" \t", value.data[value.size - 1]))
        value.size--;
    if (*to || !fuzz_is(name, wanted))
        return;
    *to = strndup(value.data, value.size);
    fuzz_check(*to, "no memory");
}

static void take_fields(Case *c, Response *r, Span lines)
{
    Span line, name;

    while (fuzz_take(&lines, '\n', &line)) {
        if (!fuzz_take(&line, ':', &name) || !line.data ||
            response_add_field(r, name.data, name.size, line.data, line.size) != 0)
            continue;
        copy_value(&c->etag, name, line, "ETag");
        copy_value(&c->last_modified, name, line, "Last-Modified");
        copy_value(&c->accept_ranges, name, line, "Accept-Ranges");
    }
}

/* What the server adds where the application has said nothing. */
static void add_own_fields(Case *c)
{
    time_t modified = MIN(c->file.modified, c->file.now);
    char date[64];
    struct tm tm;

    fuzz_check(c->etag || asprintf(&c->etag, "\"%" PRIx64 "-%" PRIx64 "\"", (uint64_t)c->file.modified,
                                   c->file.size) > 0,
               "no memory");
    gmtime_r(&modified, &tm);
    strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", &tm);
    if (!c->last_modified && modified >= 0)
        c->last_modified = strdup(date);
    if (!c->accept_ranges)
        c->accept_ranges = strdup("bytes");
}

/* --- the answer --- */

static size_t count_lines(const Response *r, const char *prefix)
{
    Span lines = buffer_span(&r->fields), line;
    size_t n = 0;

    while (fuzz_take(&lines, '\n', &line))
        n += line.size >= strlen(prefix) && strncasecmp(line.data, prefix, strlen(prefix)) == 0;
    return n;
}

static void check_answer(const Case *c, const Response *r, uint64_t offset, uint64_t size)
{
    bool is_ours = atoi(c->status) == 200 || atoi(c->status) == 206;
    char line[96];

    fuzz_check(offset <= c->file.size && size <= c->file.size - offset, "%" PRIu64 "+%" PRIu64, offset, size);
    fuzz_check(is_ours || r->status == (unsigned)atoi(c->status), "%u", r->status);
    snprintf(line, sizeof(line), "%u ", r->status);
    fuzz_check(memcmp(buffer_head(&r->fields), line, 4) == 0, "another status line than %u", r->status);
    fuzz_check(r->status == 304 ? r->content_length == -1 : r->content_length == (int64_t)size, "%" PRId64,
               r->content_length);
    snprintf(line, sizeof(line), "Content-Range: bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64 "\r", offset,
             offset + size - 1, c->file.size);
    if (r->status == 206)
        fuzz_check(size > 0 && count_lines(r, line) == 1 && count_lines(r, "content-range:") == 1, "%s",
                   line);
    snprintf(line, sizeof(line), "Content-Range: bytes */%" PRIu64 "\r", c->file.size);
    if (r->status == 416)
        fuzz_check(count_lines(r, line) == 1 && count_lines(r, "") == 3, "%s", line);
    if (r->status == 412)
        fuzz_check(count_lines(r, "") == 2, "fields of another answer");
}

static void check_file(Case *c, Response *r)
{
    uint64_t offset, size;
    Expected e;

    add_own_fields(c);
    e = expect(c);
    fuzz_check(file_response_prepare(r, &c->request, &c->file, &offset, &size) == 0, "no memory");
    check_answer(c, r, offset, size);
    if (e.status != 0)
        fuzz_check(r->status == e.status && offset == e.offset && size == e.size,
                   "%u %" PRIu64 "+%" PRIu64 ", second reading: %u %" PRIu64 "+%" PRIu64, r->status, offset,
                   size, e.status, e.offset, e.size);
}

static Case case_new(uint8_t choice)
{
    static const char *const statuses[] = {"200 OK", "206 Partial Content", "404 Not Found", "200 Fine"};
    static const uint64_t sizes[] = {1000, 0, 1, INT64_MAX};
    static const time_t dates[] = {MODIFIED, -1, MODIFIED + 86400, 0};

    return (Case){
        .status = statuses[choice & 3],
        .file = {.size = sizes[choice >> 2 & 3], .modified = dates[choice >> 4 & 3], .now = MODIFIED + 3600},
    };
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_(buffer_deinit) Buffer head = {0};
    Span rest = {(const char *)data + 1, size - 1}, text;
    Response r;
    Case c;

    if (size < 2)
        return 0;
    c = case_new(data[0]);
    response_init(&r);
    request_init(&c.request);
    fuzz_take(&rest, '\xff', &text);
    if (fuzz_request(text, &head, &c.request)) {
        fuzz_check(response_set_status(&r, c.status, strlen(c.status)) == 0, "%s", c.status);
        take_fields(&c, &r, rest);
        check_file(&c, &r);
    }
    request_deinit(&c.request);
    response_deinit(&r);
    free(c.etag);
    free(c.last_modified);
    free(c.accept_ranges);
    return 0;
}
