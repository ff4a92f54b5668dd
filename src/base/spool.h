/* SPDX-License-Identifier: MIT */
/* A byte queue of bounded memory: up to memory_max bytes in memory, the rest in an unlinked temporary file.
 * Holds request bodies until the application reads them, and responses until the client does. */
#pragma once

#include "base/buffer.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define SPOOL_E_FULL 1 /* the append would pass size_max; nothing was appended */

/* What the memory of several spools may take together. Threads that take of it at the same time may pass it by a piece
 * each. */
typedef struct SpoolBudget {
    _Atomic int64_t left; /* octets; negative: passed */
} SpoolBudget;

typedef struct Spool {
    Buffer memory;       /* the first bytes; nothing is added to it once the file exists */
    int fd;              /* the unlinked file, written in a circle of size_max bytes, or -EBADF */
    uint64_t file_start; /* bytes of it consumed so far; the offset there is this modulo size_max */
    uint64_t file_end;
    size_t memory_max;
    uint64_t size_max;     /* of the bytes held at one time; UINT64_MAX: no limit */
    const char *directory; /* for the file; borrowed */
    SpoolBudget *budget;   /* borrowed; NULL: none. What finds nothing left goes to the file */
    size_t n_charged;      /* octets of it */
    void *owner;           /* of the memory, where that is lent; NULL: it is the spool's own */
} Spool;

/* directory must outlive the spool, and so must a budget, which the caller sets before the first append. No memory and
 * no file is taken before that. */
void spool_init(Spool *s, size_t memory_max, uint64_t size_max, const char *directory);
void spool_deinit(Spool *s);

/* Empties it and closes the file; memory up to 64 KiB is kept for the next use. */
void spool_clear(Spool *s);

/* Into an empty one: the bytes of *memory, which is left with other memory, then `size` bytes of the file fd,
 * which is taken over; size is 0 where fd is -EBADF. Not more than size_max in all. */
void spool_adopt(Spool *s, Buffer *memory, int fd, uint64_t size);

/* Whether n bytes in all could be held in memory. */
bool spool_may_hold(const Spool *s, size_t n);

/* From here on its memory is this, n bytes that belong to owner: what is held moves there. Up to spool_take_back(),
 * which empties the spool and returns the owner (NULL: there was none), and comes before spool_clear() and
 * spool_deinit(). */
void spool_lend(Spool *s, void *owner, char *memory, size_t n);
void *spool_take_back(Spool *s);

/* Bytes held. */
uint64_t spool_size(const Spool *s);

/* 0, SPOOL_E_FULL, -ENOMEM, or what open(O_TMPFILE) or pwrite() says (-ENOSPC, -EDQUOT, -EACCES …);
 * after an error nothing of data is held. O_TMPFILE, where the file system has none, is replaced by
 * mkostemp() and unlink(). */
int spool_append(Spool *s, const void *data, size_t n);

/* Room of n bytes at the end of the memory, to receive into; then spool_commit() what came. NULL while the
 * file exists, where n bytes would pass memory_max, size_max or the budget, or without memory: use spool_append(). */
char *spool_reserve(Spool *s, size_t n);
void spool_commit(Spool *s, size_t n);

/* Copies up to n bytes from `offset` bytes after the first one held, without consuming. Returns their number,
 * 0 at the end, negative errno. */
ssize_t spool_peek(const Spool *s, uint64_t offset, void *to, size_t n);

/* Drops n bytes (at most spool_size()) from the front; the file is closed when nothing of it is held. */
void spool_consume(Spool *s, uint64_t n);

/* The first bytes held in the file that are contiguous there: their number, *ret_offset in s->fd. */
static inline uint64_t spool_file_piece(const Spool *s, uint64_t *ret_offset)
{
    uint64_t held = s->file_end - s->file_start, offset = s->file_start % s->size_max;

    *ret_offset = offset;
    return held < s->size_max - offset ? held : s->size_max - offset;
}
