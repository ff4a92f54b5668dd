/* SPDX-License-Identifier: MIT */
/* A configuration from a file's lines and the command line's settings, and back to text. The values
 * themselves: config/value.h. */
#include "config/config.h"

#include "base/escape.h"
#include "base/fd.h"
#include "config/errors.h"
#include "config/reader.h"
#include "config/staff.h"
#include "config/table.h"
#include "config/value.h"

#include <assert.h>
#include <fcntl.h>
#include <sys/stat.h>

#define SITE_NAME_MAX 21
#define NAME_MAX_SHOWN 64

typedef struct Parser {
    Config *config;
    Errors errors;
    const char *filename;
    unsigned lines[TABLE_N_OPTIONS]; /* where each option is set first; 0: nowhere */
    bool module_is_wrong;            /* app.module was given, but is invalid */
    bool has_section;                /* a section began */
    const char *section;             /* its name; NULL: unknown or malformed, its keys are passed over */
    const ConfigOption *current; /* whose value is being read; NULL: none, more lines of it are passed over */
    unsigned current_line;
    unsigned continued_line; /* the first indented line of the value; 0: none */
    Buffer text;             /* of current, as far as it was read */
} Parser;

static Origin origin(const Parser *p, unsigned line)
{
    return (Origin){p->filename, line};
}

/* Files what value_set() or value_append() says. */
static void note_result(Parser *p, const ConfigOption *o, int r)
{
    if (r < 0)
        p->errors.result = r;
    if (r == CONFIG_E_INVALID && o->offset == offsetof(Config, app_module))
        p->module_is_wrong = true;
}

static void append_text(Parser *p, const char *separator, Span more)
{
    int r = buffer_append_string(&p->text, separator);

    if (r == 0)
        r = buffer_append(&p->text, more.data, more.size);
    if (r < 0)
        p->errors.result = r;
}

/* p->text has the value, or one line of a list; `set` is value_set() or value_append(). */
static int set_text(Parser *p, unsigned line,
                    int (*set)(Config *, const ConfigOption *, const char *, Errors *, Origin))
{
    int r = 0;

    append_text(p, "", SPAN_LITERAL("\0"));
    if (p->errors.result == 0)
        r = set(p->config, p->current, buffer_head(&p->text), &p->errors, origin(p, line));
    buffer_clear(&p->text);
    note_result(p, p->current, r);
    return r;
}

/* A value that is no list is whole when something else than an indented line follows. */
static void finish_value(Parser *p)
{
    const ConfigOption *o = p->current;

    if (o && !value_is_list(o) && set_text(p, p->current_line, value_set) == CONFIG_E_INVALID &&
        p->continued_line > 0)
        errors_add(&p->errors, origin(p, p->continued_line), NULL,
                   "this line is indented, so it continues the value of %s.%s", o->section, o->key);
    p->current = NULL;
    p->continued_line = 0;
}

/* --- the file --- */

static void report_unknown_section(Parser *p, unsigned line, const char *name)
{
    const char *nearest = table_nearest_section(name);

    if (nearest)
        errors_add(&p->errors, origin(p, line), NULL, "[%s]: unknown section, did you mean [%s]?", name,
                   nearest);
    else
        errors_add(&p->errors, origin(p, line), NULL, "[%s]: unknown section; `cgunicorn options` lists all",
                   name);
}

static void on_section(void *userdata, unsigned line, Span name)
{
    Parser *p = userdata;
    char shown[NAME_MAX_SHOWN];

    finish_value(p);
    p->has_section = true;
    p->section = NULL;
    if (!name.data)
        return;
    escape_bytes(shown, sizeof(shown), name);
    p->section = table_find_section(shown);
    if (!p->section)
        report_unknown_section(p, line, shown);
}

static void report_unknown_key(Parser *p, Origin at, const char *section, const char *key)
{
    const ConfigOption *nearest = table_nearest_key(section, key);

    if (!nearest)
        errors_add(&p->errors, at, NULL, "%s.%s: unknown key; `cgunicorn options` lists all", section, key);
    else if (table_names_equal(nearest->section, section))
        errors_add(&p->errors, at, NULL, "%s.%s: unknown key, did you mean %s?", section, key, nearest->key);
    else
        errors_add(&p->errors, at, NULL, "%s.%s: unknown key, did you mean %s in [%s]?", section, key,
                   nearest->key, nearest->section);
}

