/* SPDX-License-Identifier: MIT */
/* Checks what an application says and frames what the server sends. Nothing that an application gives can end
 * a field or the head (CWE-113), or contradict the framing. */
#include "http/response.h"

#include "base/cleanup.h"
#include "http/status.h"
#include "http/syntax.h"

#include <assert.h>
#include <stdio.h>

#define SERVER_FIELD "Server: cgunicorn\r\n"

/* Room for everything in a head but the application's fields: about 180 octets. */
#define OWN_FIELDS_MAX 256

/* Fields that do not simply pass through. */
typedef enum FieldKind {
    FIELD_PLAIN,
    FIELD_CONNECTION,
    FIELD_CONTENT_LENGTH,
    FIELD_DATE,
    FIELD_HOP_BY_HOP,
    FIELD_SERVER,
} FieldKind;

const char *response_error_text(int e)
{
    switch (e) {
    case RESPONSE_E_STATUS:
        return "status is not three digits, a space and a reason";
    case RESPONSE_E_INTERIM:
        return "a 1xx status cannot be an application's final one";
    case RESPONSE_E_NAME:
        return "header name is not a token";
    case RESPONSE_E_VALUE:
        return "header value contains a control character";
    case RESPONSE_E_HOP_BY_HOP:
        return "hop-by-hop header, which PEP 3333 leaves to the server";
    case RESPONSE_E_CONTENT_LENGTH:
        return "Content-Length is malformed or given twice";
    case RESPONSE_E_FILE:
        return "a file was named already, by X-Sendfile or X-Accel-Redirect";
    case RESPONSE_E_FINAL:
        return "belongs to the final response, not to a hint of it";
    case RESPONSE_E_SHORT:
        return "the body is shorter than its Content-Length";
    default:
        return "unknown error of a response";
    }
}

void response_init(Response *r)
{
    *r = (Response){.content_length = -1};
    buffer_init(&r->fields);
    buffer_init(&r->file);
}

void response_deinit(Response *r)
{
    buffer_deinit(&r->fields);
    buffer_deinit(&r->file);
    response_init(r);
}

void response_reset(Response *r)
{
    Buffer fields = r->fields, file = r->file;

    buffer_clear(&fields);
    buffer_clear(&file);
    *r = (Response){.content_length = -1, .takes_file = r->takes_file, .fields = fields, .file = file};
}

/* --- what the application says --- */

static char *put(char *to, const void *data, size_t size)
{
    return mempcpy(to, data, size);
}
#define PUT_LITERAL(to, literal) put((to), (literal), sizeof(literal) - 1)

int response_set_status(Response *r, const char *status, size_t size)
{
    char *to;
    int e;

    assert(r->status == 0);
    if (size < 4 || !octet_is_digit(status[0]) || !octet_is_digit(status[1]) || !octet_is_digit(status[2]) ||
        status[0] == '0' || status[3] != ' ' || octets_value_end(status, 0, size) != size)
        return RESPONSE_E_STATUS;
    if (status[0] == '1')
        return RESPONSE_E_INTERIM;

    e = buffer_reserve(&r->fields, size + 2);
    if (e < 0)
        return e;
    to = put(buffer_tail(&r->fields), status, size);
    r->fields.end = (size_t)(PUT_LITERAL(to, "\r\n") - r->fields.data);
    r->status = (unsigned)((status[0] - '0') * 100 + (status[1] - '0') * 10 + (status[2] - '0'));
    return 0;
}

static FieldKind field_kind(Span name)
{
    switch (name.size) {
    case 2:
        return TOKEN_IS(name, "te") ? FIELD_HOP_BY_HOP : FIELD_PLAIN;
    case 4:
        return TOKEN_IS(name, "date") ? FIELD_DATE : FIELD_PLAIN;
    case 6:
        return TOKEN_IS(name, "server") ? FIELD_SERVER : FIELD_PLAIN;
    case 7:
        return TOKEN_IS(name, "trailer") || TOKEN_IS(name, "upgrade") ? FIELD_HOP_BY_HOP : FIELD_PLAIN;
    case 8:
        return TOKEN_IS(name, "trailers") ? FIELD_HOP_BY_HOP : FIELD_PLAIN;
    case 10:
        if (TOKEN_IS(name, "connection"))
            return FIELD_CONNECTION;
        return TOKEN_IS(name, "keep-alive") ? FIELD_HOP_BY_HOP : FIELD_PLAIN;
    case 14:
        return TOKEN_IS(name, "content-length") ? FIELD_CONTENT_LENGTH : FIELD_PLAIN;
    case 16:
        return TOKEN_IS(name, "proxy-connection") ? FIELD_HOP_BY_HOP : FIELD_PLAIN;
    case 17:
        return TOKEN_IS(name, "transfer-encoding") ? FIELD_HOP_BY_HOP : FIELD_PLAIN;
    case 18:
        return TOKEN_IS(name, "proxy-authenticate") ? FIELD_HOP_BY_HOP : FIELD_PLAIN;
    case 19:
        return TOKEN_IS(name, "proxy-authorization") ? FIELD_HOP_BY_HOP : FIELD_PLAIN;
    default:
        return FIELD_PLAIN;
    }
}

