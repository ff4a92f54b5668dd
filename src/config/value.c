/* SPDX-License-Identifier: MIT */
/* Typed values: one way in, one way out. */
#include "config/value.h"

#include "config/check.h"
#include "config/reader.h"

#include <inttypes.h>
#include <syslog.h>

#define LINE_WRAP 100 /* a list that is longer is formatted one a line */

static const struct {
    const char *name;
    int priority;
} levels[] = {
    {"debug", LOG_DEBUG}, {"info", LOG_INFO},     {"warning", LOG_WARNING},
    {"error", LOG_ERR},   {"critical", LOG_CRIT},
};

static void *field(const Config *c, const ConfigOption *o)
{
    return (char *)(uintptr_t)c + o->offset;
}

static bool is_text(const ConfigOption *o)
{
    return o->type_id == CONFIG_STRING || o->type_id == CONFIG_PATH;
}

static uint64_t load_number(const Config *c, const ConfigOption *o)
{
    const void *p = field(c, o);

    switch (o->type_id) {
    case CONFIG_BOOL:
        return *(const bool *)p;
    case CONFIG_UINT:
        return *(const unsigned *)p;
    case CONFIG_LEVEL:
        return (uint64_t) * (const int *)p;
    default:
        return *(const uint64_t *)p;
    }
}

static void store_number(Config *c, const ConfigOption *o, uint64_t n)
{
    void *p = field(c, o);

    switch (o->type_id) {
    case CONFIG_BOOL:
        *(bool *)p = n;
        break;
    case CONFIG_UINT:
        *(unsigned *)p = (unsigned)n;
        break;
    case CONFIG_LEVEL:
        *(int *)p = (int)n;
        break;
    default:
        *(uint64_t *)p = n;
    }
}

/* --- text to value --- */

static int parse_level(const char *text, uint64_t *ret)
{
    for (size_t i = 0; i < ELEMENTSOF(levels); i++)
        if (strcmp(levels[i].name, text) == 0) {
            *ret = (uint64_t)levels[i].priority;
            return 0;
        }
    return -EINVAL;
}

static int parse_number(const ConfigOption *o, const char *text, uint64_t *ret)
{
    bool yes;
    int r;

    switch (o->type_id) {
    case CONFIG_BOOL:
        r = parse_bool(text, &yes);
        if (r == 0)
            *ret = yes;
        return r;
    case CONFIG_LEVEL:
        return parse_level(text, ret);
    case CONFIG_SIZE:
        r = parse_size(text, ret);
        break;
    case CONFIG_DURATION:
        r = parse_duration(text, ret);
        break;
    default:
        r = parse_uint64(text, ret);
    }
    if (r == 0 && (*ret < o->min || *ret > o->max))
        return -ERANGE;
    return r;
}

static int set_number(Config *c, const ConfigOption *o, Span text, Errors *e, Origin at)
{
    static const char *const what[] = {
        [CONFIG_BOOL] = "neither yes nor no", [CONFIG_UINT] = "no whole number", [CONFIG_SIZE] = "no size",
        [CONFIG_DURATION] = "no time span",   [CONFIG_LEVEL] = "no level",
    };
    _cleanup_free_ char *copy = strndup(text.data, text.size);
    char quote[QUOTE_MAX], range[CONFIG_RANGE_MAX];
    uint64_t n = 0;
    int r;

    if (!copy)
        return -ENOMEM;
    r = parse_number(o, copy, &n);
    if (r == 0) {
        store_number(c, o, n);
        return 0;
    }
    errors_add(e, at, o, "%s is %s; write %s, for example %s", errors_quote(quote, text.data, text.size),
               r == -ERANGE ? "out of range" : what[o->type_id], config_option_range(o, range),
               o->default_value);
    return CONFIG_E_INVALID;
}

/* Whether the item can stand in a file, where config_format() must put it, and is right for its key. */
static int check_text(const ConfigOption *o, const char *item, Errors *e, Origin at)
{
    Span whole = span_of(item), bad = whole;
    const char *wrong = reader_bad_octet(whole);
    char quote[QUOTE_MAX];
    int r = 0;

    if (wrong) {
        errors_add(e, at, o, "the value has %s", wrong);
        return CONFIG_E_INVALID;
    }
    if (whole.size + strlen(o->key) + strlen(" = ") > READER_LINE_MAX)
        wrong = "is too long";
    else if (reader_strip(whole).size != whole.size || (value_is_list(o) && item[0] == '#'))
        wrong = "has a ';' or '#' that begins a comment in a file; there is no way to quote it";
    else
        r = check_item(o, item, &wrong, &bad);
    if (r < 0 || !wrong)
        return r;
    errors_add(e, at, o, "%s %s", errors_quote(quote, bad.data, bad.size), wrong);
    return CONFIG_E_INVALID;
}

static int set_text(Config *c, const ConfigOption *o, Span text, Errors *e, Origin at)
{
    _cleanup_free_ char *copy = strndup(text.data, text.size);
    char **p = field(c, o);
    int r;

    if (!copy)
        return -ENOMEM;
    if (text.size > 0 || *o->default_value) {
        r = check_text(o, copy, e, at);
        if (r != 0)
            return r;
    }
    free(*p);
    *p = text.size > 0 ? TAKE_PTR(copy) : NULL;
    return 0;
}

