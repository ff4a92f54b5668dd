/* SPDX-License-Identifier: MIT */
/* Opens files below a directory and never one outside it, whatever the path says and whoever moves things
 * meanwhile: what openat2(2) does with RESOLVE_BENEATH. That call itself can't be used: RestrictSUIDSGID=,
 * which DynamicUser= implies, makes it fail with ENOSYS (systemd.exec(5)). */
#pragma once

#include "base/span.h"

#include <sys/stat.h>

enum {
    BENEATH_E_OUTSIDE = 1, /* "..", or a symbolic link, leads out; every absolute link does */
    BENEATH_E_NOT_REGULAR, /* a directory, a FIFO, a device … */
};

/* Opens a regular file for reading. root: a directory, O_PATH will do. path: relative to it, without NUL; "/"
 * at its start means nothing. Symbolic links are followed. Never waits for the other end of a FIFO. *ret_fd
 * is CLOEXEC, the caller closes it. 0, BENEATH_E_…, or negative errno. */
int beneath_open(int root, Span path, int *ret_fd, struct stat *ret_stat);
