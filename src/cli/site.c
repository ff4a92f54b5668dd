/* SPDX-License-Identifier: MIT */
/* A site by its name or by its file. */
#include "cli/site.h"

#include "config/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SUFFIX ".ini"

char *site_path(const char *name)
{
    const char *directory = secure_getenv("CGUNICORN_SITES_DIRECTORY");
    char *path;

    return asprintf(&path, "%s/%s" SUFFIX, directory ? directory : SITES_DIRECTORY, name) < 0 ? NULL : path;
}

char *site_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *name = strdup(slash ? slash + 1 : path), *suffix;

    if (!name)
        return NULL;
    suffix = strstr(name, SUFFIX);
    if (suffix && suffix[strlen(SUFFIX)] == '\0')
        *suffix = '\0';
    if (!config_site_name_is_valid(name))
        *name = '\0';
    return name;
}
