/* SPDX-License-Identifier: MIT */
/* The processes of a generation: how they are started, what they say, how they end. */
#include "supervisor/children.h"

#include "base/log.h"
#include "ipc/channel.h"
#include "supervisor/hearing.h"
#include "supervisor/recycling.h"
#include "supervisor/worker-program.h"

#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

ReportSubject children_subject_of_zygote(const Generation *g)
{
    return (ReportSubject){.generation = g->number, .seat = -1, .pid = g->zygote_pid};
}

ReportSubject children_subject_of(const Generation *g, const Seat *s)
{
    return (ReportSubject){.generation = g->number, .seat = (int)s->number, .pid = s->pid};
}

void children_note_failure(Generation *g, const char *text)
{
    free(g->failure);
    g->failure = report_last_line(text);
    if (!g->failure)
        g->failure = strdup("out of memory");
}

/* --- seats --- */

static void worker_failed(Generation *g, Seat *s, const char *text)
{
    ReportSubject who = children_subject_of(g, s);

    if ((s->state != SEAT_STARTING && s->state != SEAT_CHECKING) || g->retired)
        return;
    if (s->state == SEAT_CHECKING)
        report_check_failed(&who, text);
    else
        report_load_failed(&who, text);
    children_note_failure(g, text);
    s->explained = true;
}

/* Replaced, drained, and killed where that takes too long: it may have clients. */
static void drop_worker(Generation *g, Seat *s, const char *what, usec_t now)
{
    ReportSubject who = children_subject_of(g, s);

    report_nonsense(&who, what);
    s->source = sd_event_source_disable_unref(s->source);
    s->is_dropped = true;
    if (s->state == SEAT_SERVING)
        s->is_leaving = true;
    else {
        if (s->state == SEAT_STARTING || s->state == SEAT_CHECKING)
            children_note_failure(g, "a worker sent nonsense to the supervisor");
        seat_on_event(s, SEAT_ON_DRAIN, now);
    }
}

static void worker_said(Generation *g, Seat *s, const Message *m, usec_t now)
{
    s->said |= 1U << m->type;
    if (m->type == MESSAGE_READY && seat_on_event(s, SEAT_ON_READY, now) != SEAT_IGNORE)
        recycling_begin(g, s, now);
    else if (m->type == MESSAGE_LOADED)
        seat_on_event(s, SEAT_ON_LOADED, now);
    else if (m->type == MESSAGE_REPLACE && s->state == SEAT_SERVING && !s->is_leaving)
        recycling_mark(g, s,
                       strcmp(m->text, REPLACE_AFTER_HANG) == 0 ? "a request hangs in it"
                                                                : "it has answered workers.max_requests");
    else if (m->type == MESSAGE_FAILED) {
        worker_failed(g, s, m->text);
        seat_on_event(s, SEAT_ON_FAILED, now);
    } else if (m->type == MESSAGE_DRAIN)
        s->quiet = true;
    else if (m->type == MESSAGE_MODULES && g->watch) {
        s->n_modules_told++;
        watch_add_modules(g->watch, m->text);
    }
}

/* Everything that a worker has said so far. Also before its exit is looked at: the two arrive by different
 * ways. */
static void read_worker(Generation *g, Seat *s, usec_t now)
{
    const char *wrong;
    Message m;

    while (s->source) {
        int r = channel_receive(s->channel, &m);

        if (r == -EAGAIN)
            return;
        if (r != 0 && r != -EPROTO) {
            s->source = sd_event_source_disable_unref(s->source);
            seat_on_event(s, SEAT_ON_HANGUP, now);
            return;
        }
        wrong = r == 0 ? hearing_worker(g, s, &m) : "a malformed message";
        if (r == 0)
            message_close_fds(&m);
        if (wrong)
            drop_worker(g, s, wrong, now);
        else
            worker_said(g, s, &m, now);
    }
}

static int on_worker(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
    Seat *s = userdata;

    (void)source, (void)fd, (void)events;
    read_worker(s->owner, s, clock_now_usec());
    return 0;
}

static int send_spawn(Generation *g, Seat *s)
{
    Message m = {.type = MESSAGE_SPAWN, .generation = g->number, .seat = s->number, .n_fds = 1};
    _cleanup_close_ int theirs = -EBADF;
    int ends[2], r = channel_new_pair(ends);

    if (r < 0)
        return r;
    s->channel = ends[0];
    m.fds[0] = theirs = ends[1];
    r = sd_event_add_io(g->event, &s->source, s->channel, EPOLLIN, on_worker, s);
    if (r < 0)
        return r;
    return channel_send(g->channel, &m);
}