/* Connection may say how long the connection lives, and nothing else. */
static int set_connection(Response *r, Span value)
{
    Span option;

    while (list_next(&value, &option)) {
        if (span_equal_nocase(option, SPAN_LITERAL("close")))
            r->close = true;
        else if (option.size > 0 && !span_equal_nocase(option, SPAN_LITERAL("keep-alive")))
            return RESPONSE_E_HOP_BY_HOP;
    }
    return 0;
}

static int set_content_length(Response *r, Span value)
{
    int64_t length = 0;

    if (r->content_length >= 0 || value.size == 0)
        return RESPONSE_E_CONTENT_LENGTH;
    for (size_t i = 0; i < value.size; i++)
        if (!octet_is_digit(value.data[i]) || __builtin_mul_overflow(length, 10, &length) ||
            __builtin_add_overflow(length, value.data[i] - '0', &length))
            return RESPONSE_E_CONTENT_LENGTH;
    r->content_length = length;
    return 0;
}

static FileNaming file_naming(Span name)
{
    if (TOKEN_IS(name, "x-sendfile"))
        return FILE_BY_PATH;
    return TOKEN_IS(name, "x-accel-redirect") ? FILE_BY_URI : FILE_NONE;
}

static int set_file(Response *r, FileNaming naming, Span value)
{
    if (r->file_naming != FILE_NONE)
        return RESPONSE_E_FILE;
    r->file_naming = naming;
    return buffer_append(&r->file, value.data, value.size);
}

static int append_field(Buffer *out, Span name, Span value)
{
    char *to;
    int e = buffer_reserve(out, name.size + value.size + 4);

    if (e < 0)
        return e;
    to = put(buffer_tail(out), name.data, name.size);
    to = PUT_LITERAL(to, ": ");
    to = put(to, value.data, value.size);
    out->end = (size_t)(PUT_LITERAL(to, "\r\n") - out->data);
    return 0;
}

/* Appends it unless there is one: Date and Server are single. */
static int append_once(Response *r, bool *seen, Span name, Span value)
{
    if (*seen)
        return 0;
    *seen = true;
    return append_field(&r->fields, name, value);
}

static int check_field(Span name, Span value)
{
    if (!span_is_token(name))
        return RESPONSE_E_NAME;
    return octets_value_end(value.data, 0, value.size) == value.size ? 0 : RESPONSE_E_VALUE;
}

int response_add_field(Response *r, const char *name_data, size_t name_size, const char *value_data,
                       size_t value_size)
{
    Span name = {name_data, name_size}, value = span_trim((Span){value_data, value_size});
    FileNaming naming;
    int e = check_field(name, value);

    assert(r->status != 0);
    if (e != 0)
        return e;
    switch (field_kind(name)) {
    case FIELD_CONNECTION:
        return set_connection(r, value);
    case FIELD_CONTENT_LENGTH:
        return set_content_length(r, value);
    case FIELD_HOP_BY_HOP:
        return RESPONSE_E_HOP_BY_HOP;
    case FIELD_DATE:
        return append_once(r, &r->has_date, name, value);
    case FIELD_SERVER:
        return append_once(r, &r->has_server, name, value);
    case FIELD_PLAIN:
        break;
    }
    naming = r->takes_file ? file_naming(name) : FILE_NONE;
    return naming == FILE_NONE ? append_field(&r->fields, name, value) : set_file(r, naming, value);
}

int response_add_hint(Buffer *out, const char *name_data, size_t name_size, const char *value_data,
                      size_t value_size)
{
    Span name = {name_data, name_size}, value = span_trim((Span){value_data, value_size});
    int e = check_field(name, value);
    FieldKind kind;

    if (e != 0)
        return e;
    kind = field_kind(name);
    if (kind == FIELD_HOP_BY_HOP || kind == FIELD_CONNECTION)
        return RESPONSE_E_HOP_BY_HOP;
    if (kind != FIELD_PLAIN || file_naming(name) != FILE_NONE || TOKEN_IS(name, "set-cookie") ||
        TOKEN_IS(name, "www-authenticate"))
        return RESPONSE_E_FINAL;
    return append_field(out, name, value);
}

/* --- what the server makes of it --- */

/* RFC 9112 §6.3; a response to HEAD, 204 and 304 end with their heads. */
static BodyFraming choose_framing(const Response *r, const Request *q, int64_t length)
{
    if (q->is_head || r->status == 204 || r->status == 304)
        return BODY_NONE;
    if (length >= 0)
        return BODY_LENGTH;
    return q->version_minor > 0 ? BODY_CHUNKED : BODY_UNTIL_CLOSE;
}

/* What Content-Length says, or -1 for none: 204 has none (RFC 9110 §8.6); 304 and HEAD say what GET would,
 * which a known length is of a HEAD alone, and not where the application left out the body itself. A 304 of length 0
 * is Django's, for any entity; it may have none. */