static void begin_value(Parser *p, const ConfigOption *o, unsigned line, Span value)
{
    unsigned *first = &p->lines[table_index(o)];

    if (*first > 0) {
        errors_add(&p->errors, origin(p, line), o, "set twice, first in line %u; keep one of them", *first);
        return;
    }
    *first = line;
    p->current = o;
    p->current_line = line;
    append_text(p, "", value);
    if (value_is_list(o))
        set_text(p, line, value_set);
}

static void on_value(void *userdata, unsigned line, const char *key, Span value)
{
    Parser *p = userdata;
    const ConfigOption *o;
    char shown[NAME_MAX_SHOWN];

    finish_value(p);
    escape_bytes(shown, sizeof(shown), span_of(key));
    if (!p->has_section)
        errors_add(&p->errors, origin(p, line), NULL,
                   "%s: stands in front of the first section; begin with [app]", shown);
    if (!p->section)
        return;
    o = table_find(p->section, shown);
    if (o)
        begin_value(p, o, line, value);
    else
        report_unknown_key(p, origin(p, line), p->section, shown);
}

static void on_continuation(void *userdata, unsigned line, Span value)
{
    Parser *p = userdata;

    if (!p->current)
        return;
    if (value_is_list(p->current)) {
        append_text(p, "", value);
        set_text(p, line, value_append);
        return;
    }
    if (p->continued_line == 0)
        p->continued_line = line;
    append_text(p, buffer_size(&p->text) > 0 ? " " : "", value);
}

static void on_error(void *userdata, unsigned line, const char *message)
{
    Parser *p = userdata;

    finish_value(p);
    errors_add(&p->errors, origin(p, line), NULL, "%s", message);
}

static int parse_file(Parser *p, const char *data, size_t size)
{
    static const ReaderEvents events = {on_section, on_value, on_continuation, on_error};
    int r = reader_parse(data, size, &events, p);

    finish_value(p);
    return r;
}

/* --- the command line --- */

static void parse_override(Parser *p, const char *override)
{
    static const Origin command_line = {NULL, 0};
    const char *equals = strchr(override, '='), *dot = strchr(override, '.');
    char section[NAME_MAX_SHOWN], key[NAME_MAX_SHOWN], quote[QUOTE_MAX];
    const ConfigOption *o;

    if (!equals || !dot || dot > equals) {
        errors_add(&p->errors, command_line, NULL,
                   "%s is no setting; write section.key=value, for example workers.count=4",
                   errors_quote(quote, override, strlen(override)));
        return;
    }
    escape_bytes(section, sizeof(section), reader_trim((Span){override, (size_t)(dot - override)}));
    escape_bytes(key, sizeof(key), reader_trim((Span){dot + 1, (size_t)(equals - dot - 1)}));
    o = table_find(section, key);
    if (o)
        note_result(p, o, value_set(p->config, o, equals + 1, &p->errors, command_line));
    else
        report_unknown_key(p, command_line, section, key);
}

/* --- the whole --- */

static int config_new(Config **ret)
{
    _cleanup_(config_freep) Config *c = calloc(1, sizeof(*c));
    Errors e = {0};

    if (!c)
        return -ENOMEM;
    for (size_t i = 0; i < config_n_options; i++) {
        const ConfigOption *o = &config_options[i];
        int r = value_set(c, o, o->default_value, &e, (Origin){"options.def", 0});

        assert(r <= 0); /* a default is valid */
        if (r < 0)
            return r;
    }
    *ret = TAKE_PTR(c);
    return 0;
}

Config *config_free(Config *c)
{
    if (c)
        for (size_t i = 0; i < config_n_options; i++)
            value_free(c, &config_options[i]);
    free(c);
    return NULL;
}

