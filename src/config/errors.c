/* SPDX-License-Identifier: MIT */
/* Collects error messages. */
#include "config/errors.h"

#include "base/escape.h"

static int add_text(Buffer *b, Origin at, const ConfigOption *o, const char *format, va_list ap)
{
    char *message = NULL;
    int r = 0;

    if (vasprintf(&message, format, ap) < 0)
        return -ENOMEM;
    if (buffer_size(b) > 0)
        r = buffer_append_string(b, "\n");
    if (r == 0 && !at.filename)
        r = buffer_append_string(b, "--set ");
    if (r == 0 && at.filename)
        r = at.line > 0 ? buffer_printf(b, "%s:%u: ", at.filename, at.line)
                        : buffer_printf(b, "%s: ", at.filename);
    if (r == 0 && o)
        r = buffer_printf(b, "%s.%s: ", o->section, o->key);
    if (r == 0)
        r = buffer_append_string(b, message);
    free(message);
    return r;
}

void errors_add(Errors *e, Origin at, const ConfigOption *o, const char *format, ...)
{
    va_list ap;

    if (e->result < 0)
        return;
    va_start(ap, format);
    e->result = add_text(&e->text, at, o, format, ap);
    va_end(ap);
}

char *errors_quote(char to[static QUOTE_MAX], const char *s, size_t size)
{
    size_t n;

    to[0] = '"';
    n = escape_bytes(to + 1, QUOTE_MAX - 2, (Span){s, size});
    to[n + 1] = '"';
    to[n + 2] = '\0';
    return to;
}
