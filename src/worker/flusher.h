/* SPDX-License-Identifier: MIT */
/* Blocks of a response that comes piece by piece are gathered, so that one system call sends many; a thread of its own
 * sends them where the application dawdles. That is the second of the ways that PEP 3333, "Buffering and Streaming",
 * permits: a block is on its way while the application makes the next one, whatever that waits for, and whoever has the
 * GIL.
 *
 * A stream, by what its next block meets:
 *   NEW        sent at once: the client is to see that something comes      → GATHERING
 *   GATHERING  kept; sent with the others by the runner when they fill a buffer, or by the flusher, after
 *              FLUSH_AFTER_USEC and half a millisecond more at most, when it looks next: then the application
 *              dawdles                                                      → DAWDLING
 *   DAWDLING   sent at once, so that no event waits for a thread; unless it follows on the last within
 *              FLUSH_AFTER_USEC, and is kept                                → GATHERING
 * What is left when the response is complete goes out with it.
 *
 * The runner writes all of it with Exchange.lock, and the flusher too. Flusher.lock comes before Exchange.lock. */
#pragma once

#include "base/cleanup.h"
#include "base/parse.h"

#include <stdatomic.h>
#include <stdbool.h>

#define FLUSH_AFTER_USEC 200

struct Connection;
struct Loop;
typedef struct Flusher Flusher;

typedef enum StreamState {
    STREAM_NEW,
    STREAM_GATHERING,
    STREAM_DAWDLING,
} StreamState;

/* Of an Exchange; zero-initialised for each request. */
typedef struct Stream {
    StreamState state;
    usec_t sent_usec;             /* DAWDLING: when the last block went out */
    _Atomic usec_t waiting_since; /* of the oldest block that is kept; 0: none is */
    bool is_watched;
    struct Stream *next; /* with Flusher.lock: the flusher's streams */
    struct Stream *previous;
    struct Connection *connection;
} Stream;

/* Sends what waits on c, as far as the client takes it; the rest is the loop's. With Exchange.lock. */
void stream_flush(struct Loop *l, struct Connection *c);

/* Starts no thread before one is needed. The caller owns *ret; loop is borrowed. 0 or -ENOMEM. */
int flusher_new(struct Loop *loop, Flusher **ret);
Flusher *flusher_free(Flusher *f);

/* From here to flusher_unwatch(), which must come before anything but the application's thread gets c, the flusher
 * sends what waits in its stream. Stream.is_watched says whether there is a thread for that. Without Exchange.lock. */
void flusher_watch(Flusher *f, struct Connection *c);
void flusher_unwatch(Flusher *f, struct Connection *c);

/* A block waits from now on, after none did. Without Exchange.lock. */
void flusher_wake(Flusher *f);
