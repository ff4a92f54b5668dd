/* SPDX-License-Identifier: MIT */
/* RFC 9112 and RFC 9110, section by section, with the choices that this server makes where they leave one. */
#include "strict-request.h"

#include "base/cleanup.h"
#include "fuzz.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>

#define EMPTY_LINES_MAX 4
#define METHOD_SIZE_MAX 40

static bool one_of(char c, const char *set)
{
    return c != '\0' && strchr(set, c);
}

static bool is_token(Span s)
{
    for (size_t i = 0; i < s.size; i++)
        if (!isalnum((unsigned char)s.data[i]) && !one_of(s.data[i], "!#$%&'*+-.^_`|~"))
            return false;
    return s.size > 0;
}

/* Takes what stands before the octets, and them; false where they do not occur. */
static bool take_until(Span *rest, const char *octets, Span *ret)
{
    size_t n = strlen(octets);
    const char *end = rest->size > 0 ? memmem(rest->data, rest->size, octets, n) : NULL;

    if (!end)
        return false;
    *ret = (Span){rest->data, (size_t)(end - rest->data)};
    *rest = (Span){end + n, rest->size - ret->size - n};
    return true;
}

/* --- RFC 9112 §2 to §5 --- */

static bool read_request_line(Span line, StrictHead *h)
{
    if (!take_until(&line, " ", &h->method) || !take_until(&line, " ", &h->target))
        return false;
    if (!is_token(h->method) || h->method.size > METHOD_SIZE_MAX || h->target.size == 0)
        return false;
    for (size_t i = 0; i < h->target.size; i++)
        if (h->target.data[i] <= ' ' || h->target.data[i] >= 0x7f || h->target.data[i] == '#')
            return false;
    if (line.size != strlen("HTTP/1.x") || strncmp(line.data, "HTTP/1.", strlen("HTTP/1.")) != 0 ||
        !isdigit((unsigned char)line.data[7]))
        return false;
    h->version_minor = line.data[7] == '0' ? 0 : 1;
    return true;
}

static bool read_field(Span line, Field *ret)
{
    if (!take_until(&line, ":", &ret->name) || !is_token(ret->name))
        return false;
    for (size_t i = 0; i < line.size; i++) {
        unsigned char c = (unsigned char)line.data[i];

        if ((c < ' ' && c != '\t') || c == 0x7f)
            return false;
    }
    ret->value = fuzz_trim(line);
    return true;
}

bool strict_head(Span octets, const HttpLimits *limits, StrictHead *ret)
{
    Span rest = octets, line, head;

    *ret = (StrictHead){0};
    while (rest.size >= 2 && memcmp(rest.data, "\r\n", 2) == 0) {
        rest = (Span){rest.data + 2, rest.size - 2};
        ret->skipped += 2;
    }
    if (ret->skipped > 2 * EMPTY_LINES_MAX || !take_until(&rest, "\r\n\r\n", &head) ||
        head.size + 4 > limits->head)
        return false;
    ret->size = ret->skipped + head.size + 4;

    head.size += 2;
    if (!take_until(&head, "\r\n", &line) || line.size > limits->request_line ||
        !read_request_line(line, ret))
        return false;
    while (take_until(&head, "\r\n", &line)) {
        if (ret->n_fields == limits->fields || ret->n_fields == STRICT_FIELDS_MAX ||
            line.size > limits->field_size || !read_field(line, &ret->fields[ret->n_fields++]))
            return false;
    }
    return true;
}

/* --- RFC 9110 §9, RFC 9112 §3.2 --- */

static bool is_method(Span s)
{
    static const char *const methods[] = {
        "GET",      "HEAD",   "POST",      "PUT",   "DELETE",     "OPTIONS", "TRACE",       "PATCH",
        "COPY",     "LOCK",   "MKCOL",     "MOVE",  "PROPFIND",   "SEARCH",  "PROPPATCH",   "UNLOCK",
        "BIND",     "REBIND", "UNBIND",    "ACL",   "REPORT",     "MERGE",   "MKACTIVITY",  "CHECKOUT",
        "M-SEARCH", "NOTIFY", "SUBSCRIBE", "PURGE", "MKCALENDAR", "LINK",    "UNSUBSCRIBE", "UNLINK",
    };

    for (size_t i = 0; i < ELEMENTSOF(methods); i++)
        if (span_equal(s, span_of(methods[i])))
            return true;
    return false;
}

static bool is_address_v6(Span s)
{
    char text[64];
    struct in6_addr address;

    return s.size < sizeof(text) && snprintf(text, sizeof(text), "%.*s", (int)s.size, s.data) > 0 &&
           inet_pton(AF_INET6, text, &address) == 1;
}

static bool is_name(Span s)
{
    for (size_t i = 0; i < s.size; i++) {
        if (s.data[i] == '%') {
            if (s.size - i < 3 || !isxdigit((unsigned char)s.data[i + 1]) ||
                !isxdigit((unsigned char)s.data[i + 2]))
                return false;
        } else if (!isalnum((unsigned char)s.data[i]) && !one_of(s.data[i], "-._~!$&'()*+;=")) {
            return false;
        }
    }
    return s.size > 0;
}

