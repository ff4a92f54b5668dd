/* SPDX-License-Identifier: MIT */
/* Whether the kernel killed a process of this service for want of memory: the counter oom_kill in
 * memory.events of the cgroup that the supervisor is in, which is its unit's (cgroups(7),
 * Documentation/admin-guide/cgroup-v2.rst). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

typedef struct Oom {
    int fd; /* memory.events, or -EBADF: nothing can be told, as without the memory controller of cgroup v2 */
    uint64_t n_kills;
} Oom;

/* path: NULL for that of the own cgroup. Never fails: see Oom.fd. */
void oom_init(Oom *o, const char *path);
void oom_deinit(Oom *o);

/* Whether there were any since it was asked last. */
bool oom_has_killed(Oom *o);
