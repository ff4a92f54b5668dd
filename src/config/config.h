/* SPDX-License-Identifier: MIT */
/* A site's configuration: INI bytes in, a const Config or an error message out. Opens no site by name, starts
 * nothing, logs nothing. The keys are those of config/options.def: app.module is config->app_module. */
#pragma once

#include "base/parse.h"
#include "base/strv.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define CONFIG_TYPE_STRING char *
#define CONFIG_TYPE_PATH char *
#define CONFIG_TYPE_BOOL bool
#define CONFIG_TYPE_UINT unsigned
#define CONFIG_TYPE_SIZE uint64_t
#define CONFIG_TYPE_DURATION usec_t
#define CONFIG_TYPE_LEVEL int
#define CONFIG_TYPE_WORDS char **
#define CONFIG_TYPE_LINES char **

typedef struct Config {
#define OPTION(section, key, type, default_, min, max, doc) CONFIG_TYPE_##type section##_##key;
#include "config/options.def"
#undef OPTION
} Config;

#define CONFIG_E_INVALID 1            /* the configuration is wrong; the message says where and how */
#define CONFIG_SIZE_MAX (1024 * 1024) /* of a file */

/* Reads the INI file `path`. The caller frees *ret_data (NUL-terminated). 0, -ENOMEM, or CONFIG_E_INVALID
 * with *ret_error = "FILE: what is wrong", which the caller frees. */
int config_read_file(const char *path, char **ret_data, size_t *ret_size, char **ret_error);

/* data: INI bytes, or NULL for none; filename: for messages. overrides: "section.key=value" (command line),
 * which go over what the file says; NULL for none. The caller owns *ret. 0, -ENOMEM, or CONFIG_E_INVALID with
 * *ret_error: one line an error, "FILE:LINE: section.key: what is wrong, what would be right" ("--set
 * section.key: …" for overrides), without a final newline; the caller frees it. */
int config_parse(const char *data, size_t size, const char *filename, char *const *overrides, Config **ret,
                 char **ret_error);
Config *config_free(Config *c);
DEFINE_CLEANUP(Config, config)

/* INI text that config_parse() reads back as the same configuration: what differs from the defaults, or all
 * of it. The caller frees *ret. 0 or -ENOMEM. */
int config_format(const Config *c, bool all, char **ret);

typedef enum ConfigType {
    CONFIG_STRING,
    CONFIG_PATH,
    CONFIG_BOOL,
    CONFIG_UINT,
    CONFIG_SIZE,
    CONFIG_DURATION,
    CONFIG_LEVEL,
    CONFIG_WORDS,
    CONFIG_LINES,
} ConfigType;

/* One entry of the table, for those who print it. */
typedef struct ConfigOption {
    const char *section;
    const char *key;
    ConfigType type_id;
    const char *type; /* "string", "path", "yes/no", "number", "size", "duration", "level", "list", "lines" */
    const char *default_value;
    uint64_t min;  /* of a UINT, SIZE (bytes) or DURATION (microseconds) */
    uint64_t max;  /* UINT64_MAX: none */
    size_t offset; /* of the value in Config */
    const char *doc;
} ConfigOption;

extern const ConfigOption config_options[];
extern const size_t config_n_options;

/* What values the option takes, for example "1s to 1h", "yes or no", "0 or more"; "" where its doc says all.
 * Returns to. */
#define CONFIG_RANGE_MAX 96
char *config_option_range(const ConfigOption *o, char to[static CONFIG_RANGE_MAX]);

/* Whether s is a site's name, so that every unit, user and directory made from it is valid:
 * [a-z][a-z0-9-]{0,20} (systemd-notes of DynamicUser=: no dots, 31 characters in all). */
bool config_site_name_is_valid(const char *s);
