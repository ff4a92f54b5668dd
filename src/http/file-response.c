/* SPDX-License-Identifier: MIT */
/* From a request's preconditions and range to the status and the octets of a file. */
#include "http/file-response.h"

#include "base/cleanup.h"
#include "http/date.h"
#include "http/response-edit.h"
#include "http/syntax.h"

#include <stdio.h>

typedef struct EntityTag {
    Span opaque; /* with its quotes; data NULL: none */
    bool weak;
} EntityTag;

typedef struct Validators {
    EntityTag tag;
    bool has_modified;
    time_t modified;
    time_t now;
} Validators;

typedef enum Outcome {
    OUTCOME_WHOLE,
    OUTCOME_RANGE,
    OUTCOME_NOT_MODIFIED,
    OUTCOME_FAILED,
    OUTCOME_UNSATISFIABLE,
} Outcome;

/* --- entity tags (RFC 9110 §8.8.3) --- */

/* Takes the first one off a list. False: the list is over, or malformed from here on. */
static bool tag_next(Span *list, EntityTag *ret)
{
    const char *end;

    while (list->size > 0 && (octet_is_blank(list->data[0]) || list->data[0] == ','))
        list->data++, list->size--;
    ret->weak = list->size >= 2 && memcmp(list->data, "W/", 2) == 0;
    if (ret->weak)
        list->data += 2, list->size -= 2;
    if (list->size < 2 || list->data[0] != '"')
        return false;
    end = memchr(list->data + 1, '"', list->size - 1);
    if (!end)
        return false;
    ret->opaque = (Span){list->data, (size_t)(end + 1 - list->data)};
    *list = (Span){end + 1, list->size - ret->opaque.size};
    return true;
}

static bool tags_match(const EntityTag *a, const EntityTag *b, bool strong)
{
    return a->opaque.data && span_equal(a->opaque, b->opaque) && !(strong && (a->weak || b->weak));
}

/* Whether one of the fields of that name has the tag, or is "*", as there is a file. */
static bool fields_have_tag(const Request *q, Span name, const EntityTag *tag, bool strong)
{
    for (size_t i = 0; i < q->n_fields; i++) {
        Span list = q->fields[i].value;
        EntityTag one;

        if (!token_is(q->fields[i].name, name))
            continue;
        if (span_equal(list, SPAN_LITERAL("*")))
            return true;
        while (tag_next(&list, &one))
            if (tags_match(tag, &one, strong))
                return true;
    }
    return false;
}

/* --- preconditions (RFC 9110 §13) --- */

static bool has_field(const Request *q, const char *name)
{
    return request_field(q, name).data;
}

/* Of a field that is no list; data NULL: there is none, or more than one, which says nothing. */
static Span only_value(const Request *q, const char *name)
{
    Span value = {NULL, 0};

    for (size_t i = 0; i < q->n_fields; i++) {
        if (!span_equal_nocase(q->fields[i].name, span_of(name)))
            continue;
        if (value.data)
            return (Span){NULL, 0};
        value = q->fields[i].value;
    }
    return value;
}

/* Whether a field compares a date with that of the file. */
static bool has_date(const Request *q, const char *name, const Validators *v, time_t *ret)
{
    Span value = only_value(q, name);

    return value.data && v->has_modified && date_parse(value, v->now, ret);
}

/* In the order of §13.2.2, up to Range. */
static Outcome check_preconditions(const Request *q, const Validators *v)
{
    time_t date;

    if (has_field(q, "if-match")) {
        if (!fields_have_tag(q, SPAN_LITERAL("if-match"), &v->tag, true))
            return OUTCOME_FAILED;
    } else if (has_date(q, "if-unmodified-since", v, &date) && v->modified > date) {
        return OUTCOME_FAILED;
    }
    if (has_field(q, "if-none-match"))
        return fields_have_tag(q, SPAN_LITERAL("if-none-match"), &v->tag, false) ? OUTCOME_NOT_MODIFIED
                                                                                 : OUTCOME_WHOLE;
    if (has_date(q, "if-modified-since", v, &date) && v->modified <= date)
        return OUTCOME_NOT_MODIFIED;
    return OUTCOME_WHOLE;
}

