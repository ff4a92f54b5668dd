/* SPDX-License-Identifier: MIT */
/* What the unit's sandbox means for paths. */
#pragma once

/* The end of a message about a path that could not be opened: where it lies in a directory that ProtectHome=
 * hides from the service, it says so; else "". */
const char *sandbox_hint(const char *path);
