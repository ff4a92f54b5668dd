/* SPDX-License-Identifier: MIT */
/* The walk from a directory to a file below it, one component at a time. The way back is the descriptors of the way
 * there, not the "..", which somebody may have moved. */
#include "base/beneath.h"

#include "base/cleanup.h"

#include <fcntl.h>
#include <limits.h>

#define DEPTH_MAX 64
#define LINKS_MAX 40 /* as the kernel's, path_resolution(7) */

typedef struct Walk {
    int directories[DEPTH_MAX]; /* from the root, which is borrowed, to where we are */
    size_t depth;               /* of them, at least 1 */
    char path[PATH_MAX];
    const char *rest; /* of path, still to go */
    unsigned n_links;
} Walk;

static void walk_deinit(Walk *w)
{
    while (w->depth > 1)
        close(w->directories[--w->depth]);
}

static int walk_up(Walk *w)
{
    if (w->depth == 1)
        return BENEATH_E_OUTSIDE;
    close(w->directories[--w->depth]);
    return 0;
}

static int walk_down(Walk *w, int *directory)
{
    if (w->depth == DEPTH_MAX)
        return -ENAMETOOLONG;
    w->directories[w->depth++] = TAKE_FD(*directory);
    return 0;
}

/* Goes on with the target of the link, then with the rest. */
static int walk_follow(Walk *w, int link)
{
    size_t n_rest = strlen(w->rest);
    char target[PATH_MAX];
    ssize_t n;

    if (++w->n_links > LINKS_MAX)
        return -ELOOP;
    n = readlinkat(link, "", target, sizeof(target));
    if (n < 0)
        return -errno;
    if ((size_t)n + n_rest >= sizeof(target))
        return -ENAMETOOLONG;
    if (target[0] == '/')
        return BENEATH_E_OUTSIDE;
    memcpy(target + n, w->rest, n_rest + 1);
    memcpy(w->path, target, (size_t)n + n_rest + 1);
    w->rest = w->path;
    return 0;
}

/* By its name again: whatever has come in its place since is found out, and neither waited for nor followed. */
static int walk_open(const Walk *w, const char *name, int *ret_fd, struct stat *ret_stat)
{
    _cleanup_close_ int fd =
        openat(w->directories[w->depth - 1], name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

    if (fd < 0 || fstat(fd, ret_stat) < 0)
        return -errno;
    if (!S_ISREG(ret_stat->st_mode))
        return BENEATH_E_NOT_REGULAR;
    *ret_fd = TAKE_FD(fd);
    return 0;
}

/* One component. The file, once it is found, is in *ret_fd. */
static int walk_step(Walk *w, const char *name, int *ret_fd, struct stat *ret_stat)
{
    _cleanup_close_ int fd = -EBADF;

    if (strcmp(name, ".") == 0)
        return 0;
    if (strcmp(name, "..") == 0)
        return walk_up(w);
    fd = openat(w->directories[w->depth - 1], name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, ret_stat) < 0)
        return -errno;
    if (S_ISDIR(ret_stat->st_mode))
        return walk_down(w, &fd);
    if (S_ISLNK(ret_stat->st_mode))
        return walk_follow(w, fd);
    if (*w->rest)
        return -ENOTDIR;
    return S_ISREG(ret_stat->st_mode) ? walk_open(w, name, ret_fd, ret_stat) : BENEATH_E_NOT_REGULAR;
}

/* The next component; empty at the end. */
static int walk_next_name(Walk *w, char name[static NAME_MAX + 1])
{
    size_t n;

    w->rest += strspn(w->rest, "/");
    n = strcspn(w->rest, "/");
    if (n > NAME_MAX)
        return -ENAMETOOLONG;
    *(char *)mempcpy(name, w->rest, n) = '\0';
    w->rest += n;
    return 0;
}

int beneath_open(int root, Span path, int *ret_fd, struct stat *ret_stat)
{
    _cleanup_(walk_deinit) Walk w = {.directories = {root}, .depth = 1};
    char name[NAME_MAX + 1];
    int r;

    if (path.size >= sizeof(w.path))
        return -ENAMETOOLONG;
    *(char *)mempcpy(w.path, path.data, path.size) = '\0';
    w.rest = w.path;
    *ret_fd = -EBADF;
    do {
        r = walk_next_name(&w, name);
        if (r == 0)
            r = name[0] ? walk_step(&w, name, ret_fd, ret_stat) : BENEATH_E_NOT_REGULAR;
    } while (r == 0 && *ret_fd < 0);
    return r;
}
