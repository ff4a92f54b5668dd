/* SPDX-License-Identifier: MIT */
/* The process title that ps(1) and `systemctl status` show: written over the arguments and the environment
 * that the kernel gave to main(). */
#pragma once

/* At the start of main(), before threads; moves the environment. Without it title_set() does nothing. */
void title_init(int argc, char **argv);

/* "cgunicorn: ROLE [SITE]", without the brackets where site is "". */
void title_set(const char *site, const char *role_format, ...) __attribute__((__format__(__printf__, 2, 3)));
