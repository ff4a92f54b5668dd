/* SPDX-License-Identifier: MIT */
/* File descriptors: flags, readiness, sealed memory files, whole reads and writes. */
#include "base/fd.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* get, set: F_GETFL and F_SETFL, or F_GETFD and F_SETFD. */
static int set_flag(int fd, int get, int set, int flag, bool on)
{
    int flags = fcntl(fd, get), wanted;

    if (flags < 0)
        return -errno;
    wanted = on ? flags | flag : flags & ~flag;
    if (wanted != flags && fcntl(fd, set, wanted) < 0)
        return -errno;
    return 0;
}

int fd_set_nonblocking(int fd, bool on)
{
    return set_flag(fd, F_GETFL, F_SETFL, O_NONBLOCK, on);
}

int fd_set_cloexec(int fd, bool on)
{
    return set_flag(fd, F_GETFD, F_SETFD, FD_CLOEXEC, on);
}

bool fd_is_readable(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    return poll(&p, 1, 0) > 0;
}

int fd_new_sealed(const char *name, const void *data, size_t n)
{
    _cleanup_close_ int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    int r;

    if (fd < 0)
        return -errno;
    r = fd_write_all(fd, data, n);
    if (r < 0)
        return r;
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
        return -errno;
    return TAKE_FD(fd);
}

/* Reads up to n bytes at offset 0; fewer only at the end of the file. */
static ssize_t read_from_start(int fd, char *to, size_t n)
{
    size_t done = 0;

    while (done < n) {
        ssize_t k = pread(fd, to + done, n - done, (off_t)done);

        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            return -errno;
        if (k == 0)
            break;
        done += (size_t)k;
    }
    return (ssize_t)done;
}

int fd_read_all(int fd, size_t max, char **ret_data, size_t *ret_size)
{
    _cleanup_free_ char *data = NULL;
    struct stat st;
    size_t room;
    ssize_t n;

    if (fstat(fd, &st) < 0)
        return -errno;
    if (S_ISDIR(st.st_mode))
        return -EISDIR;
    if (!S_ISREG(st.st_mode))
        return -EINVAL;
    /* One byte more than there should be, to see that there is none: files of /proc say that they are empty,
     * and another process may be writing. */
    for (room = MIN((size_t)st.st_size, max) + 1;; room = MIN(2 * room, max + 1)) {
        char *grown = realloc(data, room + 1);

        if (!grown)
            return -ENOMEM;
        data = grown;
        n = read_from_start(fd, data, room);
        if (n < 0)
            return (int)n;
        if ((size_t)n > max)
            return -EFBIG;
        if ((size_t)n < room)
            break;
    }
    data[n] = '\0';
    *ret_data = TAKE_PTR(data);
    *ret_size = (size_t)n;
    return 0;
}

int fd_write_all(int fd, const void *data, size_t n)
{
    for (const char *p = data; n > 0;) {
        ssize_t k = write(fd, p, n);

        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            return -errno;
        p += k;
        n -= (size_t)k;
    }
    return 0;
}
