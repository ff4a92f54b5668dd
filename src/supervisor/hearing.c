/* SPDX-License-Identifier: MIT */
/* Whether to believe what a child says. */
#include "supervisor/hearing.h"

#include <string.h>
#include <sys/wait.h>

#define ERRNO_MAX 4095
#define MODULES_TOLD_MAX 1024

_Static_assert(MESSAGE_TYPE_LAST_ < 32, "a bit for each type");

/* It has no other reasons to ask for that. */
static bool may_be_replaced(const Config *c, const char *reason)
{
    return strcmp(reason, REPLACE_AFTER_HANG) == 0 ? c->timeouts_request > 0
                                                   : !*reason && c->workers_max_requests > 0;
}

/* Everything that a worker has to say it says once in its life, or, of its modules, not without end: so nobody can keep
 * the supervisor busy by it. */
const char *hearing_worker(const Generation *g, const Seat *s, const Message *m)
{
    bool is_going = s->state > SEAT_SERVING; /* what it said before it heard of that */

    if (m->n_fds > 0)
        return "descriptors";
    if (s->pid == 0 || m->generation != g->number || m->seat != s->number || m->pid != s->pid)
        return "a message in another's name";
    if ((s->said & 1U << m->type) != 0 && m->type != MESSAGE_MODULES)
        return "a message twice";
    switch (m->type) {
    case MESSAGE_READY:
    case MESSAGE_FAILED:
        return s->state == SEAT_STARTING || s->state == SEAT_CHECKING || (is_going && !s->served)
                   ? NULL
                   : "a message of one that starts";
    case MESSAGE_LOADED:
        return s->is_checked && (s->state == SEAT_STARTING || is_going) ? NULL
                                                                        : "a message of one that is checked";
    case MESSAGE_DRAIN:
        return s->dismissed ? NULL : "a message of one that drains";
    case MESSAGE_REPLACE:
        return s->served && may_be_replaced(g->config, m->text) ? NULL : "a request to be replaced";
    case MESSAGE_MODULES:
        return g->config->develop_reload && s->n_modules_told < MODULES_TOLD_MAX ? NULL : "directories";
    default:
        return "a message that is no worker's";
    }
}

static bool has_process(const Generation *g, pid_t pid)
{
    if (g->zygote != ZYGOTE_GONE && g->zygote_pid == pid)
        return true;
    for (unsigned i = 0; i < g->n_seats; i++)
        if (g->seats[i].pid == pid)
            return true;
    return false;
}

/* Signals will be sent to that process. It is adopted before its pid is told; it may be gone since. */
static bool is_new_child(const Generation *g, pid_t pid)
{
    siginfo_t info;

    for (const Generation *other = *g->list; other; other = other->next)
        if (has_process(other, pid))
            return false;
    for (unsigned i = 0; i < g->n_early; i++)
        if (g->early[i].pid == pid)
            return true;
    return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

static const char *hear_spawned(const Generation *g, const Message *m)
{
    const Seat *s = m->seat < g->n_seats ? &g->seats[m->seat] : NULL;

    if (m->generation != g->number || !s || s->state == SEAT_EMPTY || s->pid > 0)
        return "a worker that nobody asked for";
    if (m->pid > 0 && !is_new_child(g, m->pid))
        return "a process that is no worker";
    return m->pid == 0 || m->pid < -ERRNO_MAX ? "an impossible error" : NULL;
}

const char *hearing_zygote(const Generation *g, const Message *m)
{
    if (m->n_fds > 0)
        return "descriptors";
    if (m->type != MESSAGE_SPAWNED && (g->said & 1U << m->type) != 0)
        return "a message twice";
    switch (m->type) {
    case MESSAGE_LOADED:
    case MESSAGE_FAILED:
        return g->zygote != ZYGOTE_READY ? NULL : "a message of one that loads";
    case MESSAGE_SPAWNED:
        return hear_spawned(g, m);
    default:
        return "a message that is no zygote's";
    }
}
