/* SPDX-License-Identifier: MIT */
/* A head is well-formed if each of its lines is. So llhttp gets those that it has not passed before, in runs, as if
 * they were the head. It is given nothing but scanned lines (head.c), so that its versions 8.1 to 9.x give the same
 * answers. */
#include "http/splitter.h"

#include "base/cleanup.h"
#include "http/known-lines.h"
#include "http/syntax.h"

#include <errno.h>
#include <llhttp.h>
#include <stdlib.h>

_Static_assert(sizeof(llhttp_t) <= KNOWN_LLHTTP_SIZE, "it is kept in KnownLines");

typedef struct Splitter {
    llhttp_t llhttp; /* first: the callbacks get a pointer to it */
    Request *request;
    const HeadScan *scan;
    const char *head, *end;
    const HttpLimits *limits;
    bool is_begun; /* llhttp has the request line */
    size_t field;  /* of llhttp's last name */
    int result;    /* of a callback that stopped it */
} Splitter;

/* --- fields --- */

static int fields_grow(Request *r, unsigned max_fields)
{
    size_t capacity = r->fields_capacity ? 2 * r->fields_capacity : 32;
    Field *fields;

    if (r->n_fields >= max_fields)
        return request_refuse(r, 431, "too many fields");
    fields = reallocarray(r->fields, capacity, sizeof(*fields));
    if (!fields)
        return -ENOMEM;
    r->fields = fields;
    r->fields_capacity = capacity;
    return 0;
}

/* Room for the next one. */
static inline int fields_reserve(Splitter *s)
{
    Request *r = s->request;

    return r->n_fields < r->fields_capacity ? 0 : fields_grow(r, s->limits->fields);
}

static int on_name(llhttp_t *llhttp, const char *data, size_t size)
{
    Splitter *s = (Splitter *)llhttp;
    Request *r = s->request;

    s->result = fields_reserve(s);
    if (s->result != 0)
        return HPE_USER;
    s->field = r->n_fields++;
    r->fields[s->field] = (Field){.name = {data, size}, .value = {data + size, 0}};

    /* "An ordinary field": llhttp would look into Content-Length, Transfer-Encoding, Connection and Upgrade,
     * and its versions disagree on which of them to refuse. */
    llhttp->header_state = 0;
    return 0;
}

/* Of an empty value llhttp may tell only with the octets of the next line that it gets. */
static int on_value(llhttp_t *llhttp, const char *data, size_t size)
{
    Splitter *s = (Splitter *)llhttp;

    if (size > 0)
        s->request->fields[s->field].value = span_trim((Span){data, size});
    return 0;
}

static int on_head(llhttp_t *llhttp)
{
    llhttp->upgrade = 0;
    return HPE_PAUSED; /* bodies are framed by chunked.c and by the caller */
}

static const llhttp_settings_t settings = {
    .on_header_field = on_name,
    .on_header_value = on_value,
    .on_headers_complete = on_head,
};

/* --- llhttp --- */

/* llhttp numbers RFC 9110's and WebDAV's methods up to UNLINK in all its versions; behind come those of other
 * protocols and those that only some versions know. */
static bool method_is_known(Span method)
{
    for (int i = 0; i <= HTTP_UNLINK; i++)
        if (i != HTTP_CONNECT && span_equal(method, span_of(llhttp_method_name((llhttp_method_t)i))))
            return true;
    return false;
}

#ifdef LLHTTP_SSE42
/* Finds the end of a value 16 octets at a time; otherwise the same as llhttp_execute(). */
int llhttp__internal_execute_sse42(llhttp__internal_t *parser, const char *data, const char *end);
#endif

static llhttp_errno_t execute(llhttp_t *llhttp, const char *data, size_t size)
{
#ifdef LLHTTP_SSE42
    if (__builtin_cpu_supports("sse4.2"))
        return (llhttp_errno_t)llhttp__internal_execute_sse42(llhttp, data, data + size);
#endif
    return llhttp_execute(llhttp, data, size);
}

static int refuse_lines(const Splitter *s)
{
    if (s->result != 0)
        return s->result;
    if (method_is_known(s->request->method))
        return request_refuse(s->request, 400, "malformed request head");
    return request_refuse(s->request, 501, "method not implemented");
}

static size_t request_line_size(const Request *r)
{
    return r->method.size + r->target.size + strlen("  HTTP/1.1\r\n");
}

/* Fields are nothing to llhttp without a request line. Which one it was makes no difference to them: where that of the
 * head is known, it is one that was passed before. */
