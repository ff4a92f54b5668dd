/* SPDX-License-Identifier: MIT */
/* Workers that have done their share. */
#include "supervisor/recycling.h"

#include "base/fd.h"
#include "supervisor/children.h"
#include "supervisor/staffing.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/random.h>
#include <unistd.h>

#define NEVER UINT64_MAX
#define MEASURE_EVERY_USEC (5 * USEC_PER_SEC)

void recycling_begin(const Generation *g, Seat *s, usec_t now)
{
    usec_t lifetime = g->config->workers_max_lifetime;
    uint32_t random = 0;

    if (lifetime == 0)
        return;
    (void)!getrandom(&random, sizeof(random), GRND_NONBLOCK);
    s->expires_usec = now + staffing_lifetime(lifetime, random);
}

void recycling_mark(const Generation *g, Seat *s, const char *why)
{
    ReportSubject who = children_subject_of(g, s);

    report_replacing(&who, why);
    s->is_leaving = true;
}

/* Resident memory, with what the process shares (proc_pid_statm(5)); 0 where it can't be told. */
static uint64_t resident_bytes(pid_t pid)
{
    _cleanup_close_ int fd = -EBADF;
    char path[64], text[128];
    unsigned long pages;
    ssize_t n;

    (void)snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (n <= 0)
        return 0;
    text[n] = '\0';
    return sscanf(text, "%*u %lu", &pages) == 1 ? (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

static bool is_measured(const Generation *g, usec_t now)
{
    return g->config->workers_max_memory > 0 && g->measure_usec <= now;
}

usec_t recycling_advance(Generation *g, usec_t now)
{
    bool measured = is_measured(g, now);
    usec_t next = NEVER;

    if (g->retired)
        return NEVER;
    for (unsigned i = 0; i < g->n_seats; i++) {
        Seat *s = &g->seats[i];

        if (s->state != SEAT_SERVING || s->is_leaving)
            continue;
        if (s->expires_usec > 0 && s->expires_usec <= now)
            recycling_mark(g, s, "it has lived for workers.max_lifetime");
        else if (measured && resident_bytes(s->pid) > g->config->workers_max_memory)
            recycling_mark(g, s, "it is larger than workers.max_memory");
        else if (s->expires_usec > 0)
            next = MIN(next, s->expires_usec);
    }
    if (measured)
        g->measure_usec = now + MEASURE_EVERY_USEC;
    return g->config->workers_max_memory > 0 ? MIN(next, g->measure_usec) : next;
}
