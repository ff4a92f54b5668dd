/* SPDX-License-Identifier: MIT */
/* A site by its name or by its file, as the command line has it. */
#pragma once

/* The path of SITE's file, for the caller to free: SITES_DIRECTORY, or $CGUNICORN_SITES_DIRECTORY, and
 * SITE.ini. NULL: no memory. */
char *site_path(const char *name);

/* The name in a path ("/etc/cgunicorn/blog.ini" → "blog"), "" where it is none of a site; for the caller to
 * free. NULL: no memory. */
char *site_name(const char *path);
