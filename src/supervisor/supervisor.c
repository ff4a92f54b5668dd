/* SPDX-License-Identifier: MIT */
/* The supervisor: its start and end, its event loop, its signals. What is done about them:
 * supervisor/succession.h. */
#include "supervisor/supervisor.h"

#include "base/log.h"
#include "base/message-ids.h"
#include "base/title.h"
#include "supervisor/idle.h"
#include "supervisor/notify.h"
#include "supervisor/oom.h"
#include "supervisor/pressure.h"
#include "supervisor/report.h"
#include "supervisor/sockets.h"
#include "supervisor/succession.h"
#include "supervisor/worker-program.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define NEVER UINT64_MAX
#define TIMER_ACCURACY_USEC (10 * USEC_PER_MSEC)
#define UNIX_SOCKET_MODE 0660
#define IDLE_EXIT_MIN_USEC (100 * USEC_PER_MSEC) /* enough to accept what the site was started for */

typedef struct Supervisor {
    const SupervisorOptions *options;
    sd_event *event;
    sd_event_source *timer;
    Pressure *pressure;
    Notifier notifier;
    Sockets sockets;
    Oom oom;
    Succession succession;
    Totals *totals;
    int totals_fd;
    uint64_t n_requests_before; /* of earlier instances */
    usec_t busy_usec; /* when a start or reload was last under way, or somebody waited to be accepted */
} Supervisor;

/* --- stop --- */

/* Closes the sockets first: who connects to one that was bound here is refused from now on, instead of
 * waiting for an answer that won't come. One of systemd's stays open there, for the next instance. */
static void stop(Supervisor *s, const char *status)
{
    notify_stopping(&s->notifier, status);
    sockets_close(&s->sockets);
    succession_stop(&s->succession, clock_now_usec());
}

/* Nothing is lost where a connection comes at this very moment: a worker has accepted it, and serves it, or it waits in
 * the kernel's queue, for which systemd starts the next instance. Returns when to look again, at the latest. */
static usec_t stop_when_idle(Supervisor *s, usec_t now)
{
    const Succession *u = &s->succession;
    char text[FORMAT_VALUE_MAX];
    usec_t limit, at;

    if (!succession_is_settled(u))
        s->busy_usec = now;
    if (!u->sockets_are_held || !u->current || u->current->config->service_idle_exit == 0)
        return NEVER;
    limit = MAX(u->current->config->service_idle_exit, IDLE_EXIT_MIN_USEC);
    at = idle_since(u, now);
    at = MAX(at, s->busy_usec) + limit;
    if (at > now)
        return at;
    if (sockets_are_waited_for(&s->sockets)) { /* the workers have not got to it yet */
        s->busy_usec = now;
        return now + limit;
    }
    log_info("No request for service.idle_exit=%s: stopping until there is one",
             format_duration(text, limit));
    stop(s, "Stopping: nobody asked for anything");
    return now;
}

/* --- events --- */

/* Not sd_event_add_child(): a subreaper, as well as a container's process 1, gets children that it never
 * heard of. */
static int on_child(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata)
{
    Supervisor *s = userdata;

    (void)source, (void)info;
    for (;;) {
        siginfo_t change = {0};

        if (waitid(P_ALL, 0, &change, WEXITED | WSTOPPED | WCONTINUED | WNOHANG) < 0 || change.si_pid == 0)
            return 0;
        if (change.si_code == CLD_KILLED && change.si_status == SIGKILL && oom_has_killed(&s->oom))
            change.si_errno = ENOMEM;
        if (!succession_on_change(&s->succession, &change, clock_now_usec()))
            log_debug("Process %d is an orphan that came to us", (int)change.si_pid);
    }
}

static int on_stop(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata)
{
    const char *name = sigabbrev_np((int)info->ssi_signo);
    Supervisor *s = userdata;

    (void)source;
    if (s->succession.stopping && info->ssi_signo == SIGTERM)
        return 0; /* timeout(1), for one, sends it twice: to its child and to the group */
    if (s->succession.stopping) {
        log_notice("SIG%s again: killing the workers", name);
        succession_kill(&s->succession, clock_now_usec());
        return 0;
    }
    log_info("SIG%s: stopping", name);
    stop(s, "Stopping");
    return 0;
}

static int on_reload(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata)
{
    Supervisor *s = userdata;

    (void)source, (void)info;
    log_info("SIGHUP: loading the next generation");
    s->succession.reload_wanted = true;
    return 0;
}

