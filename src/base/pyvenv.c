/* SPDX-License-Identifier: MIT */
/* pyvenv.cfg. */
#include "base/pyvenv.h"

#include "base/cleanup.h"
#include "base/fd.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define PYVENV_SIZE_MAX (64 * 1024)

/* "3.11.2", "3.11.2.final.0" → "3.11" */
static int copy_minor(const char *value, char ret_version[static PYVENV_VERSION_MAX])
{
    size_t major = strspn(value, "0123456789");
    size_t minor = value[major] == '.' ? strspn(value + major + 1, "0123456789") : 0;
    size_t n = major + 1 + minor;

    if (major == 0 || minor == 0 || n >= PYVENV_VERSION_MAX)
        return PYVENV_E_NO_VERSION;
    memcpy(ret_version, value, n);
    ret_version[n] = '\0';
    return 0;
}

/* Lines of "key = value", keys without regard to case: what site.py in CPython reads. */
int pyvenv_parse(const char *text, char ret_version[static PYVENV_VERSION_MAX])
{
    for (const char *line = text; line; line = strchr(line, '\n')) {
        size_t n;

        line += strspn(line, "\n\r \t");
        n = strcspn(line, "= \t\r\n");
        if (!(n == 7 && strncasecmp(line, "version", n) == 0) &&
            !(n == 12 && strncasecmp(line, "version_info", n) == 0))
            continue;
        line += n + strspn(line + n, " \t");
        if (*line == '=')
            return copy_minor(line + 1 + strspn(line + 1, " \t"), ret_version);
    }
    return PYVENV_E_NO_VERSION;
}

int pyvenv_read(const char *virtualenv, char ret_version[static PYVENV_VERSION_MAX])
{
    _cleanup_free_ char *path = NULL, *text = NULL;
    _cleanup_close_ int fd = -EBADF;
    size_t size;
    int r;

    if (asprintf(&path, "%s/pyvenv.cfg", virtualenv) < 0)
        return -ENOMEM;
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    r = fd_read_all(fd, PYVENV_SIZE_MAX, &text, &size);
    return r < 0 ? r : pyvenv_parse(text, ret_version);
}