int value_append(Config *c, const ConfigOption *o, const char *text, Errors *e, Origin at)
{
    const char *separators = o->type_id == CONFIG_LINES ? "\n" : " \t\n";
    char ***items = field(c, o);
    int result = 0;

    for (const char *s = text + strspn(text, separators); *s; s += strspn(s, separators)) {
        Span item = {s, strcspn(s, separators)};
        int r;

        s += item.size;
        item = reader_trim(item);
        if (item.size == 0)
            continue;
        r = strv_append(items, item.data, item.size);
        if (r < 0)
            return r;
        r = check_text(o, (*items)[strv_length(*items) - 1], e, at);
        if (r < 0)
            return r;
        if (r != 0)
            result = r;
    }
    return result;
}

int value_set(Config *c, const ConfigOption *o, const char *text, Errors *e, Origin at)
{
    if (value_is_list(o)) {
        value_free(c, o);
        return value_append(c, o, text, e, at);
    }
    if (is_text(o))
        return set_text(c, o, reader_trim(span_of(text)), e, at);
    return set_number(c, o, reader_trim(span_of(text)), e, at);
}

/* --- value to text --- */

static bool lists_equal(char *const *a, char *const *b)
{
    size_t n = strv_length(a);

    if (n != strv_length(b))
        return false;
    for (size_t i = 0; i < n; i++)
        if (strcmp(a[i], b[i]) != 0)
            return false;
    return true;
}

bool value_equal(const Config *a, const Config *b, const ConfigOption *o)
{
    if (value_is_list(o))
        return lists_equal(*(char ***)field(a, o), *(char ***)field(b, o));
    if (is_text(o)) {
        const char *s = *(char **)field(a, o), *t = *(char **)field(b, o);

        return s && t ? strcmp(s, t) == 0 : s == t;
    }
    return load_number(a, o) == load_number(b, o);
}

static int format_list(char *const *items, const ConfigOption *o, Buffer *to)
{
    size_t width = strlen(o->key);
    const char *separator = " ";
    int r;

    for (size_t i = 0; i < strv_length(items); i++)
        width += 1 + strlen(items[i]);
    if (o->type_id == CONFIG_LINES || width > LINE_WRAP)
        separator = "\n    ";
    r = buffer_printf(to, "%s =", o->key);
    for (size_t i = 0; r == 0 && i < strv_length(items); i++)
        r = buffer_printf(to, "%s%s", separator, items[i]);
    return r == 0 ? buffer_append_string(to, "\n") : r;
}

static const char *level_name(uint64_t priority)
{
    for (size_t i = 0; i < ELEMENTSOF(levels); i++)
        if ((uint64_t)levels[i].priority == priority)
            return levels[i].name;
    return "";
}

static const char *format_number(const ConfigOption *o, uint64_t n, char to[static FORMAT_VALUE_MAX])
{
    switch (o->type_id) {
    case CONFIG_BOOL:
        return n ? "yes" : "no";
    case CONFIG_LEVEL:
        return level_name(n);
    case CONFIG_SIZE:
        return format_size(to, n);
    case CONFIG_DURATION:
        return format_duration(to, n);
    default:
        snprintf(to, FORMAT_VALUE_MAX, "%" PRIu64, n);
        return to;
    }
}

int value_format(const Config *c, const ConfigOption *o, Buffer *to)
{
    char number[FORMAT_VALUE_MAX];
    const char *text;

    if (value_is_list(o))
        return format_list(*(char ***)field(c, o), o, to);
    text = is_text(o) ? *(char **)field(c, o) : format_number(o, load_number(c, o), number);
    return buffer_printf(to, "%s =%s%s\n", o->key, text ? " " : "", text ? text : "");
}

char *config_option_range(const ConfigOption *o, char to[static CONFIG_RANGE_MAX])
{
    char min[FORMAT_VALUE_MAX], max[FORMAT_VALUE_MAX];

    if (o->type_id == CONFIG_BOOL)
        snprintf(to, CONFIG_RANGE_MAX, "yes or no");
    else if (o->type_id == CONFIG_LEVEL)
        snprintf(to, CONFIG_RANGE_MAX, "debug, info, warning, error or critical");
    else if (value_is_list(o) || is_text(o))
        to[0] = '\0';
    else if (o->max == UINT64_MAX)
        snprintf(to, CONFIG_RANGE_MAX, "%s or more", format_number(o, o->min, min));
    else
        snprintf(to, CONFIG_RANGE_MAX, "%s to %s", format_number(o, o->min, min),
                 format_number(o, o->max, max));
    return to;
}

void value_free(Config *c, const ConfigOption *o)
{
    if (value_is_list(o))
        *(char ***)field(c, o) = strv_free(*(char ***)field(c, o));
    else if (is_text(o)) {
        free(*(char **)field(c, o));
        *(char **)field(c, o) = NULL;
    }
}
