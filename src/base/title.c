/* SPDX-License-Identifier: MIT */
/* The process title. */
#include "base/title.h"

#include "base/cleanup.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char *title_start;
static size_t title_size;
static char *environment; /* the strings of environ, moved: kept here for as long as the process lives */

/* Copies n strings that lie one behind the other. */
static int move_environment(size_t n, size_t size)
{
    char **pointers = calloc(n + 1, sizeof *pointers), *to = malloc(size);

    if (!pointers || !to) {
        free(pointers);
        free(to);
        return -ENOMEM;
    }
    environment = to;
    for (size_t i = 0; i < n; i++) {
        pointers[i] = to;
        to = stpcpy(to, environ[i]) + 1;
    }
    environ = pointers;
    return 0;
}

/* argv[] and environ[] are one block of memory on Linux; /proc/PID/cmdline shows it up to the first NUL once the byte
 * at the end of the arguments is not NUL (fs/proc/base.c, get_mm_cmdline()). */
void title_init(int argc, char **argv)
{
    size_t n = 0, size = 1;
    char *end = NULL;

    if (argc < 1)
        return;
    for (int i = 0; i < argc; i++)
        if (!end || argv[i] == end)
            end = argv[i] + strlen(argv[i]) + 1;
    for (; environ[n]; n++) {
        if (environ[n] == end)
            end += strlen(environ[n]) + 1;
        size += strlen(environ[n]) + 1;
    }
    if (move_environment(n, size) < 0)
        return;
    title_start = argv[0];
    title_size = (size_t)(end - argv[0]);
}

void title_set(const char *site, const char *role_format, ...)
{
    char role[64], title[160];
    va_list ap;

    if (!title_start)
        return;
    va_start(ap, role_format);
    vsnprintf(role, sizeof role, role_format, ap);
    va_end(ap);
    snprintf(title, sizeof title, *site ? "cgunicorn: %s [%s]" : "cgunicorn: %s", role, site);
    memset(title_start, 0, title_size);
    memcpy(title_start, title, MIN(strlen(title), title_size - 1));
}