void children_spawn(Generation *g, Seat *s, usec_t now)
{
    int r = send_spawn(g, s);

    atomic_store(&g->scoreboard->seats[s->number].is_dismissed, false);
    s->is_checked = !g->proven && g->config->reload_check_path && !g->config->develop_reload;
    if (r == 0) {
        seat_on_event(s, SEAT_ON_SPAWN, now);
        return;
    }
    seat_deinit(s);
    s->backoff_usec = seat_backoff_next(s->backoff_usec, 0);
    s->retry_usec = now + s->backoff_usec;
    if (r != -EAGAIN &&
        r != -EPIPE) /* a full queue empties itself; a zygote that is gone is seen to elsewhere */
        log_warning("Cannot ask for worker %u: %s", s->number, strerror(-r));
}

/* The numbers of a worker stay, its requests end with it. */
static void clear_slots(const Generation *g, const Seat *s)
{
    for (unsigned i = 0; i < g->scoreboard->n_slots; i++)
        atomic_store(&scoreboard_slot(g->scoreboard, s->number, i)->started_usec, 0);
    atomic_store(&g->scoreboard->seats[s->number].connections, 0);
    atomic_store(&g->scoreboard->seats[s->number].accepts, false);
    atomic_store(&g->scoreboard->seats[s->number].waiting_usec, 0);
    atomic_store(&g->scoreboard->seats[s->number].is_blocked, false);
    atomic_store(&g->scoreboard->seats[s->number].exchanges, 0);
}

static bool exit_is_expected(const Seat *s, const siginfo_t *exit)
{
    if (s->explained || s->state == SEAT_ABORTING || s->state == SEAT_KILLED)
        return true;
    return s->dismissed && exit->si_status == (exit->si_code == CLD_EXITED ? 0 : SIGTERM);
}

static void seat_exited(Generation *g, Seat *s, const siginfo_t *exit, usec_t now)
{
    ReportSubject who = children_subject_of(g, s);
    char how[80], failure[120];

    read_worker(g, s, now);
    (void)report_describe_exit(exit, how, sizeof(how));
    if (exit_is_expected(s, exit))
        log_debug("Worker %u of generation %u (pid %d) %s", s->number, g->number, (int)s->pid, how);
    else {
        report_died(&who, g->scoreboard, exit, now);
        g->n_deaths++;
        (void)snprintf(failure, sizeof(failure), "worker %u %s", s->number, how);
        if (!s->served)
            children_note_failure(g, failure);
    }
    clear_slots(g, s);
    seat_on_event(s, SEAT_ON_EXIT, now);
    if (s->is_suspect)
        staffing_owe(&g->debt, now);
}

/* --- the zygote --- */

void children_dismiss_zygote(Generation *g, int signal_number, usec_t now)
{
    if (g->zygote >= ZYGOTE_LEAVING)
        return;
    g->zygote = ZYGOTE_LEAVING;
    g->deadline_usec = now + SEAT_GRACE_USEC;
    if (g->channel >= 0)
        (void)shutdown(g->channel, SHUT_WR);
    if (signal_number > 0)
        (void)kill(g->zygote_pid, signal_number);
}

static void take_early_exit(Generation *g, Seat *s, usec_t now)
{
    for (unsigned i = 0; i < g->n_early; i++)
        if (g->early[i].pid == s->pid) {
            siginfo_t exit = g->early[i].exit;

            g->early[i] = g->early[--g->n_early];
            seat_exited(g, s, &exit, now);
            return;
        }
}

static void zygote_spawned(Generation *g, const Message *m, usec_t now)
{
    Seat *s = &g->seats[m->seat];

    if (m->pid < 0) {
        log_error("Cannot fork worker %u: %s", s->number, strerror(-m->pid));
        children_note_failure(g, strerror(-m->pid));
        seat_on_event(s, SEAT_ON_UNSPAWNED, now);
        staffing_owe(&g->debt, now);
        return;
    }
    s->pid = m->pid;
    seat_on_event(s, SEAT_ON_SPAWNED, now);
    take_early_exit(g, s, now);
}

static void zygote_said(Generation *g, const Message *m, usec_t now)
{
    ReportSubject who = children_subject_of_zygote(g);

    g->said |= 1U << m->type;
    if (m->type == MESSAGE_LOADED && g->zygote == ZYGOTE_LOADING) {
        g->zygote = ZYGOTE_READY;
        g->deadline_usec = 0;
    } else if (m->type == MESSAGE_FAILED && g->zygote == ZYGOTE_LOADING) {
        report_load_failed(&who, m->text);
        children_note_failure(g, m->text);
        g->zygote_explained = true;
        children_dismiss_zygote(g, 0, now);
    } else if (m->type == MESSAGE_SPAWNED)
        zygote_spawned(g, m, now);
}