static int on_resize(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata)
{
    Supervisor *s = userdata;

    (void)source;
    succession_resize(&s->succession, info->ssi_signo == SIGTTIN ? 1 : -1, clock_now_usec());
    return 0;
}

static void on_pressure(void *userdata)
{
    Supervisor *s = userdata;

    log_info("Memory is short: the workers give back what they do not need");
    succession_relieve(&s->succession, clock_now_usec());
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
    (void)source, (void)usec, (void)userdata;
    return 0; /* see loop() */
}

static int add_signal(Supervisor *s, int number, sd_event_signal_handler_t handler)
{
    (void)signal(number, SIG_DFL); /* a shell may have left it ignored */
    return sd_event_add_signal(s->event, NULL, number, handler, s);
}

static int block_signals(void)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGTTIN, SIGTTOU, SIGCHLD};
    sigset_t set;

    sigemptyset(&set);
    for (size_t i = 0; i < ELEMENTSOF(numbers); i++)
        sigaddset(&set, numbers[i]);
    (void)signal(SIGPIPE, SIG_IGN);
    return sigprocmask(SIG_BLOCK, &set, NULL) < 0 ? -errno : 0;
}

static int add_events(Supervisor *s)
{
    static const struct {
        int number;
        sd_event_signal_handler_t handler;
    } signals[] = {
        {SIGTERM, on_stop},   {SIGINT, on_stop},    {SIGQUIT, on_stop},  {SIGHUP, on_reload},
        {SIGTTIN, on_resize}, {SIGTTOU, on_resize}, {SIGCHLD, on_child},
    };
    int r = sd_event_new(&s->event), q;

    for (size_t i = 0; r >= 0 && i < ELEMENTSOF(signals); i++)
        r = add_signal(s, signals[i].number, signals[i].handler);
    if (r >= 0)
        r = sd_event_add_time(s->event, &s->timer, CLOCK_MONOTONIC, 0, TIMER_ACCURACY_USEC, on_timer, s);
    if (r >= 0 && (q = pressure_new(s->event, on_pressure, s, &s->pressure)) < 0)
        log_debug("Cannot watch the memory pressure: %s", strerror(-q));
    return r < 0 ? r : 0;
}

static int set_timer(Supervisor *s, usec_t usec)
{
    int r;

    if (usec == NEVER)
        return sd_event_source_set_enabled(s->timer, SD_EVENT_OFF);
    r = sd_event_source_set_time(s->timer, usec);
    return r < 0 ? r : sd_event_source_set_enabled(s->timer, SD_EVENT_ONESHOT);
}

static int loop(Supervisor *s)
{
    Succession *u = &s->succession;
    char text[STATUS_TEXT_MAX];
    int r = 0;

    while (r >= 0) {
        usec_t now = clock_now_usec(), next = succession_advance(u, now), due;

        if (u->stopping && !u->generations)
            return 0;
        due = stop_when_idle(s, now);
        next = MIN(next, due);
        due = status_update(&u->status, &s->notifier, succession_describe(u, text), now);
        next = MIN(next, due);
        due = notify_advance(&s->notifier, now);
        r = set_timer(s, MIN(next, due));
        if (r >= 0)
            r = sd_event_run(s->event, NEVER);
    }
    return r;
}

/* --- start and end --- */

/* As succession_load_config(). */
static int bind_sockets(Supervisor *s, const Config *config, char **ret_error)
{
    static char *const default_addresses[] = {(char *)"127.0.0.1:8000", NULL};
    char *const *addresses = config->socket_listen ? config->socket_listen : default_addresses;
    mode_t mode = config->socket_mode ? (mode_t)strtoul(config->socket_mode, NULL, 8) : UNIX_SOCKET_MODE;
    int r = sockets_bind(addresses, mode, config->socket_group, &s->sockets, ret_error);

    return r == SOCKETS_E_REFUSED ? EXIT_OS : r < 0 ? succession_os_error("Cannot listen", r, ret_error) : 0;
}

/* As succession_load_config(). */
static int get_sockets(Supervisor *s, const Config *config, char **ret_error)
{
    char name[SOCKET_NAME_MAX];
    int r = 0;

    if (s->sockets.n == 0 && s->options->may_bind)
        r = bind_sockets(s, config, ret_error);
    else if (s->sockets.n == 0)
        r = asprintf(ret_error, "No socket was passed by systemd: start cgunicorn@%s.socket",
                     s->options->site) < 0
                ? EXIT_OS
                : EXIT_USAGE;
    else if (s->sockets.n > WORKER_PROGRAM_LISTENERS_MAX)
        r = asprintf(ret_error, "%zu sockets; %d are the most", s->sockets.n, WORKER_PROGRAM_LISTENERS_MAX) <
                    0
                ? EXIT_OS
                : EXIT_USAGE;
    for (size_t i = 0; r == 0 && i < s->sockets.n; i++)
        log_info("Listening at: %s", socket_describe(s->sockets.items[i].fd, name));
    return r;
}

