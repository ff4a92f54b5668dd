/* SPDX-License-Identifier: MIT */
/* Target: a line of the access log. Input: its format (or any text), LF, a head (see request-text.h); the
 * response has the fields of the request. Whatever they say, the line is one line, and nothing in it but
 * the format's own text begins or ends a quoted part. */
#include "worker/access-line.h"
#include "base/escape.h"
#include "fuzz.h"
#include "request-text.h"

#include <ctype.h>

/* --- escapes --- */

/* The octet that s begins with, in *ret; returns how many characters stand for it. */
static size_t unescape(Span s, char *ret)
{
    *ret = s.data[0];
    fuzz_check(isprint((unsigned char)*ret) && *ret != '"', "octet 0x%02x", (unsigned char)*ret);
    if (*ret != '\\')
        return 1;
    fuzz_check(s.size >= 2, "a backslash at the end");
    *ret = s.data[1];
    if (*ret == '"' || *ret == '\\')
        return 2;
    fuzz_check(*ret == 'x' && s.size >= 4 && isxdigit((unsigned char)s.data[2]) &&
                   isxdigit((unsigned char)s.data[3]),
               "neither \\xHH nor \\\\ nor \\\"");
    *ret = (char)strtoul((char[]){s.data[2], s.data[3], '\0'}, NULL, 16);
    return 4;
}

/* How many octets of the text are what was escaped, or SIZE_MAX where they are others. */
static size_t read_back(Span escaped, Span text)
{
    size_t n = 0;

    for (size_t width; escaped.size > 0; escaped = (Span){escaped.data + width, escaped.size - width}) {
        char octet;

        width = unescape(escaped, &octet);
        if (n == text.size || octet != text.data[n++])
            return SIZE_MAX;
    }
    return n;
}

/* In `size` octets. Where the text does not fit, "..." is behind as much of it as does. */
static void check_escape(Span text, size_t size)
{
    char *to = malloc(size);
    size_t n;

    fuzz_check(to, "no memory");
    n = escape_bytes(to, size, text);
    fuzz_check(n < size && to[n] == '\0', "%zu characters in %zu", n, size);
    if (read_back((Span){to, n}, text) != text.size) {
        fuzz_check(n + 4 >= size && memcmp(to + n - 3, "...", 3) == 0, "cut in another way: \"%s\"", to);
        fuzz_check(read_back((Span){to, n - 3}, text) < text.size, "not the text's begin: \"%s\"", to);
    }
    free(to);
}

/* --- lines --- */

typedef struct Counts {
    size_t n_unprintable, n_quotes, n_backslashes;
} Counts;

/* Quotes are those that no backslash escapes. */
static Counts count(Span s, Counts c)
{
    bool escaped = false;

    for (size_t i = 0; i < s.size; i++) {
        c.n_unprintable += !isprint((unsigned char)s.data[i]);
        c.n_backslashes += s.data[i] == '\\';
        c.n_quotes += s.data[i] == '"' && !escaped;
        escaped = s.data[i] == '\\' && !escaped;
    }
    return c;
}

static void check_line(const AccessFormat *format, const AccessEntry *e)
{
    static AccessTime t;
    Buffer line = {0};
    Counts own = {0}, all;

    fuzz_check(access_line_append(&line, format, e, &t) == 0, "no memory");
    for (size_t i = 0; i < format->n_atoms; i++)
        if (format->atoms[i].type == ACCESS_LITERAL)
            own = count(format->atoms[i].text, own);
    all = count(buffer_span(&line), (Counts){0});
    fuzz_check(*(buffer_tail(&line) - 1) == '\n', "no end of the line");
    fuzz_check(all.n_unprintable == own.n_unprintable + 1, "%zu octets in the line, %zu in the format",
               all.n_unprintable, own.n_unprintable);
    if (own.n_backslashes == 0)
        fuzz_check(all.n_quotes == own.n_quotes, "%zu quotes in the line, %zu in the format", all.n_quotes,
                   own.n_quotes);
    buffer_deinit(&line);
}

/* Whether it is among the fields of the response now. */
static bool add(Response *p, const Field *f)
{
    size_t before = buffer_size(&p->fields);

    (void)response_add_field(p, f->name.data, f->name.size, f->value.data, f->value.size);
    return buffer_size(&p->fields) > before;
}

/* The line of "%({NAME}KIND)s" alone. */
static void field_line(const AccessEntry *e, Span name, char kind, Buffer *ret)
{
    AccessFormat *format = NULL;
    AccessTime t = {0};
    const char *bad;
    char *text;

    fuzz_check(asprintf(&text, "%%({%.*s}%c)s", (int)name.size, name.data, kind) > 0, "no memory");
    fuzz_check(access_format_parse(text, &format, &bad) == 0, "%s", text);
    fuzz_check(access_line_append(ret, format, e, &t) == 0, "no memory");
    access_format_free(format);
    free(text);
}

/* The response has it as the request has it, and so have the lines. */
static void check_field(const AccessEntry *e, Span name)
{
    Buffer in = {0}, out = {0};

    field_line(e, name, 'i', &in);
    field_line(e, name, 'o', &out);
    fuzz_check(span_equal(buffer_span(&in), buffer_span(&out)), "%.*s: %.*s is logged as %.*s",
               (int)name.size, name.data, (int)buffer_size(&in), buffer_head(&in), (int)buffer_size(&out),
               buffer_head(&out));
    buffer_deinit(&in);
    buffer_deinit(&out);
}

static void check_request(const AccessFormat *format, const Request *q)
{
    static const WsgiPeer peer = {SPAN_LITERAL("192.0.2.7"), SPAN_LITERAL("4711"), SPAN_LITERAL("a"),
                                  SPAN_LITERAL("80"), .https = true};
    AccessEntry e = {.request = q, .status = 200, .peer = &peer, .body_size = 1, .duration_usec = 1500000};
    Response p;
    bool first_is_stored = false;

    response_init(&p);
    check_line(format, &e);
    fuzz_check(response_set_status(&p, "200 OK", 6) == 0, "status");
    for (size_t i = 0; i < q->n_fields; i++)
        first_is_stored |= add(&p, &q->fields[i]) && i == 0;
    e.response = &p;
    check_line(format, &e);
    if (first_is_stored)
        check_field(&e, q->fields[0].name);
    response_deinit(&p);
}

static void check_format(const char *text, Span head_text)
{
    AccessFormat *format = NULL;
    const char *bad = NULL;
    Buffer head = {0};
    Request q;
    int r = access_format_parse(text, &format, &bad);

    fuzz_check(r == 0 ? format != NULL : bad >= text && *bad, "%d", r);
    request_init(&q);
    if (r == 0 && (fuzz_request(head_text, &head, &q) || q.method.size > 0))
        check_request(format, &q);
    request_deinit(&q);
    buffer_deinit(&head);
    access_format_free(format);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Span rest = {(const char *)data, size}, format;
    char *text;

    if (size == 0 || !fuzz_take(&rest, '\n', &format))
        return 0;
    check_escape((Span){(const char *)data, size}, 4 + data[0]);
    check_escape((Span){(const char *)data, size}, 4 * size + 4);
    text = strndup(format.data, format.size);
    fuzz_check(text, "no memory");
    check_format(text, rest);
    free(text);
    return 0;
}
