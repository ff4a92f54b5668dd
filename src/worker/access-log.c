/* SPDX-License-Identifier: MIT */
/* Where the access log goes: whole lines to a file, or records to the journal. What a line says is in
 * access-line. */
#include "worker/access-log.h"

#include "base/log.h"
#include "worker/access-line.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <syslog.h>
#include <unistd.h>

#define FLUSH_BYTES ((size_t)32 * 1024)
#define JOURNAL_FIELDS_MAX 10

struct AccessLog {
    char *path;           /* NULL: the journal */
    AccessFormat *format; /* of the file */
    int fd;
    bool torn;       /* the file's last line has no end; the lines kept begin with one */
    uint64_t n_lost; /* lines; being told about: with the first, and when it is over */
    Buffer lines;    /* for the file; the fields of one record for the journal */
    AccessTime time;
};

int access_log_new(const char *target, const char *format, AccessLog **ret)
{
    _cleanup_(access_log_freep) AccessLog *l = calloc(1, sizeof(*l));
    const char *bad;
    int r;

    if (!l)
        return -ENOMEM;
    l->fd = -EBADF;
    buffer_init(&l->lines);
    if (strcmp(target, "journal") != 0) {
        l->path = strdup(target);
        if (!l->path)
            return -ENOMEM;
        r = access_format_parse(format, &l->format, &bad);
        if (r < 0)
            return r;
        /* Not to wait for the reader of a FIFO, neither now nor later. */
        l->fd = open(target, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);
        if (l->fd < 0)
            return -errno;
    }
    *ret = TAKE_PTR(l);
    return 0;
}

AccessLog *access_log_free(AccessLog *l)
{
    if (!l)
        return NULL;
    access_log_flush(l);
    closep(&l->fd);
    buffer_deinit(&l->lines);
    access_format_free(l->format);
    free(l->path);
    free(l);
    return NULL;
}

bool access_log_is_journal(const AccessLog *l)
{
    return !l->path;
}

static void on_lost(AccessLog *l, uint64_t n, int error)
{
    if (n > 0 && l->n_lost == 0)
        log_warning("access log %s: %s: lines are being lost", l->path ? l->path : "journal",
                    strerror(error));
    l->n_lost += n;
}

static void on_written(AccessLog *l)
{
    if (l->n_lost > 0)
        log_warning("access log %s: written again, %" PRIu64 " lines were lost",
                    l->path ? l->path : "journal", l->n_lost);
    l->n_lost = 0;
}

static uint64_t count_lines(Span s)
{
    uint64_t n = 0;

    for (size_t i = 0; i < s.size; i++)
        n += s.data[i] == '\n';
    return n;
}

/* `done` octets of the lines went out, then no more. */
static void on_write_error(AccessLog *l, size_t done, int error)
{
    Span rest = {buffer_head(&l->lines) + done, buffer_size(&l->lines) - done};
    bool was_torn = l->torn && done == 0;

    l->torn = done > 0 ? rest.data[-1] != '\n' : l->torn;
    on_lost(l, count_lines(rest) - was_torn, error);
    buffer_clear(&l->lines);
    if (l->torn)
        buffer_append(&l->lines, "\n", 1); /* can't fail: the memory is there */
}

void access_log_flush(AccessLog *l)
{
    size_t size = buffer_size(&l->lines), done = 0;

    if (!l->path || size <= l->torn)
        return;
    while (done < size) {
        ssize_t k = write(l->fd, buffer_head(&l->lines) + done, size - done);

        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0) {
            on_write_error(l, done, errno);
            return;
        }
        done += (size_t)k;
    }
    l->torn = false;
    buffer_clear(&l->lines);
    on_written(l);
}

static void add_to_file(AccessLog *l, const AccessEntry *e)
{
    size_t before = buffer_size(&l->lines);

    if (access_line_append(&l->lines, l->format, e, &l->time) < 0) {
        l->lines.end = l->lines.start + before;
        on_lost(l, 1, ENOMEM);
    }
    if (buffer_size(&l->lines) >= FLUSH_BYTES)
        access_log_flush(l);
}

/* --- the journal --- */

/* The "KEY=value" strings of one record, one behind the other in a buffer that may move. */
typedef struct Fields {
    Buffer *text;
    size_t offsets[JOURNAL_FIELDS_MAX];
    size_t n;
    int error;
} Fields;

/* Without a value, there is no field. */
static void add_field(Fields *f, const char *key, Span value)
{
    size_t offset = buffer_size(f->text);

    if (f->error < 0 || value.size == 0)
        return;
    f->error = buffer_append_string(f->text, key);
    if (f->error == 0)
        f->error = access_line_append_escaped(f->text, value);
    if (f->error == 0)
        f->error = buffer_append(f->text, "", 1);
    f->offsets[f->n++] = offset;
}

static void add_number(Fields *f, const char *key, uint64_t value)
{
    char text[24];

    snprintf(text, sizeof(text), "%" PRIu64, value);
    add_field(f, key, span_of(text));
}

static void add_fields(Fields *f, const AccessEntry *e)
{
    const Request *q = e->request;

    add_field(f, "HTTP_METHOD=", q->method);
    add_field(f, "HTTP_PATH=", q->path);
    add_field(f, "HTTP_QUERY=", q->query);
    add_number(f, "HTTP_STATUS=", e->status);
    add_field(f, "HTTP_HOST=", q->host);
    add_field(f, "HTTP_USER_AGENT=", request_field(q, "user-agent"));
    add_field(f, "REMOTE_ADDR=", e->peer->remote_addr);
    add_number(f, "DURATION_USEC=", e->duration_usec);
    add_number(f, "RESPONSE_BYTES=", e->body_size);
}

static const char *field_value(const char *const fields[], const char *key)
{
    for (; *fields; fields++)
        if (strncmp(*fields, key, strlen(key)) == 0)
            return *fields + strlen(key);
    return "-";
}

static void add_to_journal(AccessLog *l, const AccessEntry *e)
{
    const char *fields[JOURNAL_FIELDS_MAX + 2];
    Fields f = {.text = &l->lines};

    buffer_clear(&l->lines);
    add_fields(&f, e);
    if (f.error < 0) {
        on_lost(l, 1, -f.error);
        return;
    }
    for (size_t i = 0; i < f.n; i++)
        fields[i] = buffer_head(&l->lines) + f.offsets[i];
    fields[f.n] = e->request_id;
    fields[f.n + 1] = NULL;
    log_access(e->status >= 500 ? LOG_ERR : LOG_INFO, fields, "%s %s %u %" PRIu64 " B %" PRIu64 ".%u ms",
               field_value(fields, "HTTP_METHOD="), field_value(fields, "HTTP_PATH="), e->status,
               e->body_size, e->duration_usec / USEC_PER_MSEC,
               (unsigned)(e->duration_usec % USEC_PER_MSEC / 100));
    on_written(l);
}

void access_log_add(AccessLog *l, const AccessEntry *e)
{
    if (l->path)
        add_to_file(l, e);
    else
        add_to_journal(l, e);
}
