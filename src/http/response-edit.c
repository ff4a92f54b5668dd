/* SPDX-License-Identifier: MIT */
/* Changes of a response in which the application has said everything, before its head is made. */
#include "http/response-edit.h"

#include "http/status.h"
#include "http/syntax.h"

#include <assert.h>
#include <stdio.h>

/* The line of that field, with its CRLF; data NULL: there is none. */
static Span field_line(const Response *r, Span name)
{
    const char *line = buffer_head(&r->fields), *end = buffer_tail(&r->fields), *next;

    for (; line < end; line = next) {
        next = (const char *)memchr(line, '\n', (size_t)(end - line)) + 1;
        if ((size_t)(next - line) > name.size && line[name.size] == ':' &&
            span_equal_nocase((Span){line, name.size}, name))
            return (Span){line, (size_t)(next - line)};
    }
    return (Span){NULL, 0};
}

Span response_field(const Response *r, Span name)
{
    Span line = field_line(r, name);
    size_t n_before = name.size + 2, n_around = n_before + 2; /* ": ", and CRLF */

    return line.data ? (Span){line.data + n_before, line.size - n_around} : line;
}

void response_remove_field(Response *r, Span name)
{
    Span line;

    while ((line = field_line(r, name)).data) {
        char *to = buffer_head(&r->fields) + (line.data - buffer_head(&r->fields));

        memmove(to, to + line.size, (size_t)(buffer_tail(&r->fields) - to) - line.size);
        r->fields.end -= line.size;
    }
}

int response_replace_status(Response *r, unsigned status)
{
    char line[64];
    size_t size = (size_t)snprintf(line, sizeof(line), "%u %s", status, status_reason(status));
    size_t former = (size_t)((char *)memchr(buffer_head(&r->fields), '\r', buffer_size(&r->fields)) -
                             buffer_head(&r->fields));
    int e = buffer_reserve(&r->fields, size);
    char *head = buffer_head(&r->fields);

    assert(size < sizeof(line));
    if (e < 0)
        return e;
    memmove(head + size, head + former, buffer_size(&r->fields) - former);
    memcpy(head, line, size);
    r->fields.end = r->fields.end - former + size;
    r->status = status;
    return 0;
}
