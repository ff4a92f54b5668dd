/* SPDX-License-Identifier: MIT */
/* The directories of app.sendfile_roots: which files an application may have sent by name. */
#pragma once

#include "base/cleanup.h"
#include "http/response.h"

#include <sys/stat.h>

typedef struct FileRoots FileRoots;

/* words: "DIRECTORY" for paths, "PREFIX=DIRECTORY" for URIs; borrowed. The directories are opened here, so
 * that later changes of what their names mean change nothing. The caller owns *ret. 0, -ENOMEM, or another
 * negative errno with *ret_error, which says which directory (to be freed). */
int file_roots_new(char *const *words, FileRoots **ret, char **ret_error);
FileRoots *file_roots_free(FileRoots *f);
DEFINE_CLEANUP(FileRoots, file_roots)

/* Opens the regular file that an application has named. 0 with *ret_fd, which the caller closes; or the
 * status to answer with, and *ret_reason for the log. Any thread. */
unsigned file_roots_open(const FileRoots *f, FileNaming naming, Span name, int *ret_fd, struct stat *ret_stat,
                         const char **ret_reason);