/* Its workers serve on; supervisor/succession.h starts a generation with another. */
static void drop_zygote(Generation *g, const char *what, usec_t now)
{
    ReportSubject who = children_subject_of_zygote(g);

    report_nonsense(&who, what);
    children_note_failure(g, "the zygote sent nonsense to the supervisor");
    g->zygote_explained = true;
    g->source = sd_event_source_disable_unref(g->source);
    children_dismiss_zygote(g, SIGTERM, now);
}

static void read_zygote(Generation *g, usec_t now)
{
    const char *wrong;
    Message m;

    while (g->source) {
        int r = channel_receive(g->channel, &m);

        if (r == -EAGAIN)
            return;
        if (r != 0 && r != -EPROTO) {
            g->source = sd_event_source_disable_unref(g->source);
            children_dismiss_zygote(g, 0, now);
            return;
        }
        wrong = r == 0 ? hearing_zygote(g, &m) : "a malformed message";
        if (r == 0)
            message_close_fds(&m);
        if (wrong)
            drop_zygote(g, wrong, now);
        else
            zygote_said(g, &m, now);
    }
}

static int on_zygote(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
    (void)source, (void)fd, (void)events;
    read_zygote(userdata, clock_now_usec());
    return 0;
}

static void zygote_exited(Generation *g, const siginfo_t *exit, usec_t now)
{
    ReportSubject who = children_subject_of_zygote(g);
    char how[80], failure[120];

    read_zygote(g, now);
    if (!g->zygote_explained) {
        report_died(&who, NULL, exit, now);
        (void)snprintf(failure, sizeof(failure), "the zygote %s",
                       report_describe_exit(exit, how, sizeof(how)));
        children_note_failure(g, failure);
    }
    g->zygote = ZYGOTE_GONE;
    g->deadline_usec = 0;
    g->source = sd_event_source_disable_unref(g->source);
    closep(&g->channel);
    g->channel = -EBADF;
    for (unsigned i = 0; i < g->n_seats; i++)
        if (g->seats[i].pid == 0)
            seat_on_event(&g->seats[i], SEAT_ON_UNSPAWNED, now);
}

static bool expects_pids(const Generation *g)
{
    for (unsigned i = 0; i < g->n_seats; i++)
        if (g->seats[i].state != SEAT_EMPTY && g->seats[i].pid == 0)
            return true;
    return false;
}

/* An exit that no seat knows may be that of a worker whose pid comes next; else of an adopted stranger. */
static void remember_exit(Generation *g, const siginfo_t *exit)
{
    if (!expects_pids(g)) {
        g->n_early = 0;
        return;
    }
    if (g->n_early == GENERATION_EARLY_EXITS_MAX)
        memmove(&g->early[0], &g->early[1], --g->n_early * sizeof(g->early[0]));
    g->early[g->n_early++] = (EarlyExit){exit->si_pid, *exit};
}

/* A signal has stopped the worker, or lets it go on. Meanwhile clients wait, and it can't see to its time limits by
 * itself. */
static void seat_stopped(const Generation *g, Seat *s, const siginfo_t *change, usec_t now)
{
    ReportSubject who = children_subject_of(g, s);

    s->stopped_usec = change->si_code == CLD_STOPPED ? now : 0;
    report_stopped(&who, change);
}

bool children_on_change(Generation *g, const siginfo_t *change, usec_t now)
{
    bool is_exit = change->si_code != CLD_STOPPED && change->si_code != CLD_CONTINUED;

    if (g->zygote != ZYGOTE_GONE && change->si_pid == g->zygote_pid) {
        if (is_exit)
            zygote_exited(g, change, now);
        return true;
    }
    for (unsigned i = 0; i < g->n_seats; i++)
        if (g->seats[i].pid == change->si_pid) {
            if (is_exit)
                seat_exited(g, &g->seats[i], change, now);
            else
                seat_stopped(g, &g->seats[i], change, now);
            return true;
        }
    if (is_exit)
        remember_exit(g, change);
    return false;
}

int children_start_zygote(Generation *g, const char *site, const WorkerProgram *program,
                          const Sockets *sockets, int totals_fd)
{
    int listeners[WORKER_PROGRAM_LISTENERS_MAX], r;

    for (size_t i = 0; i < sockets->n; i++)
        listeners[i] = sockets->items[i].fd;
    r = worker_program_start(program, g->config, site, &g->channel, &g->zygote_pid);
    if (r < 0)
        return r;
    r = sd_event_add_io(g->event, &g->source, g->channel, EPOLLIN, on_zygote, g);
    if (r < 0)
        return r;
    return worker_program_greet(g->channel, site, g->number, g->config, g->scoreboard->fd, totals_fd,
                                sockets->queue[0] >= 0 ? sockets->queue : NULL, listeners, sockets->n);
}
