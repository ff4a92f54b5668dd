/* SPDX-License-Identifier: MIT */
/* A generation: its zygote, its seats, their messages, deaths and time limits. */
#include "supervisor/generation.h"

#include "base/log.h"
#include "ipc/channel.h"
#include "supervisor/report.h"
#include "supervisor/worker-program.h"

#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define NEVER UINT64_MAX

/* Messages read at one event, so that nobody who floods a channel stops the loop. */
#define MESSAGES_AT_ONCE 64

static ReportSubject subject_of_zygote(const Generation *g)
{
    return (ReportSubject){.generation = g->number, .seat = -1, .pid = g->zygote_pid};
}

static ReportSubject subject_of(const Generation *g, const Seat *s)
{
    return (ReportSubject){.generation = g->number, .seat = (int)s->number, .pid = s->pid};
}

static void set_failure(Generation *g, const char *text)
{
    free(g->failure);
    g->failure = report_last_line(text);
    if (!g->failure)
        g->failure = strdup("out of memory");
}

/* --- seats --- */

static void worker_failed(Generation *g, Seat *s, const char *text)
{
    ReportSubject who = subject_of(g, s);

    if (s->state != SEAT_STARTING || g->retired)
        return;
    report_load_failed(&who, text);
    set_failure(g, text);
    s->explained = true;
}

