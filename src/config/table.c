/* SPDX-License-Identifier: MIT */
/* The table of options as data, and the search in it. */
#include "config/table.h"

#include "base/cleanup.h"

#include <limits.h>
#include <string.h>

#define TYPE_NAME_STRING "string"
#define TYPE_NAME_PATH "path"
#define TYPE_NAME_BOOL "yes/no"
#define TYPE_NAME_UINT "number"
#define TYPE_NAME_SIZE "size"
#define TYPE_NAME_DURATION "duration"
#define TYPE_NAME_LEVEL "level"
#define TYPE_NAME_WORDS "list"
#define TYPE_NAME_LINES "lines"

const ConfigOption config_options[] = {
#define OPTION(section, key, type, default_, min, max, doc)                                                  \
    {#section, #key, CONFIG_##type, TYPE_NAME_##type, default_, min, max, offsetof(Config, section##_##key), \
     doc},
#include "config/options.def"
#undef OPTION
};
const size_t config_n_options = ELEMENTSOF(config_options);

#define NAME_MAX_COMPARED 32

static char fold(char c)
{
    return c == '-' ? '_' : c;
}

bool table_names_equal(const char *a, const char *b)
{
    while (*a && fold(*a) == fold(*b))
        a++, b++;
    return fold(*a) == fold(*b);
}

const char *table_find_section(const char *name)
{
    for (size_t i = 0; i < config_n_options; i++)
        if (table_names_equal(config_options[i].section, name))
            return config_options[i].section;
    return NULL;
}

const ConfigOption *table_find(const char *section, const char *key)
{
    for (size_t i = 0; i < config_n_options; i++)
        if (table_names_equal(config_options[i].section, section) &&
            table_names_equal(config_options[i].key, key))
            return &config_options[i];
    return NULL;
}

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
    return a < b ? MIN(a, c) : MIN(b, c);
}

/* Levenshtein's distance, two letters swapped being one step; UINT_MAX when a name is too long to be meant
 * for one of ours. */
static unsigned distance(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b);
    unsigned d[NAME_MAX_COMPARED + 1][NAME_MAX_COMPARED + 1];

    if (n > NAME_MAX_COMPARED || m > NAME_MAX_COMPARED)
        return UINT_MAX;
    for (unsigned i = 0; i <= n; i++)
        for (unsigned j = 0; j <= m; j++) {
            if (i == 0 || j == 0) {
                d[i][j] = i + j;
                continue;
            }
            d[i][j] =
                min3(d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + (fold(a[i - 1]) != fold(b[j - 1])));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                d[i][j] = MIN(d[i][j], d[i - 2][j - 2] + 1);
        }
    return d[n][m];
}

/* One letter in three may be wrong. */
static bool is_close(const char *name, unsigned d)
{
    return d <= 1 || d <= strlen(name) / 3;
}

const char *table_nearest_section(const char *name)
{
    const char *best = NULL;
    unsigned best_distance = UINT_MAX;

    for (size_t i = 0; i < config_n_options; i++) {
        unsigned d = distance(name, config_options[i].section);

        if (d < best_distance) {
            best = config_options[i].section;
            best_distance = d;
        }
    }
    return best && is_close(best, best_distance) ? best : NULL;
}

static const ConfigOption *find_in_any_section(const char *key)
{
    for (size_t i = 0; i < config_n_options; i++)
        if (table_names_equal(config_options[i].key, key))
            return &config_options[i];
    return NULL;
}

const ConfigOption *table_nearest_key(const char *section, const char *key)
{
    const ConfigOption *best = NULL;
    unsigned best_distance = UINT_MAX;

    for (size_t i = 0; i < config_n_options; i++) {
        const ConfigOption *o = &config_options[i];
        unsigned d = table_names_equal(o->section, section) ? distance(key, o->key) : UINT_MAX;

        if (d < best_distance) {
            best = o;
            best_distance = d;
        }
    }
    return best && is_close(best->key, best_distance) ? best : find_in_any_section(key);
}
