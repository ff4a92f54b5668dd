/* SPDX-License-Identifier: MIT */
/* Memory for the frames of Python functions, kept for the next ones. Since 3.11 CPython has them on a stack of its own,
 * in pieces of 16 KiB: it maps one for each new greenlet, and each time that calls go beyond the end of one, and unmaps
 * it after that. Two system calls and a page fault, which cost more than the request of a small application. */
#pragma once

/* Once, with the GIL. */
void chunks_keep(void);

/* Gives back those that nobody uses. With the GIL. */
void chunks_trim(void);
