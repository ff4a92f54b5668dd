/* SPDX-License-Identifier: MIT */
/* Since when a site has nothing to do, as its workers' scoreboards tell it: looked at when that may have
 * become long enough, not watched. It may be out of date by a moment; whoever acts on it lets the workers
 * finish what they have begun. */
#pragma once

#include "supervisor/succession.h"

/* When the last request or response ended, of any generation; 0: there was none; now: one is under way, from
 * its first octet to its last. Kept-alive connections without a request, and applications busy by themselves,
 * count for nothing. */
usec_t idle_since(const Succession *s, usec_t now);
