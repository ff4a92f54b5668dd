/* SPDX-License-Identifier: MIT */
/* Patterns of absolute paths: glob(7) between slashes, and "**" for any number of directories. */
#pragma once

#include <stdbool.h>

/* Hidden names are matched only by patterns that begin with their dot; "**" does not go into hidden
 * directories. */
bool path_glob_matches(const char *pattern, const char *path);

/* Whether something in this directory, or below it, may match. */
bool path_glob_may_match_in(const char *pattern, const char *directory);
