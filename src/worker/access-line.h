/* SPDX-License-Identifier: MIT */
/* One line of an access log's file, from the atoms of its format. */
#pragma once

#include "base/access-format.h"
#include "base/buffer.h"
#include "worker/access-log.h"

#include <time.h>

/* The time of the line as "[10/Oct/2000:13:55:36 +0000]", made anew once a second. Zero-initialised. */
typedef struct AccessTime {
    time_t second;
    char text[40];
} AccessTime;

/* Appends s with escape_bytes(), cut at 16 KiB. 0 or -ENOMEM. */
int access_line_append_escaped(Buffer *to, Span s);

/* Appends the line and its newline. Whatever comes from the client or the application is escaped. 0 or
 * -ENOMEM; then part of the line may have been appended. */
int access_line_append(Buffer *to, const AccessFormat *format, const AccessEntry *e, AccessTime *t);
