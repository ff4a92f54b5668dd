/* SPDX-License-Identifier: MIT */
/* File descriptors: flags, readiness, sealed memory files, whole reads and writes. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* 0 or negative errno. */
int fd_set_nonblocking(int fd, bool on);
int fd_set_cloexec(int fd, bool on);

/* Whether something can be read, or accepted, at this moment; not of a negative descriptor. */
bool fd_is_readable(int fd);

/* A memfd that holds the bytes and is sealed against every change. Returns the descriptor (CLOEXEC; the
 * caller closes it) or negative errno. See memfd_create(2), F_ADD_SEALS in fcntl(2). */
int fd_new_sealed(const char *name, const void *data, size_t n);

/* Reads a regular file or memfd from its start, up to max bytes; NUL-terminated, *ret_size without the NUL.
 * The caller frees *ret_data. 0, -EFBIG, or negative errno. */
int fd_read_all(int fd, size_t max, char **ret_data, size_t *ret_size);

/* Writes all or fails; for blocking descriptors. 0 or negative errno. */
int fd_write_all(int fd, const void *data, size_t n);