/* §13.1.5: the client's part is of this very version. */
static bool if_range_holds(const Request *q, const Validators *v)
{
    Span value = only_value(q, "if-range");
    EntityTag tag;
    time_t date;

    if (!has_field(q, "if-range"))
        return true;
    if (has_date(q, "if-range", v, &date))
        return date == v->modified;
    return tag_next(&value, &tag) && value.size == 0 && tags_match(&v->tag, &tag, true);
}

/* --- ranges (RFC 9110 §14.1.2) --- */

/* Takes digits off, if there are some; as much as fits. */
static bool take_number(Span *s, uint64_t *ret)
{
    const char *start = s->data;

    for (*ret = 0; s->size > 0 && octet_is_digit(s->data[0]); s->data++, s->size--)
        if (__builtin_mul_overflow(*ret, 10, ret) ||
            __builtin_add_overflow(*ret, (uint64_t)(s->data[0] - '0'), ret))
            *ret = UINT64_MAX;
    return s->data > start;
}

/* What is malformed or names several ranges is as if it were not there, §14.2. */
static Outcome choose_range(Span value, uint64_t size, uint64_t *ret_offset, uint64_t *ret_size)
{
    static const Span unit = SPAN_LITERAL("bytes=");
    bool has_first, has_last;
    uint64_t first, last;
    Span s;

    if (value.size < unit.size || !span_equal_nocase((Span){value.data, unit.size}, unit))
        return OUTCOME_WHOLE;
    s = span_trim((Span){value.data + unit.size, value.size - unit.size});
    has_first = take_number(&s, &first);
    if (s.size == 0 || s.data[0] != '-')
        return OUTCOME_WHOLE;
    s = (Span){s.data + 1, s.size - 1};
    has_last = take_number(&s, &last);
    if (s.size > 0 || (!has_first && !has_last) || (has_first && has_last && last < first))
        return OUTCOME_WHOLE;

    if (has_first ? first >= size : last == 0)
        return OUTCOME_UNSATISFIABLE;
    if (size == 0) /* the last octets of nothing: a 206 could not say so */
        return OUTCOME_WHOLE;
    if (!has_first) {
        *ret_size = MIN(last, size);
        *ret_offset = size - *ret_size;
    } else {
        *ret_offset = first;
        *ret_size = (has_last ? MIN(last, size - 1) : size - 1) - first + 1;
    }
    return OUTCOME_RANGE;
}

/* --- the response --- */

static int add_field(Response *r, Span name, Span value)
{
    return response_add_field(r, name.data, name.size, value.data, value.size);
}

static int add_missing(Response *r, Span name, Span value)
{
    return response_field(r, name).data ? 0 : add_field(r, name, value);
}

/* A date of the future would be that of the answer (§8.8.2.1); the tag has nginx's form. */
static int add_validators(Response *r, const FileVersion *f)
{
    time_t modified = MIN(f->modified, f->now);
    char tag[48], date[DATE_SIZE];
    int n = snprintf(tag, sizeof(tag), "\"%llx-%llx\"", (unsigned long long)f->modified,
                     (unsigned long long)f->size);
    int e = add_missing(r, SPAN_LITERAL("ETag"), (Span){tag, (size_t)n});

    if (e == 0 && modified >= 0) {
        date_format(modified, date);
        e = add_missing(r, SPAN_LITERAL("Last-Modified"), (Span){date, sizeof(date)});
    }
    return e != 0 ? e : add_missing(r, SPAN_LITERAL("Accept-Ranges"), SPAN_LITERAL("bytes"));
}

