/* SPDX-License-Identifier: MIT */
/* Where a thread stands in Python, asked from another thread: without the GIL, which the thread may hold for
 * ever. */
#pragma once

#include "base/buffer.h"

#include <sys/types.h>

/* Once in each worker, with the GIL; takes the signal SIGRTMAX - 1 for itself, and the descriptor *ret_fd.
 * 0, or -1 with *ret_error, to be freed. */
int stack_init(int *ret_fd, char **ret_error);

/* Appends what faulthandler says about the thread, as lines without the last newline. Nothing is appended
 * where it is not in Python. Any thread but that one, one at a time. 0; -ETIMEDOUT: the thread did not react,
 * and no other is asked from then on; or another negative errno. */
int stack_append(Buffer *to, pid_t thread);

/* The same for all other threads of the process but the calling one. */
int stack_append_others(Buffer *to, pid_t except);
