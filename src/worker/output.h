/* SPDX-License-Identifier: MIT */
/* What is still to be sent on a connection: bytes (memory, then an unlinked file), then at most one range of
 * a file. Knows nothing of HTTP. Not thread-safe. */
#pragma once

#include "base/spool.h"

#include <stdbool.h>
#include <sys/uio.h>

#define OUTPUT_E_PENDING 1 /* the socket takes no more for now */
#define OUTPUT_IOV_MAX 3

typedef struct Output {
    Spool spool;
    Buffer overflow;     /* the block that found spool or disk full; sent after the spool, output_is_behind()
                            meanwhile */
    uint64_t high_water; /* most bytes in the spool */
    int file_fd;         /* or -EBADF */
    uint64_t file_offset;
    uint64_t file_size; /* what is left of it */

    uint64_t n_sent;   /* octets that the socket took */
    int64_t n_arrived; /* of them, when output_lags() was asked last; rises alone has a meaning */
    bool is_lagging;   /* something has been waiting ever since */
} Output;

void output_init(Output *o, size_t memory_max, uint64_t file_max, const char *directory);
void output_deinit(Output *o);
void output_clear(Output *o);

bool output_is_empty(const Output *o);

/* The application should wait until output_has_caught_up(). */
bool output_is_behind(const Output *o);
bool output_has_caught_up(const Output *o);

/* Memory to append a response head to; valid while nothing is in a file: output_is_simple(). */
bool output_is_simple(const Output *o);
Buffer *output_memory(Output *o);

/* Takes all of iov[0..n), n <= OUTPUT_IOV_MAX. 0 or -ENOMEM. */
int output_queue(Output *o, const struct iovec *iov, int n);

/* The same, but sends what waits and then iov first, as far as the non-blocking socket takes it. 0: all sent;
 * OUTPUT_E_PENDING: the rest was taken; negative errno: -EPIPE, -ECONNRESET …, or -ENOMEM. */
int output_send(Output *o, int socket, const struct iovec *iov, int n);

/* Adds a range of a regular file, to go out after all bytes; one at a time. Takes fd over. */
void output_queue_file(Output *o, int fd, uint64_t offset, uint64_t size);

/* Sends what waits; at most a slice of memory and one of a file in one call, for the sake of other
 * connections. ends: the caller closes or shuts down the socket as soon as all is sent; the last octets may wait for
 * that, to go out with the FIN (MSG_MORE, send(2)). 0: empty; OUTPUT_E_PENDING; negative errno; -ENODATA: the file is
 * shorter than it was. */
int output_flush(Output *o, int socket, bool ends);

/* Whether something has been waiting all the time since the last call, in which the peer took fewer than
 * `least` octets: what is in the kernel's buffer, megabytes perhaps, it has not taken. */
bool output_lags(Output *o, int socket, uint64_t least);
