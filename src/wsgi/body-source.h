/* SPDX-License-Identifier: MIT */
/* Where a request body comes from while it is on its way: implemented by the worker, used by wsgi.input,
 * which knows no socket. The GIL is its lock: any thread of the application may call, as long as the request
 * runs. */
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
     * body is over; -EAGAIN: none is there yet, call wait(w) and then this again with the same w; other
     * negative errno: it failed, and will from now on. */
    ssize_t (*receive)(BodySource *source, char *to, size_t size, BodyWait *w);

    /* Blocks until something comes, a while at most. Without the GIL, and the request may end meanwhile:
     * touches nothing but w. */
    void (*wait)(BodyWait *w);
};