static int64_t choose_content_length(const Response *r, const Request *q, int64_t known_length)
{
    if (r->status == 204 || (r->status == 304 && r->content_length == 0))
        return -1;
    if (r->content_length >= 0)
        return r->content_length;
    if (r->status == 304 || (q->is_head && known_length == 0))
        return -1;
    return known_length;
}

static char *put_number(char *to, uint64_t number)
{
    char room[SPAN_DECIMAL_SIZE];
    Span digits = span_decimal(number, room);

    return put(to, digits.data, digits.size);
}

static char *put_content_length(char *to, uint64_t length)
{
    to = PUT_LITERAL(to, "Content-Length: ");
    to = put_number(to, length);
    return PUT_LITERAL(to, "\r\n");
}

static char *put_date(char *to, const char *date)
{
    to = PUT_LITERAL(to, "Date: ");
    to = put(to, date, DATE_SIZE);
    return PUT_LITERAL(to, "\r\n");
}

static char *put_framing(char *to, const Response *r, const Request *q, int64_t length)
{
    if (length >= 0)
        to = put_content_length(to, (uint64_t)length);
    if (r->framing == BODY_CHUNKED)
        to = PUT_LITERAL(to, "Transfer-Encoding: chunked\r\n");
    if (r->close)
        return PUT_LITERAL(to, "Connection: close\r\n");
    /* What HTTP/1.1 takes for granted must be said to HTTP/1.0 (RFC 9112 §9.3). */
    return q->version_minor == 0 ? PUT_LITERAL(to, "Connection: keep-alive\r\n") : to;
}

int response_begin(Response *r, const Request *q, int64_t known_length, bool keep_alive, const char *date,
                   Buffer *out)
{
    int64_t length = choose_content_length(r, q, known_length);
    char *to;
    int e;

    assert(r->status != 0);
    e = buffer_reserve(out, buffer_size(&r->fields) + OWN_FIELDS_MAX);
    if (e < 0)
        return e;

    r->framing = choose_framing(r, q, length);
    r->remaining = r->framing == BODY_LENGTH ? (uint64_t)length : 0;
    atomic_store_explicit(&r->body_size, 0, memory_order_relaxed);
    r->close |= !keep_alive || !q->keep_alive || r->framing == BODY_UNTIL_CLOSE;

    to = PUT_LITERAL(buffer_tail(out), "HTTP/1.1 ");
    to = put(to, buffer_head(&r->fields), buffer_size(&r->fields));
    if (!r->has_date)
        to = put_date(to, date);
    if (!r->has_server)
        to = PUT_LITERAL(to, SERVER_FIELD);
    to = put_framing(to, r, q, length);
    to = PUT_LITERAL(to, "\r\n");
    out->end = (size_t)(to - out->data);
    return 0;
}

/* "HEX" CRLF */
static size_t format_chunk_size(char *to, size_t size)
{
    unsigned n_digits = (63 - (unsigned)__builtin_clzll(size)) / 4 + 1;

    for (unsigned i = n_digits; i-- > 0; size >>= 4)
        to[i] = "0123456789abcdef"[size & 15];
    memcpy(to + n_digits, "\r\n", 2);
    return n_digits + 2;
}

void response_frame(Response *r, size_t size, size_t *ret_take, char prefix[static RESPONSE_PREFIX_MAX],
                    size_t *ret_prefix_size, bool *ret_crlf)
{
    size_t take = size;

    if (r->framing == BODY_NONE)
        take = 0;
    if (r->framing == BODY_LENGTH) {
        take = r->remaining < size ? (size_t)r->remaining : size;
        r->remaining -= take;
    }
    *ret_crlf = r->framing == BODY_CHUNKED && take > 0; /* an empty chunk would be the last one */
    *ret_prefix_size = *ret_crlf ? format_chunk_size(prefix, take) : 0;
    *ret_take = take;
    /* One thread writes: no need for an addition that is atomic. */
    atomic_store_explicit(&r->body_size, atomic_load_explicit(&r->body_size, memory_order_relaxed) + take,
                          memory_order_relaxed);
}

int response_end(Response *r, Buffer *out)
{
    if (r->framing == BODY_LENGTH && r->remaining > 0)
        return RESPONSE_E_SHORT;
    return r->framing == BODY_CHUNKED ? buffer_append(out, "0\r\n\r\n", 5) : 0;
}

/* What is wrong with the server itself may be over soon (RFC 9110 §15.6.4). */
#define RETRY_AFTER "Retry-After: 5\r\n"

int response_append_error(Buffer *out, unsigned status, bool is_head, bool close, const char *date)
{
    char body[64];
    int body_size = snprintf(body, sizeof(body), "%u %s\n", status, status_reason(status));

    assert(body_size > 0 && (size_t)body_size < sizeof(body));
    return buffer_printf(out,
                         "HTTP/1.1 %.*s\r\nDate: %.*s\r\n" SERVER_FIELD
                         "Content-Type: text/plain\r\nContent-Length: %d\r\n%s%s\r\n%s",
                         body_size - 1, body, DATE_SIZE, date, body_size, status == 503 ? RETRY_AFTER : "",
                         close ? "Connection: close\r\n" : "", is_head ? "" : body);
}
