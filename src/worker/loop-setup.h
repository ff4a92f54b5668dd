/* SPDX-License-Identifier: MIT */
/* Makes the worker's event loop of a configuration and of descriptors, and frees it: before the first turn and after
 * the last, in the thread that has it alone. */
#pragma once

#include "base/cleanup.h"
#include "worker/loop.h"

typedef struct LoopOptions {
    const Config *config;
    const char *directory; /* of temporary files */
    int *listeners;        /* borrowed descriptors */
    size_t n_listeners;
    int doorbell;       /* borrowed: an eventfd of all workers */
    const int *queue;   /* borrowed: the ends of that of all workers, see handover.h; NULL: there is none */
    ChannelEnd channel; /* DRAIN and end of file */
    ScoreboardSeat *seats; /* of all workers; borrowed */
    unsigned n_seats;
    unsigned seat; /* its own */
    TotalsShard *total;
    const FileRoots *file_roots; /* borrowed */
    bool is_held;                /* takes no connections before GO */
} LoopOptions;

/* The caller owns *ret. 0, negative errno, or -EINVAL: *ret_error says what of the configuration can't be
 * used (to be freed). */
int loop_new(const LoopOptions *options, Loop **ret, char **ret_error);
Loop *loop_free(Loop *l);
DEFINE_CLEANUP(Loop, loop)