bool strict_authority(Span s)
{
    unsigned long port = 0;
    Span host, rest = s;

    if (s.size > 0 && s.data[0] == '[') {
        if (!take_until(&rest, "]", &host) || !is_address_v6((Span){host.data + 1, host.size - 1}))
            return false;
    } else {
        host = (Span){s.data, 0};
        while (host.size < s.size && s.data[host.size] != ':')
            host.size++;
        rest = (Span){s.data + host.size, s.size - host.size};
        if (!is_name(host))
            return false;
    }
    for (size_t i = 1; i < rest.size; i++) {
        if (!isdigit((unsigned char)rest.data[i]))
            return false;
        port = MIN(port * 10 + (unsigned long)(rest.data[i] - '0'), 65536UL);
    }
    return rest.size == 0 || (rest.data[0] == ':' && port < 65536);
}

static void read_path(Span s, Request *r)
{
    if (!take_until(&s, "?", &r->path)) {
        r->path = s;
        s.size = 0;
    }
    r->query = s;
    if (r->path.size == 0)
        r->path = SPAN_LITERAL("/");
}

static bool read_target(Request *r)
{
    Span authority, rest = r->target;

    r->is_server_options = fuzz_is(r->target, "*");
    if (r->target.data[0] == '/' || r->is_server_options) {
        read_path(r->target, r);
        return !r->is_server_options || span_equal(r->method, SPAN_LITERAL("OPTIONS"));
    }
    if (!take_until(&rest, "://", &authority) || !(fuzz_is(authority, "http") || fuzz_is(authority, "https")))
        return false;
    authority = (Span){rest.data, 0};
    while (authority.size < rest.size && !one_of(rest.data[authority.size], "/?"))
        authority.size++;
    r->host = authority;
    read_path((Span){rest.data + authority.size, rest.size - authority.size}, r);
    return strict_authority(authority);
}

/* --- RFC 9112 §6, RFC 9110 §7.2, §7.6.1, §8.6, §10.1.1 --- */

static bool read_host(Request *r, Span value)
{
    if (!r->host.data)
        r->host = value;
    return strict_authority(value);
}

static bool read_content_length(Request *r, Span value, uint64_t limit)
{
    r->content_length = 0;
    for (size_t i = 0; i < value.size; i++) {
        __extension__ __int128 n = (__int128)r->content_length * 10 + (value.data[i] - '0');

        if (!isdigit((unsigned char)value.data[i]) || n > INT64_MAX || (uint64_t)n > limit)
            return false;
        r->content_length = (int64_t)n;
    }
    return value.size > 0;
}

static bool read_expect(Request *r, Span value)
{
    Span element;

    for (bool more = true; more && r->version_minor == 1;) {
        more = take_until(&value, ",", &element);
        if (!fuzz_is(fuzz_trim(more ? element : value), "100-continue"))
            return false;
        r->expect_continue = true;
    }
    return true;
}

static void read_connection(Span value, bool *close, bool *keep_alive)
{
    Span element;

    for (bool more = true; more;) {
        more = take_until(&value, ",", &element);
        element = fuzz_trim(more ? element : value);
        *close |= fuzz_is(element, "close");
        *keep_alive |= fuzz_is(element, "keep-alive");
    }
}

static bool read_fields(Request *r, const HttpLimits *limits)
{
    unsigned n_hosts = 0, n_lengths = 0, n_codings = 0;
    bool close = false, keep_alive = false, good = true;

    for (size_t i = 0; i < r->n_fields && good; i++) {
        Span name = r->fields[i].name, value = r->fields[i].value;

        if (fuzz_is(name, "host"))
            good = n_hosts++ == 0 && read_host(r, value);
        else if (fuzz_is(name, "content-length"))
            good = n_lengths++ == 0 && read_content_length(r, value, limits->body);
        else if (fuzz_is(name, "transfer-encoding"))
            good = n_codings++ == 0 && fuzz_is(value, "chunked") && r->version_minor == 1;
        else if (fuzz_is(name, "expect"))
            good = read_expect(r, value);
        else if (fuzz_is(name, "connection"))
            read_connection(value, &close, &keep_alive);
    }
    r->chunked = n_codings > 0;
    r->keep_alive = !close && (keep_alive || r->version_minor == 1);
    return good && n_lengths + n_codings < 2 && (n_hosts == 1 || r->version_minor == 0);
}

bool strict_request(StrictHead *h, const HttpLimits *limits, Request *ret)
{
    *ret = (Request){
        .method = h->method,
        .target = h->target,
        .version_minor = h->version_minor,
        .content_length = -1,
        .is_head = span_equal(h->method, SPAN_LITERAL("HEAD")),
        .fields = h->fields,
    };
    for (size_t i = 0; i < h->n_fields; i++) {
        if (memchr(h->fields[i].name.data, '_', h->fields[i].name.size))
            ret->n_dropped_fields++;
        else
            h->fields[ret->n_fields++] = h->fields[i];
    }
    return is_method(h->method) && read_target(ret) && read_fields(ret, limits);
}
