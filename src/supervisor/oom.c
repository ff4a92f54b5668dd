/* SPDX-License-Identifier: MIT */
/* Whether the kernel killed a process of this service for want of memory. */
#include "supervisor/oom.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* NUL-terminated, from the start of the file; what does not fit is left out. False: it can't be read. */
static bool read_text(int fd, char *to, size_t size)
{
    ssize_t n = pread(fd, to, size - 1, 0);

    to[n > 0 ? n : 0] = '\0';
    return n > 0;
}

/* The line "0::PATH" of cgroups(7); the caller frees the result. */
static char *own_events_path(void)
{
    _cleanup_close_ int fd = open("/proc/self/cgroup", O_RDONLY | O_CLOEXEC);
    char text[8192], *path, *line;

    if (fd < 0 || !read_text(fd, text, sizeof(text)))
        return NULL;
    line = strncmp(text, "0::", 3) == 0 ? text : strstr(text, "\n0::");
    if (!line)
        return NULL;
    line = strchr(line, '/');
    if (!line)
        return NULL;
    line[strcspn(line, "\n")] = '\0';
    return asprintf(&path, "/sys/fs/cgroup%s/memory.events", line) < 0 ? NULL : path;
}

static uint64_t count_kills(const Oom *o)
{
    char text[1024];
    const char *line;
    uint64_t n;

    if (o->fd < 0 || !read_text(o->fd, text, sizeof(text)))
        return 0;
    line = strstr(text, "oom_kill ");
    return line && sscanf(line, "oom_kill %" SCNu64, &n) == 1 ? n : 0;
}

void oom_init(Oom *o, const char *path)
{
    _cleanup_free_ char *own = path ? NULL : own_events_path();

    *o = (Oom){.fd = -EBADF};
    if (path || own)
        o->fd = open(path ? path : own, O_RDONLY | O_CLOEXEC);
    o->n_kills = count_kills(o);
}

void oom_deinit(Oom *o)
{
    closep(&o->fd);
    o->fd = -EBADF;
}

bool oom_has_killed(Oom *o)
{
    uint64_t n = count_kills(o), before = o->n_kills;

    o->n_kills = n;
    return n > before;
}
