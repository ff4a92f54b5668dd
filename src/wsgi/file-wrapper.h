/* SPDX-License-Identifier: MIT */
/* wsgi.file_wrapper (PEP 3333, "Optional Platform-Specific File Handling"): an iterable over a file, of which
 * call.c may learn that its octets are those of a regular file. */
#pragma once

#include "wsgi/python.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct FileWrapper {
    PyObject_HEAD PyObject *file;
    PyObject *block_size;
    atomic_bool closed;
} FileWrapper;

/* The types of the io module whose read() gives a file's octets as they are. */
typedef struct FileTypes {
    PyTypeObject *wrapper;
    PyObject *buffered_reader;
    PyObject *buffered_random;
    PyObject *file_io;
} FileTypes;

/* 0, or -1 with an exception. */
int file_types_init(FileTypes *types);
void file_types_clear(FileTypes *types);

typedef struct FileRange {
    int fd; /* borrowed from the Python object */
    uint64_t offset;
    uint64_t size;
} FileRange;

/* Whether what is left to read of the wrapped file is a range of a regular file. 1, 0 (iterate it), or -1
 * with an exception. */
int file_wrapper_range(FileWrapper *self, const FileTypes *types, FileRange *ret);

/* Calls close() of the file, if it has one, the first time. 0, or -1 with an exception. */
int file_wrapper_close(FileWrapper *self);
