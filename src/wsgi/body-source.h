/* SPDX-License-Identifier: MIT */
/* Where a request body comes from while it is on its way: implemented by the worker, used by wsgi.input, which knows no
 * socket. The GIL is its lock, or that of the wsgi.input where there is no GIL: any thread of the application may call,
 * as long as the request runs. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* What a wait is for; for the source alone. Zero-initialised before the first receive(). */
typedef struct BodyWait {
    int fd;
    uint64_t timeout_usec;
    uint64_t elapsed_usec;
} BodyWait;

typedef struct BodySource BodySource;
struct BodySource {
    const char *reason; /* why receive() failed: static text */

    /* Takes up to size (> 0) octets of the body, decoded, as many as are there. Returns their number; 0: the
     * body is over; -EAGAIN: none is there yet, call wait(w), end_wait(w) and then this again; other negative
     * errno: it failed, and will from now on. */
    ssize_t (*receive)(BodySource *source, char *to, size_t size, BodyWait *w);

    /* Blocks until something comes, a while at most. Without the GIL, and the request may end meanwhile:
     * touches nothing but w. Not called where requests run in greenlets, which wait for w->fd by
     * themselves. */
    void (*wait)(BodyWait *w);

    /* The wait is over, whatever it brought; unless the request is over, too. */
    void (*end_wait)(BodySource *source, BodyWait *w);
};
