/* SPDX-License-Identifier: MIT */
/* The strict scan of a request head. Every octet is looked at once, and a verdict depends on the octets up to
 * the one that decides it alone, so that no way of splitting the input changes it. What the fields mean is
 * the parser's. */
#include "http/head.h"

#include "base/cleanup.h"
#include "http/known-lines.h"
#include "http/syntax.h"

/* Clients of old ended a POST body with a CRLF too many (RFC 9112 §2.2). */
#define SKIP_MAX 8
/* The longest registered method has 17 octets (UPDATEREDIRECTREF). */
#define METHOD_MAX 40

static const char version_form[] = "HTTP/1.1";
#define VERSION_SIZE (sizeof(version_form) - 1)

typedef enum State {
    EMPTY_LINE = 0, /* before the request line */
    EMPTY_LINE_LF,
    METHOD,
    TARGET,
    VERSION,
    REQUEST_LINE_LF,
    LINE_START,
    FIELD_NAME,
    FIELD_VALUE,
    FIELD_LF,
    HEAD_LF,
} State;

static int refuse(HeadScan *scan, int status, const char *reason)
{
    scan->reason = reason;
    return status;
}

/* Where a line of at most `limit` octets must have its CR, or where the octets end. */
static size_t line_stop(const HeadScan *scan, size_t end, size_t limit)
{
    return scan->line_start + MIN(end - scan->line_start, limit);
}

static int expect_lf(HeadScan *scan, const char *data, State next)
{
    if (data[scan->position] != '\n')
        return refuse(scan, 400, "CR without LF");
    scan->position++;
    scan->line_start = scan->position;
    scan->state = next;
    return 0;
}

/* Each of these goes on in its state, then in the next ones of the same line, and returns 0 when the octets
 * or the line end. */

static inline int scan_line_end(HeadScan *scan, const char *data, size_t end)
{
    if (scan->position == end)
        return 0;
    if (scan->n_lines < HEAD_KNOWN_MAX)
        scan->known[scan->n_lines] = 0;
    scan->n_lines++;
    return expect_lf(scan, data, LINE_START);
}

/* One octet of "HTTP/d.d" CR. */
static int scan_version_octet(HeadScan *scan, char octet, const char *version)
{
    size_t i = scan->position - scan->token_start;

    if (i < VERSION_SIZE) {
        if (octet_is_digit(version_form[i]) ? !octet_is_digit(octet) : octet != version_form[i])
            return refuse(scan, 400, "malformed HTTP version");
        return 0;
    }
    if (octet != '\r')
        return refuse(scan, 400, "malformed HTTP version");
    if (version[5] != '1') /* any HTTP/1.x is an HTTP/1.1 that can do more, RFC 9110 §2.5 */
        return refuse(scan, 505, "HTTP version is not 1");
    scan->state = REQUEST_LINE_LF;
    return 0;
}

static int scan_version(HeadScan *scan, const char *data, size_t end, const HttpLimits *limits)
{
    static const Span usual = SPAN_LITERAL("HTTP/1.1\r");
    size_t line_size = scan->token_start + VERSION_SIZE - scan->line_start;

    if (scan->position == scan->token_start && end - scan->position >= usual.size &&
        line_size <= limits->request_line && memcmp(data + scan->position, usual.data, usual.size) == 0) {
        scan->position += usual.size;
        scan->state = REQUEST_LINE_LF;
    }
    for (int r; scan->state == VERSION; scan->position++) {
        if (scan->position == end)
            return 0;
        if (scan->position - scan->line_start >= limits->request_line && data[scan->position] != '\r')
            return refuse(scan, 414, "request line too long");
        r = scan_version_octet(scan, data[scan->position], data + scan->token_start);
        if (r != 0)
            return r;
    }
    return scan_line_end(scan, data, end);
}

static int scan_target(HeadScan *scan, const char *data, size_t end, const HttpLimits *limits)
{
    size_t stop = line_stop(scan, end, limits->request_line);

    scan->position = octets_end(data, scan->position, stop, OCTET_TARGET);
    if (scan->position == end)
        return 0;
    if (scan->position >= stop)
        return refuse(scan, 414, "request line too long");
    if (data[scan->position] == '\r')
        return refuse(scan, 400, "no HTTP version");
    if (data[scan->position] != ' ' || scan->position == scan->token_start)
        return refuse(scan, 400, "malformed request target");
    scan->token_start = ++scan->position;
    scan->state = VERSION;
    return scan_version(scan, data, end, limits);
}

static int scan_method(HeadScan *scan, const char *data, size_t end, const HttpLimits *limits)
{
    size_t stop = line_stop(scan, end, METHOD_MAX);

    scan->position = octets_end(data, scan->position, stop, OCTET_TOKEN);
    if (scan->position == end)
        return 0;
    if (data[scan->position] != ' ' || scan->position == scan->line_start)
        return refuse(scan, 400, scan->position == stop ? "method too long" : "malformed method");
    scan->token_start = ++scan->position;
    scan->state = TARGET;
    return scan_target(scan, data, end, limits);
}

