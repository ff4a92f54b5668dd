/* SPDX-License-Identifier: MIT */
/* The clock of every timer: CLOCK_MONOTONIC, never set, stopped in suspend. */
#pragma once

#include "base/parse.h"

#include <time.h>

static inline usec_t clock_now_usec(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (usec_t)ts.tv_sec * USEC_PER_SEC + (usec_t)ts.tv_nsec / 1000;
}