/* Everything that a worker has said so far. Also before its exit is looked at: the two arrive by different ways. */
static void read_worker(Generation *g, Seat *s, usec_t now)
{
    Message m;

    for (unsigned i = 0; i < MESSAGES_AT_ONCE && s->source; i++) {
        int r = channel_receive(s->channel, &m);

        if (r == -EAGAIN)
            return;
        if (r == -EPROTO)
            continue;
        if (r != 0) {
            s->source = sd_event_source_disable_unref(s->source);
            seat_on_event(s, SEAT_ON_HANGUP, now);
            return;
        }
        message_close_fds(&m);
        if (m.type == MESSAGE_READY)
            seat_on_event(s, SEAT_ON_READY, now);
        else if (m.type == MESSAGE_FAILED) {
            worker_failed(g, s, m.text);
            seat_on_event(s, SEAT_ON_FAILED, now);
        } else if (m.type == MESSAGE_DRAIN)
            s->quiet = s->dismissed;
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

static void spawn(Generation *g, Seat *s, usec_t now)
{
    int r = send_spawn(g, s);

    if (r == 0) {
        seat_on_event(s, SEAT_ON_SPAWN, now);
        return;
    }
    seat_deinit(s);
    s->backoff_usec = seat_backoff_next(s->backoff_usec, 0);
    s->retry_usec = now + s->backoff_usec;
    if (r != -EAGAIN && r != -EPIPE) /* a full queue empties itself; a zygote that is gone is seen to elsewhere */
        log_warning("Cannot ask for worker %u: %s", s->number, strerror(-r));
}

static unsigned count_loading(const Generation *g)
{
    unsigned n = 0;

    for (unsigned i = 0; i < g->n_seats; i++)
        n += g->seats[i].state == SEAT_FORKING || g->seats[i].state == SEAT_STARTING;
    return n;
}

static void fill_seats(Generation *g, unsigned n_at_once, usec_t now)
{
    unsigned n;

    if (g->retired || g->zygote != ZYGOTE_READY)
        return;
    n = count_loading(g);
    for (unsigned i = 0; i < g->n_seats && n < n_at_once; i++) {
        Seat *s = &g->seats[i];

        if (s->state == SEAT_EMPTY && s->retry_usec <= now) {
            spawn(g, s, now);
            n++;
        }
    }
}

/* The numbers of a worker stay, its requests end with it. */
static void clear_slots(const Generation *g, const Seat *s)
{
    for (unsigned i = 0; i < g->scoreboard->n_slots; i++)
        atomic_store(&scoreboard_slot(g->scoreboard, s->number, i)->started_usec, 0);
    atomic_store(&g->scoreboard->seats[s->number].connections, 0);
}

static bool exit_is_expected(const Seat *s, const siginfo_t *exit)
{
    if (s->explained || s->state == SEAT_ABORTING || s->state == SEAT_KILLED)
        return true;
    return s->dismissed && exit->si_status == (exit->si_code == CLD_EXITED ? 0 : SIGTERM);
}

static void seat_exited(Generation *g, Seat *s, const siginfo_t *exit, usec_t now)
{
    ReportSubject who = subject_of(g, s);
    char how[80];

    read_worker(g, s, now);
    (void)report_describe_exit(exit, how, sizeof(how));
    if (exit_is_expected(s, exit))
        log_debug("Worker %u of generation %u (pid %d) %s", s->number, g->number, (int)s->pid, how);
    else {
        report_died(&who, g->scoreboard, exit, now);
        if (!s->served)
            set_failure(g, how);
    }
    clear_slots(g, s);
    seat_on_event(s, SEAT_ON_EXIT, now);
}

/* --- the zygote --- */

/* The end of its channel is what tells it; what it still has to say is read. */
static void zygote_leave(Generation *g, int signal_number, usec_t now)
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
    Seat *s = m->seat < g->n_seats ? &g->seats[m->seat] : NULL;

    if (!s || s->state == SEAT_EMPTY || s->pid > 0)
        return;
    if (m->pid <= 0) {
        log_error("Cannot fork worker %u: %s", s->number, strerror(-m->pid));
        set_failure(g, strerror(-m->pid));
        seat_on_event(s, SEAT_ON_UNSPAWNED, now);
        return;
    }
    s->pid = m->pid;
    seat_on_event(s, SEAT_ON_SPAWNED, now);
    take_early_exit(g, s, now);
}

static void zygote_said(Generation *g, const Message *m, usec_t now)
{
    ReportSubject who = subject_of_zygote(g);

    if (m->type == MESSAGE_LOADED && g->zygote == ZYGOTE_LOADING) {
        g->zygote = ZYGOTE_READY;
        g->deadline_usec = 0;
    } else if (m->type == MESSAGE_FAILED && g->zygote == ZYGOTE_LOADING) {
        report_load_failed(&who, m->text);
        set_failure(g, m->text);
        g->zygote_explained = true;
        zygote_leave(g, 0, now);
    } else if (m->type == MESSAGE_SPAWNED)
        zygote_spawned(g, m, now);
}

static void read_zygote(Generation *g, usec_t now)
{
    Message m;

    for (unsigned i = 0; i < MESSAGES_AT_ONCE && g->source; i++) {
        int r = channel_receive(g->channel, &m);

        if (r == -EAGAIN)
            return;
        if (r == -EPROTO)
            continue;
        if (r != 0) {
            g->source = sd_event_source_disable_unref(g->source);
            zygote_leave(g, 0, now);
            return;
        }
        message_close_fds(&m);
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
    ReportSubject who = subject_of_zygote(g);
    char how[80];

    read_zygote(g, now);
    if (!g->zygote_explained) {
        report_died(&who, NULL, exit, now);
        set_failure(g, report_describe_exit(exit, how, sizeof(how)));
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

bool generation_on_exit(Generation *g, const siginfo_t *exit, usec_t now)
{
    if (g->zygote != ZYGOTE_GONE && exit->si_pid == g->zygote_pid) {
        zygote_exited(g, exit, now);
        return true;
    }
    for (unsigned i = 0; i < g->n_seats; i++)
        if (g->seats[i].pid == exit->si_pid) {
            seat_exited(g, &g->seats[i], exit, now);
            return true;
        }
    remember_exit(g, exit);
    return false;
}

/* --- time limits --- */

static void zygote_stuck(Generation *g, usec_t now)
{
    ReportSubject who = subject_of_zygote(g);

    g->deadline_usec = 0;
    if (g->zygote == ZYGOTE_LOADING) {
        report_stuck(&who, NULL, "loading the application", "timeouts.load", g->config->timeouts_load, now);
        set_failure(g, "the application was not loaded within timeouts.load");
        g->zygote_explained = true;
        zygote_leave(g, SIGABRT, now);
    } else if (g->zygote == ZYGOTE_LEAVING)
        (void)kill(g->zygote_pid, SIGKILL);
}

static void seat_stuck(Generation *g, Seat *s, usec_t now)
{
    ReportSubject who = subject_of(g, s);
    SeatState state = s->state;

    if (state == SEAT_STARTING) {
        report_stuck(&who, NULL, "loading the application", "timeouts.load", g->config->timeouts_load, now);
        set_failure(g, "the application was not loaded within timeouts.load");
    } else if (state == SEAT_DRAINING && s->served && !s->explained)
        report_stuck(&who, g->scoreboard, "draining", "timeouts.graceful", g->config->timeouts_graceful, now);
    if (seat_on_event(s, SEAT_ON_STUCK, now) == SEAT_DO_GIVE_UP) {
        log_error("The zygote of generation %u (pid %d) does not fork: killing it", g->number, (int)g->zygote_pid);
        zygote_leave(g, SIGABRT, now);
    }
}

/* Looks at the requests of one worker; returns when the one that may be the next to pass the limit does. */
static usec_t scan_seat(Generation *g, Seat *s, usec_t now)
{
    usec_t limit = g->config->timeouts_request, next = now + limit;

    if (s->state != SEAT_SERVING && s->state != SEAT_DRAINING)
        return NEVER;
    for (unsigned i = 0; i < g->scoreboard->n_slots; i++) {
        const ScoreboardSlot *slot = scoreboard_slot(g->scoreboard, s->number, i);
        usec_t started = atomic_load(&slot->started_usec);
        ReportSubject who = subject_of(g, s);

        if (started == 0 || started > now)
            continue;
        if (now - started < limit) {
            next = MIN(next, started + limit);
            continue;
        }
        report_request_timeout(&who, slot, started, limit, now);
        s->explained = true;
        seat_on_event(s, SEAT_ON_STUCK, now);
        return NEVER;
    }
    return next;
}

/* A request that begins after a scan can't pass the limit earlier than the limit after that scan: so this sees each of them
 * in time, and wakes up about once in timeouts.request. */
static void scan_requests(Generation *g, usec_t now)
{
    g->scan_usec = NEVER;
    if (g->config->timeouts_request == 0)
        return;
    for (unsigned i = 0; i < g->n_seats; i++) {
        usec_t next = scan_seat(g, &g->seats[i], now);

        g->scan_usec = MIN(g->scan_usec, next);
    }
}

static usec_t next_due(const Generation *g, usec_t now)
{
    usec_t next = g->scan_usec;

    if (g->deadline_usec > 0)
        next = MIN(next, g->deadline_usec);
    for (unsigned i = 0; i < g->n_seats; i++) {
        const Seat *s = &g->seats[i];

        if (s->deadline_usec > 0)
            next = MIN(next, s->deadline_usec);
        if (s->state == SEAT_EMPTY && s->retry_usec > now && !g->retired)
            next = MIN(next, s->retry_usec);
    }
    return next;
}

usec_t generation_advance(Generation *g, unsigned n_at_once, usec_t now)
{
    if (g->deadline_usec > 0 && g->deadline_usec <= now)
        zygote_stuck(g, now);
    for (unsigned i = 0; i < g->n_seats; i++)
        if (g->seats[i].deadline_usec > 0 && g->seats[i].deadline_usec <= now)
            seat_stuck(g, &g->seats[i], now);
    scan_requests(g, now);
    fill_seats(g, n_at_once, now);
    return next_due(g, now);
}

/* --- from the outside --- */

void generation_drain(Generation *g, unsigned seat, usec_t now)
{
    seat_on_event(&g->seats[seat], SEAT_ON_DRAIN, now);
}

void generation_drain_all(Generation *g, usec_t now)
{
    for (unsigned i = 0; i < g->n_seats; i++)
        generation_drain(g, i, now);
}

void generation_retire(Generation *g, usec_t now)
{
    g->retired = true;
    g->zygote_explained = true;
    zygote_leave(g, g->zygote == ZYGOTE_LOADING ? SIGTERM : 0, now);
    for (unsigned i = 0; i < g->n_seats; i++)
        if (g->seats[i].state != SEAT_SERVING)
            generation_drain(g, i, now);
}

void generation_kill(Generation *g, usec_t now)
{
    generation_retire(g, now);
    if (g->zygote != ZYGOTE_GONE)
        (void)kill(g->zygote_pid, SIGKILL);
    for (unsigned i = 0; i < g->n_seats; i++)
        seat_on_event(&g->seats[i], SEAT_ON_KILL, now);
}

usec_t generation_quiet_at(const Generation *g)
{
    usec_t at = 0;

    for (unsigned i = 0; i < g->n_seats; i++) {
        const Seat *s = &g->seats[i];

        if (s->state == SEAT_SERVING)
            return NEVER;
        if (s->state == SEAT_DRAINING && s->served && !s->quiet && at < s->dismissed_usec + GENERATION_QUIET_USEC)
            at = s->dismissed_usec + GENERATION_QUIET_USEC;
    }
    return at;
}

GenerationCount generation_count(const Generation *g)
{
    GenerationCount c = {0};

    for (unsigned i = 0; i < g->n_seats; i++) {
        c.n_serving += g->seats[i].state == SEAT_SERVING;
        c.n_workers += g->seats[i].state != SEAT_EMPTY;
        c.n_requests += atomic_load(&g->scoreboard->seats[i].requests);
        for (unsigned j = 0; j < g->scoreboard->n_slots; j++)
            c.n_busy += atomic_load(&scoreboard_slot(g->scoreboard, i, j)->started_usec) > 0;
    }
    return c;
}

bool generation_is_gone(const Generation *g)
{
    return g->zygote == ZYGOTE_GONE && generation_count(g).n_workers == 0;
}

Generation *generation_free(Generation *g)
{
    for (unsigned i = 0; i < g->n_seats; i++)
        seat_deinit(&g->seats[i]);
    sd_event_source_disable_unref(g->source);
    closep(&g->channel);
    scoreboard_freep(&g->scoreboard);
    config_freep(&g->config);
    sd_event_unref(g->event);
    free(g->seats);
    free(g->failure);
    free(g);
    return NULL;
}

/* The zygote, if it runs already, sees the end of its channel where this fails: generation_free() closes it. */
static int start_zygote(Generation *g, const char *site, const char *path, const Sockets *sockets)
{
    int listeners[WORKER_PROGRAM_LISTENERS_MAX], r;

    for (size_t i = 0; i < sockets->n; i++)
        listeners[i] = sockets->items[i].fd;
    r = worker_program_start(path, site, &g->channel, &g->zygote_pid);
    if (r < 0)
        return r;
    r = sd_event_add_io(g->event, &g->source, g->channel, EPOLLIN, on_zygote, g);
    if (r < 0)
        return r;
    return worker_program_greet(g->channel, site, g->number, g->config, g->scoreboard->fd, listeners, sockets->n);
}

static int allocate(sd_event *event, unsigned number, Config *config, Generation **ret)
{
    Generation *g = calloc(1, sizeof(*g));

    if (!g) {
        config_free(config);
        return -ENOMEM;
    }
    g->event = sd_event_ref(event);
    g->config = config;
    g->number = number;
    g->channel = -EBADF;
    g->started_usec = clock_now_usec();
    g->deadline_usec = g->started_usec + config->timeouts_load;
    g->scan_usec = NEVER;
    *ret = g;
    g->seats = calloc(config->workers_count, sizeof(*g->seats));
    if (!g->seats)
        return -ENOMEM;
    g->n_seats = config->workers_count;
    for (unsigned i = 0; i < g->n_seats; i++)
        seat_init(&g->seats[i], i, g, config->timeouts_load, config->timeouts_graceful);
    return scoreboard_new(g->n_seats, config->workers_threads, &g->scoreboard);
}

int generation_new(sd_event *event, const char *site, unsigned number, Config *config, const Sockets *sockets,
                   Generation **ret, char **ret_error)
{
    _cleanup_(generation_freep) Generation *g = NULL;
    _cleanup_free_ char *path = NULL;
    int r = allocate(event, number, config, &g);

    if (r < 0)
        return r;
    r = worker_program_find(config->app_virtualenv, &path, ret_error);
    if (r != 0)
        return r;
    r = start_zygote(g, site, path, sockets);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(g);
    return 0;
}
