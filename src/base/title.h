/* SPDX-License-Identifier: MIT */
/* The process title that ps(1) and `systemctl status` show: written over the arguments and the environment
 * that the kernel gave to main(). */
#pragma once

/* At the start of main(), before threads; moves the environment. Without it title_set() does nothing. */
void title_init(int argc, char **argv);

void title_set(const char *format, ...) __attribute__((__format__(__printf__, 1, 2)));
