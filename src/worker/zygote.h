/* SPDX-License-Identifier: MIT */
/* The zygote of a generation: embeds Python, forks workers when the supervisor says so, serves nothing. One
 * thread, one blocking receive. */
#pragma once

/* channel: the supervisor's end is at its other side; HELLO comes first. Returns the exit status, in the
 * zygote and in the workers that it forked alike. */
int zygote_run(int channel);