/* Where an earlier instance left them, or from 0 on. */
static int open_totals(Supervisor *s)
{
    int r = s->totals_fd >= 0 ? totals_map(s->totals_fd, &s->totals) : -ENOENT;

    if (r < 0) {
        if (r != -ENOENT)
            log_warning("The totals of earlier instances can't be used: %s", strerror(-r));
        if (s->totals_fd >= 0)
            notify_unstore(&s->notifier, SOCKETS_STORED);
        closep(&(int){TAKE_FD(s->totals_fd)});
        r = totals_new(&s->totals, &s->totals_fd);
        if (r < 0)
            return r;
        notify_store(&s->notifier, SOCKETS_STORED, s->totals_fd);
    }
    s->n_requests_before = totals_requests(s->totals);
    s->succession.totals = s->totals;
    s->succession.totals_fd = s->totals_fd;
    return 0;
}

/* As succession_load_config(). */
static int start(Supervisor *s, char **ret_error)
{
    _cleanup_(config_freep) Config *config = NULL;
    int r = sockets_take_passed(&s->notifier, &s->sockets, &s->totals_fd, ret_error);

    if (r != 0)
        return r < 0 ? succession_os_error("Cannot take sockets", r, ret_error) : EXIT_USAGE;
    s->succession.sockets_are_held = s->sockets.n > 0 && notify_is_on(&s->notifier);
    r = succession_load_config(s->options, &config, ret_error);
    if (r != 0)
        return r;
    log_init(s->options->site, config->log_level);
    r = get_sockets(s, config, ret_error);
    if (r != 0)
        return r;
    if (config->service_idle_exit > 0 && !s->succession.sockets_are_held)
        log_warning(
            "service.idle_exit is ignored: no service manager holds the sockets, to start this again");
    r = prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0 ? -errno : block_signals();
    if (r == 0)
        r = add_events(s);
    if (r == 0)
        r = open_totals(s);
    if (r == 0)
        r = sockets_open_queue(&s->sockets);
    if (r < 0)
        return succession_os_error("Cannot set up the supervisor", r, ret_error);
    s->succession.event = s->event;
    return succession_begin(&s->succession, TAKE_PTR(config), ret_error, clock_now_usec());
}

static int refuse_start(Supervisor *s, int exit_status, const char *error)
{
    _cleanup_free_ char *line = NULL;

    if (!error)
        error = strerror(ENOMEM);
    line = report_last_line(error);
    log_full(LOG_ERR, exit_status == EXIT_CONFIG ? MESSAGE_CONFIG_INVALID : NULL, NULL, "%s", error);
    notify_failed(&s->notifier, line ? line : error);
    return exit_status;
}

static void deinit(Supervisor *s)
{
    succession_deinit(&s->succession);
    sockets_close(&s->sockets);
    totals_free(s->totals);
    closep(&s->totals_fd);
    sd_event_source_disable_unref(s->timer);
    pressure_free(s->pressure);
    sd_event_unref(s->event);
    notify_close(&s->notifier);
    oom_deinit(&s->oom);
}

static int finish(Supervisor *s, int r)
{
    if (r < 0)
        return refuse_start(s, EXIT_OS, strerror(-r));
    if (s->succession.exit_status != 0)
        notify_failed(&s->notifier, s->succession.exit_reason ? s->succession.exit_reason : strerror(ENOMEM));
    else
        log_full(LOG_NOTICE, MESSAGE_STOPPED, NULL, "Stopped after %" PRIu64 " requests",
                 totals_requests(s->totals) - s->n_requests_before);
    return s->succession.exit_status;
}

int supervisor_run(const SupervisorOptions *options)
{
    Supervisor s = {.options = options,
                    .sockets = SOCKETS_NONE,
                    .totals_fd = -EBADF,
                    .succession = {.options = options, .sockets = &s.sockets, .notifier = &s.notifier}};
    _cleanup_free_ char *error = NULL;
    int r;

    log_init(options->site, LOG_INFO);
    title_set(options->site, "supervisor");
    notify_open(&s.notifier);
    oom_init(&s.oom, NULL);
    r = start(&s, &error);
    r = r != 0 ? refuse_start(&s, r, error) : finish(&s, loop(&s));
    deinit(&s);
    return r;
}