/* What the fields of the response say, whoever set them. */
static Validators read_validators(const Response *r, time_t now)
{
    Span tag = response_field(r, SPAN_LITERAL("ETag")),
         modified = response_field(r, SPAN_LITERAL("Last-Modified"));
    Validators v = {.now = now};

    if (!tag_next(&tag, &v.tag))
        v.tag = (EntityTag){.opaque = {NULL, 0}};
    v.has_modified = date_parse(modified, now, &v.modified);
    return v;
}

static Outcome choose(const Response *r, const Request *q, const FileVersion *f, uint64_t *ret_offset,
                      uint64_t *ret_size)
{
    Validators v = read_validators(r, f->now);
    Outcome outcome = check_preconditions(q, &v);
    Span range = only_value(q, "range");

    if (outcome != OUTCOME_WHOLE || q->is_head || !range.data || !if_range_holds(q, &v) ||
        !span_equal_nocase(response_field(r, SPAN_LITERAL("Accept-Ranges")), SPAN_LITERAL("bytes")))
        return outcome;
    return choose_range(range, f->size, ret_offset, ret_size);
}

/* Without the application's fields, which are about another answer. */
static int refuse(Response *r, Span status)
{
    bool close = r->close;

    response_reset(r);
    r->close = close;
    r->content_length = 0;
    return response_set_status(r, status.data, status.size);
}

/* size 0: there is no such range. */
static int add_content_range(Response *r, uint64_t offset, uint64_t size, uint64_t whole)
{
    char value[80];
    int n = size > 0 ? snprintf(value, sizeof(value), "bytes %llu-%llu/%llu", (unsigned long long)offset,
                                (unsigned long long)(offset + size - 1), (unsigned long long)whole)
                     : snprintf(value, sizeof(value), "bytes */%llu", (unsigned long long)whole);

    return add_field(r, SPAN_LITERAL("Content-Range"), (Span){value, (size_t)n});
}

static int apply(Response *r, Outcome outcome, const FileVersion *f, uint64_t offset, uint64_t size)
{
    int e;

    switch (outcome) {
    case OUTCOME_WHOLE:
        return 0;
    case OUTCOME_RANGE:
        response_remove_field(r, SPAN_LITERAL("Content-Range"));
        e = response_replace_status(r, 206);
        return e < 0 ? e : add_content_range(r, offset, size, f->size);
    case OUTCOME_NOT_MODIFIED:
        r->content_length = -1;
        return response_replace_status(r, 304);
    case OUTCOME_FAILED:
        return refuse(r, SPAN_LITERAL("412 Precondition Failed"));
    case OUTCOME_UNSATISFIABLE:
        e = refuse(r, SPAN_LITERAL("416 Range Not Satisfiable"));
        return e < 0 ? e : add_content_range(r, 0, 0, f->size);
    }
    return 0;
}

/* An application that has cut out a range of its own accord meant the same range of the same request. */
static int undo_range(Response *r)
{
    response_remove_field(r, SPAN_LITERAL("Content-Range"));
    return response_replace_status(r, 200);
}

int file_response_prepare(Response *r, const Request *q, const FileVersion *f, uint64_t *ret_offset,
                          uint64_t *ret_size)
{
    bool is_read = q->is_head || span_equal(q->method, SPAN_LITERAL("GET"));
    Outcome outcome;
    int e = r->status == 206 ? undo_range(r) : 0;

    *ret_offset = 0;
    *ret_size = f->size;
    r->content_length = (int64_t)f->size;
    if (e < 0 || r->status != 200 || !is_read)
        return e;
    e = add_validators(r, f);
    if (e < 0)
        return e;
    outcome = choose(r, q, f, ret_offset, ret_size);
    if (outcome > OUTCOME_RANGE)
        *ret_size = 0;
    r->content_length = (int64_t)*ret_size;
    return apply(r, outcome, f, *ret_offset, *ret_size);
}