static int split_begin(Splitter *s, const char *from)
{
    static const Span any = SPAN_LITERAL("GET / HTTP/1.1\r\n");
    KnownLines *known = s->limits->known;

    s->is_begun = true;
    if (from != s->head && known->has_llhttp) {
        memcpy(&s->llhttp, known->llhttp, sizeof s->llhttp);
        return 0;
    }
    llhttp_init(&s->llhttp, HTTP_REQUEST, &settings);
    s->llhttp.lenient_flags |= LENIENT_VERSION; /* HTTP/1.2 is for us to serve, RFC 9110 §2.5 */
    if (from == s->head)
        return 0;
    if (execute(&s->llhttp, any.data, any.size) != HPE_OK)
        return refuse_lines(s);
    memcpy(known->llhttp, &s->llhttp, sizeof s->llhttp);
    known->has_llhttp = true;
    return 0;
}

/* Whole lines; the last ones with the empty line. */
static int split(Splitter *s, const char *from, const char *to)
{
    int status = s->is_begun ? 0 : split_begin(s, from);
    llhttp_errno_t e;

    if (status != 0)
        return status;
    e = execute(&s->llhttp, from, (size_t)(to - from));
    if (to == s->end ? e != HPE_PAUSED || llhttp_get_error_pos(&s->llhttp) != to : e != HPE_OK)
        return refuse_lines(s);
    if (s->llhttp.method > HTTP_UNLINK || s->llhttp.method == HTTP_CONNECT)
        return request_refuse(s->request, 501, "method not implemented");
    return 0;
}

/* --- lines --- */

/* The scan has seen to its form: TOKEN SP TARGET SP "HTTP/1." DIGIT CRLF. */
static const char *split_request_line(Splitter *s)
{
    const char *method_end = rawmemchr(s->head, ' '), *target_end = rawmemchr(method_end + 1, ' ');
    Request *r = s->request;

    r->method = (Span){s->head, (size_t)(method_end - s->head)};
    r->target = (Span){method_end + 1, (size_t)(target_end - method_end - 1)};
    return s->head + request_line_size(r);
}

static const char *take_request_line(Splitter *s, const KnownLine *l)
{
    s->request->line = l->id;
    s->request->method = (Span){s->head, l->name_size};
    s->request->target = (Span){s->head + l->value_start, l->value_size};
    return s->head + l->size;
}

static inline int take_field(Splitter *s, const char *line, const KnownLine *l)
{
    Request *r = s->request;
    int status = fields_reserve(s);

    if (status == 0)
        r->fields[r->n_fields++] = (Field){
            .name = {line, l->name_size},
            .value = {line + l->value_start, l->value_size},
            .line = l->id,
            .role = l->role,
        };
    return status;
}

/* What the scan has found. */
static inline const KnownLine *line_at(const KnownLines *known, const HeadScan *scan, unsigned number)
{
    return known && number < HEAD_KNOWN_MAX ? known_lines_get(known, scan->known[number]) : NULL;
}

/* line: the one behind the request line; run: where lines begin that are not known. */
static int split_fields(Splitter *s, const char *line, const char *run)
{
    const KnownLines *known = s->limits->known;
    const HeadScan *scan = s->scan;
    const char *empty_line = s->end - 2;
    int status = 0;

    for (unsigned number = 1; line < empty_line && status == 0; number++) {
        const KnownLine *l = line_at(known, scan, number);

        if (!l) {
            line = (const char *)rawmemchr(line, '\n') + 1;
            continue;
        }
        if (run < line)
            status = split(s, run, line);
        if (status == 0)
            status = take_field(s, line, l);
        run = line += l->size;
    }
    return status == 0 && run < empty_line ? split(s, run, s->end) : status;
}

int splitter_run(Request *r, const HeadScan *scan, const char *head, size_t size, const HttpLimits *limits,
                 bool *ret_is_new)
{
    Splitter s = {.request = r, .scan = scan, .head = head, .end = head + size, .limits = limits};
    const KnownLine *l = line_at(limits->known, scan, 0);
    const char *fields = l ? take_request_line(&s, l) : split_request_line(&s);
    int status;

    r->version_minor = fields[-3] != '0';
    r->is_head = span_equal(r->method, SPAN_LITERAL("HEAD"));
    status = split_fields(&s, fields, l ? fields : head);
    *ret_is_new = s.is_begun;
    return status;
}

/* --- memory --- */

static void remember(KnownLines *known, const Field *f)
{
    const char *text = f->name.data, *lf = rawmemchr(f->value.data, '\n');

    known_lines_add(known, (Span){text, (size_t)(lf + 1 - text)}, f);
}

void splitter_remember(const Request *r, KnownLines *known)
{
    if (r->line == 0)
        remember(known, &(Field){.name = r->method, .value = r->target, .role = ROLE_REQUEST_LINE});
    for (size_t i = 0; i < MIN(r->n_fields, HEAD_KNOWN_MAX - 1u); i++)
        if (r->fields[i].line == 0 && r->fields[i].role != ROLE_CREDENTIALS)
            remember(known, &r->fields[i]);
}