/* At the start of a line: passes over it, and those behind it, as long as they were accepted before. Their octets are
 * the same, so would be the verdict. */
static void skip_known(HeadScan *scan, const char *data, size_t end, const HttpLimits *limits)
{
    unsigned n_max = MIN(limits->fields, HEAD_KNOWN_MAX - 1u) + 1; /* the request line is one of them */

    if (limits->known)
        scan->position += known_lines_skip(limits->known, data + scan->position, end - scan->position,
                                           &scan->n_lines, n_max, scan->known);
}

static inline int scan_value(HeadScan *scan, const char *data, size_t end, size_t stop)
{
    scan->position = octets_value_end(data, scan->position, stop);
    if (scan->position == end)
        return 0;
    if (data[scan->position] != '\r') {
        if (scan->position >= stop)
            return refuse(scan, 431, "field too long");
        return refuse(scan, 400, "control octet in a field value");
    }
    scan->position++;
    scan->state = FIELD_LF;
    return scan_line_end(scan, data, end);
}

static inline int scan_name(HeadScan *scan, const char *data, size_t end, size_t stop)
{
    scan->position = octets_token_end(data, scan->position, stop);
    if (scan->position == end)
        return 0;
    if (scan->position >= stop)
        return refuse(scan, 431, "field too long");
    if (data[scan->position] != ':' || scan->position == scan->line_start)
        return refuse(scan, 400, "malformed field name");
    scan->position++;
    scan->state = FIELD_VALUE;
    return scan_value(scan, data, end, stop);
}

/* The start of a line that is not known, or of none. */
static int scan_new_line(HeadScan *scan, const char *data, size_t end, const HttpLimits *limits)
{
    scan->line_start = scan->position;
    scan->state = LINE_START;
    if (scan->position == end)
        return 0;
    if (data[scan->position] == '\r') {
        scan->position++;
        scan->state = HEAD_LF;
        return 0;
    }
    if (octet_is_blank(data[scan->position]))
        return refuse(scan, 400, "field line starts with a blank");
    if (scan->n_lines > limits->fields) /* the request line is one of them */
        return refuse(scan, 431, "too many fields");
    scan->state = FIELD_NAME;
    return scan_name(scan, data, end, line_stop(scan, end, limits->field_size));
}

static inline int scan_line_start(HeadScan *scan, const char *data, size_t end, const HttpLimits *limits)
{
    skip_known(scan, data, end, limits);
    return scan_new_line(scan, data, end, limits);
}

static int scan_empty_line(HeadScan *scan, const char *data, size_t end, const HttpLimits *limits)
{
    if (data[scan->position] == '\r') {
        if (scan->skipped >= SKIP_MAX)
            return refuse(scan, 400, "too many empty lines before the request line");
        scan->position++;
        scan->state = EMPTY_LINE_LF;
        return 0;
    }
    skip_known(scan, data, end, limits);
    if (scan->n_lines > 0)
        return scan_new_line(scan, data, end, limits);
    scan->state = METHOD;
    return scan_method(scan, data, end, limits);
}

static int scan_empty_line_end(HeadScan *scan, const char *data)
{
    int r = expect_lf(scan, data, EMPTY_LINE);

    scan->skipped = scan->line_start;
    return r;
}

/* Goes on with the line; needs at least one octet. */
static inline int scan_line(HeadScan *scan, const char *data, size_t end, const HttpLimits *limits)
{
    switch ((State)scan->state) {
    case EMPTY_LINE:
        return scan_empty_line(scan, data, end, limits);
    case EMPTY_LINE_LF:
        return scan_empty_line_end(scan, data);
    case METHOD:
        return scan_method(scan, data, end, limits);
    case TARGET:
        return scan_target(scan, data, end, limits);
    case VERSION:
        return scan_version(scan, data, end, limits);
    case LINE_START:
        return scan_line_start(scan, data, end, limits);
    case FIELD_NAME:
        return scan_name(scan, data, end, line_stop(scan, end, limits->field_size));
    case FIELD_VALUE:
        return scan_value(scan, data, end, line_stop(scan, end, limits->field_size));
    case REQUEST_LINE_LF:
    case FIELD_LF:
        return scan_line_end(scan, data, end);
    case HEAD_LF:
        break;
    }
    return expect_lf(scan, data, EMPTY_LINE);
}

int head_scan(HeadScan *scan, const char *data, size_t size, const HttpLimits *limits, size_t *ret_size)
{
    for (;;) {
        size_t end = scan->skipped + MIN(size - scan->skipped, limits->head);
        bool last = scan->state == HEAD_LF;
        int r;

        if (scan->position >= end) {
            if (end == size)
                return HTTP_E_MORE;
            return scan->n_lines == 0 ? refuse(scan, 414, "request line too long")
                                      : refuse(scan, 431, "request head too large");
        }
        r = scan_line(scan, data, end, limits);
        if (r != 0)
            return r;
        if (last) {
            *ret_size = scan->position;
            return 0;
        }
    }
}
