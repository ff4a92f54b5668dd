/* SPDX-License-Identifier: MIT */
/* Feeds inih line by line, which keeps count of the lines, and looks after what inih is silent about: lines
 * that are too long, octets that are not text, malformed lines, sections without keys. */
#include "config/reader.h"

#include "base/cleanup.h"

#include <ini.h>
#include <stdio.h>

#define BYTE_ORDER_MARK "\xef\xbb\xbf"

typedef struct Reader {
    const ReaderEvents *events;
    void *userdata;
    const char *next; /* the first octet not yet read */
    const char *end;
    unsigned line;
    bool indented;     /* the line that inih has now begins with a blank */
    bool continues;    /* inih takes an indented line for more of the value before */
    bool expects_pair; /* inih must call on_pair() for the line that it has now */
} Reader;

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static Span skip_blanks(Span s)
{
    while (s.size > 0 && is_blank(*s.data))
        s.data++, s.size--;
    return s;
}

Span reader_trim(Span s)
{
    s = skip_blanks(s);
    while (s.size > 0 && is_blank(s.data[s.size - 1]))
        s.size--;
    return s;
}

Span reader_strip(Span s)
{
    s = skip_blanks(s);
    for (size_t i = 0; i < s.size; i++)
        if (s.data[i] == ';' && (i == 0 || is_blank(s.data[i - 1])))
            s.size = i;
    return reader_trim(s);
}

/* The length of the UTF-8 sequence at p, 0 when there is none (table 3-7 of the Unicode standard). */
static size_t utf8_sequence(const unsigned char *p, size_t n)
{
    unsigned char low = 0x80, high = 0xbf;
    size_t length = p[0] < 0x80   ? 1
                    : p[0] < 0xc2 ? 0
                    : p[0] < 0xe0 ? 2
                    : p[0] < 0xf0 ? 3
                    : p[0] < 0xf5 ? 4
                                  : 0;

    if (length > n)
        return 0;
    if (p[0] == 0xe0)
        low = 0xa0;
    else if (p[0] == 0xed)
        high = 0x9f;
    else if (p[0] == 0xf0)
        low = 0x90;
    else if (p[0] == 0xf4)
        high = 0x8f;
    for (size_t i = 1; i < length; i++, low = 0x80, high = 0xbf)
        if (p[i] < low || p[i] > high)
            return 0;
    return length;
}

const char *reader_bad_octet(Span s)
{
    const unsigned char *p = (const unsigned char *)s.data;

    for (size_t i = 0, n; i < s.size; i += n) {
        n = utf8_sequence(p + i, s.size - i);
        if (p[i] == '\0')
            return "a NUL octet; the file must be plain text";
        if (n == 0)
            return "an octet that is not UTF-8; save the file in UTF-8";
        if ((p[i] < ' ' && p[i] != '\t') || p[i] == 0x7f)
            return "a control character; only tabs and line ends are allowed";
    }
    return NULL;
}

/* inih says nothing where a line has no '='; then on_pair() was not called. */
static void finish_line(Reader *r)
{
    if (r->expects_pair)
        r->events->on_error(
            r->userdata, r->line,
            "neither [section] nor key = value; more of the value of a line above must be indented");
    r->expects_pair = false;
}

static Span take_line(Reader *r)
{
    const char *newline = memchr(r->next, '\n', (size_t)(r->end - r->next));
    Span line = {r->next, (size_t)((newline ? newline : r->end) - r->next)};

    r->next = newline ? newline + 1 : r->end;
    r->line++;
    if (line.size > 0 && line.data[line.size - 1] == '\r')
        line.size--;
    return line;
}

static bool line_is_sound(Reader *r, Span line, size_t max)
{
    char message[96];
    const char *bad;

    if (line.size > max) {
        snprintf(message, sizeof(message), "line longer than %zu octets; split the value over indented lines",
                 max);
        r->events->on_error(r->userdata, r->line, message);
        return false;
    }
    bad = reader_bad_octet(line);
    if (bad)
        r->events->on_error(r->userdata, r->line, bad);
    return !bad;
}

/* "[name]", and at most a comment behind it. */
static void read_section(Reader *r, Span line)
{
    const char *end = memchr(line.data, ']', line.size);
    Span name = {line.data + 1, end ? (size_t)(end - line.data - 1) : 0};
    Span rest = end ? reader_strip((Span){end + 1, line.size - name.size - 2}) : line;

    if (rest.size == 0 || *rest.data == '#') {
        r->events->on_section(r->userdata, r->line, reader_strip(name));
        return;
    }
    r->events->on_section(r->userdata, r->line, (Span){NULL, 0});
    r->events->on_error(r->userdata, r->line,
                        end ? "text behind [section]; a key must have a line of its own"
                            : "no ']' behind the name of the section, for example [app]");
}

/* As fgets() for inih: gives it the next line that holds a key or a value. Sections are read here, for inih
 * is silent about one without keys and about text behind it; that one begins is all it must know. */
static char *next_line(char *str, int num, void *stream)
{
    Reader *r = stream;

    finish_line(r);
    while (r->next < r->end) {
        Span line = take_line(r), content = skip_blanks(line);

        if (!line_is_sound(r, line, (size_t)num - 2) || content.size == 0 || *content.data == ';' ||
            *content.data == '#')
            continue;
        r->indented = content.data > line.data;
        if (*content.data == '[' && !(r->indented && r->continues)) {
            read_section(r, content);
            r->continues = false;
            return strcpy(str, "[-]\n");
        }
        memcpy(str, line.data, line.size);
        memcpy(str + line.size, "\n", 2);
        r->expects_pair = true;
        return str;
    }
    return NULL;
}

static int on_pair(void *userdata, const char *section, const char *name, const char *value)
{
    Reader *r = userdata;
    Span stripped = reader_strip(span_of(value));

    (void)section;
    r->expects_pair = false;
    if (r->indented && r->continues) {
        r->events->on_continuation(r->userdata, r->line, stripped);
        return 1;
    }
    r->continues = *name != '\0';
    if (*name == '\0')
        r->events->on_error(r->userdata, r->line, "no key in front of '='");
    else
        r->events->on_value(r->userdata, r->line, name, stripped);
    return 1;
}

int reader_parse(const char *data, size_t size, const ReaderEvents *events, void *userdata)
{
    Reader r = {.events = events, .userdata = userdata, .next = data, .end = data + size};

    if (size >= strlen(BYTE_ORDER_MARK) && memcmp(data, BYTE_ORDER_MARK, strlen(BYTE_ORDER_MARK)) == 0)
        r.next += strlen(BYTE_ORDER_MARK);
    /* Debian's inih has its compile-time options as variables. Comments are cut off here, because inih 55
     * leaves them on indented lines; a line is 200 octets by default. */
    ini_allow_inline_comments = false;
    ini_allow_multiline = true;
    ini_use_stack = false;
    ini_initial_alloc = READER_LINE_MAX + 2;
    if (ini_parse_stream(next_line, &r, on_pair, &r) == -2)
        return -ENOMEM;
    return 0;
}