/* Hands out the result: the configuration, or the errors. */
static int parser_end(Parser *p, int r, Config **ret, char **ret_error)
{
    if (r == 0)
        r = p->errors.result;
    if (r == 0 && buffer_size(&p->errors.text) > 0) {
        *ret_error = strndup(buffer_head(&p->errors.text), buffer_size(&p->errors.text));
        r = *ret_error ? CONFIG_E_INVALID : -ENOMEM;
    }
    if (r == 0)
        *ret = TAKE_PTR(p->config);
    config_free(p->config);
    buffer_deinit(&p->errors.text);
    buffer_deinit(&p->text);
    return r;
}

int config_parse(const char *data, size_t size, const char *filename, char *const *overrides, Config **ret,
                 char **ret_error)
{
    Parser p = {.filename = filename};
    int r = config_new(&p.config);

    if (r == 0 && data)
        r = parse_file(&p, data, size);
    for (size_t i = 0; r == 0 && i < strv_length(overrides); i++)
        parse_override(&p, overrides[i]);
    if (r == 0 && !p.config->app_module && !p.module_is_wrong)
        errors_add(
            &p.errors, (Origin){data ? filename : "command line", 0}, table_find("app", "module"),
            "missing; name the application in section [app], for example module = shop.wsgi:application");
    if (r == 0 && p.config->app_python && p.config->app_virtualenv)
        errors_add(&p.errors, (Origin){data ? filename : "command line", 0}, table_find("app", "python"),
                   "app.virtualenv names an interpreter as well; keep one of them");
    if (r == 0 && p.config->workers_max > 0 && p.config->workers_min > p.config->workers_max)
        errors_add(&p.errors, (Origin){data ? filename : "command line", 0}, table_find("workers", "min"),
                   "%u is more than workers.max, which is %u", p.config->workers_min, p.config->workers_max);
    if (r == 0 && config_staff(p.config).is_gevent && p.config->workers_threads > 1)
        errors_add(&p.errors, (Origin){data ? filename : "command line", 0}, table_find("workers", "threads"),
                   "%u with workers.class = gevent, where greenlets run in one thread; remove it, and set "
                   "workers.connections",
                   p.config->workers_threads);
    return parser_end(&p, r, ret, ret_error);
}

int config_format(const Config *c, bool all, char **ret)
{
    _cleanup_(config_freep) Config *defaults = NULL;
    _cleanup_(buffer_deinit) Buffer text = {0};
    const char *section = "";
    int r = config_new(&defaults);

    for (size_t i = 0; r == 0 && i < config_n_options; i++) {
        const ConfigOption *o = &config_options[i];

        if (!all && value_equal(c, defaults, o))
            continue;
        if (strcmp(o->section, section) != 0)
            r = buffer_printf(&text, "%s[%s]\n", *section ? "\n" : "", o->section);
        section = o->section;
        if (r == 0)
            r = value_format(c, o, &text);
    }
    if (r == 0)
        r = buffer_append(&text, "", 1);
    if (r == 0)
        *ret = TAKE_PTR(text.data);
    return r;
}

static int fail(const char *path, const char *what, char **ret_error)
{
    return asprintf(ret_error, "%s: %s", path, what) < 0 ? -ENOMEM : CONFIG_E_INVALID;
}

int config_read_file(const char *path, char **ret_data, size_t *ret_size, char **ret_error)
{
    /* A FIFO would block without O_NONBLOCK. */
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat st;
    int r;

    if (fd < 0 || fstat(fd, &st) < 0)
        return fail(path, strerror(errno), ret_error);
    if (!S_ISREG(st.st_mode))
        return fail(path, S_ISDIR(st.st_mode) ? "a directory, not a file" : "not a regular file", ret_error);
    r = fd_read_all(fd, CONFIG_SIZE_MAX, ret_data, ret_size);
    if (r == -ENOMEM)
        return r;
    if (r == -EFBIG)
        return fail(path, "larger than 1 MiB, which no configuration is", ret_error);
    return r < 0 ? fail(path, strerror(-r), ret_error) : 0;
}

bool config_site_name_is_valid(const char *s)
{
    size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-");

    return *s >= 'a' && *s <= 'z' && s[n] == '\0' && n <= SITE_NAME_MAX;
}
