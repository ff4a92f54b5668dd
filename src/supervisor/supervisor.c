/* SPDX-License-Identifier: MIT */
/* The supervisor: which generation serves, which one comes, which ones go. Handlers of events only note what happened;
 * advance() then looks at the whole and does what follows from it. */
#include "supervisor/supervisor.h"

#include "base/fd.h"
#include "base/log.h"
#include "base/message-ids.h"
#include "base/title.h"
#include "supervisor/generation.h"
#include "supervisor/notify.h"
#include "supervisor/report.h"
#include "supervisor/sockets.h"
#include "supervisor/status.h"
#include "supervisor/worker-program.h"

#include <assert.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define NEVER UINT64_MAX
#define TIMER_ACCURACY_USEC (10 * USEC_PER_MSEC)
#define EXTEND_EVERY_USEC (5 * USEC_PER_SEC)
#define EXTEND_BY_USEC (15 * USEC_PER_SEC)
#define UNIX_SOCKET_MODE 0660

typedef struct Supervisor {
    const SupervisorOptions *options;
    sd_event *event;
    sd_event_source *timer;
    Sockets sockets;
    Generation *candidate; /* has still to prove itself */
    Generation *current;   /* serves */
    Generation *retired;   /* a list: serve until they are replaced, then go */
    unsigned n_generations;
    uint64_t n_requests_gone; /* of generations that are no more */
    bool started;             /* READY=1 was sent for the first time */
    bool stopping;
    bool reload_wanted;
    bool reloading; /* RELOADING=1 was sent, and no READY=1 since */
    bool rolling;   /* current takes over from those before it, seat by seat */
    char *reload_failure;
    usec_t regenerate_usec; /* current has no zygote any more: when to start the next generation */
    usec_t regenerate_backoff_usec;
    usec_t extend_usec; /* when to ask systemd for more time, and until when */
    usec_t extend_end_usec;
    StatusLine status;
    int exit_status;
    char *exit_reason;
} Supervisor;

/* --- status --- */

static GenerationCount count_all(const Supervisor *s)
{
    const Generation *first[] = {s->candidate, s->current, s->retired};
    GenerationCount sum = {.n_requests = s->n_requests_gone};

    for (size_t i = 0; i < ELEMENTSOF(first); i++)
        for (const Generation *g = first[i]; g; g = g->next) {
            GenerationCount c = generation_count(g);

            sum.n_serving += c.n_serving;
            sum.n_workers += c.n_workers;
            sum.n_busy += c.n_busy;
            sum.n_requests += c.n_requests;
        }
    return sum;
}

static void append_trouble(const Supervisor *s, char *to, size_t size)
{
    if (s->reload_failure)
        (void)snprintf(to, size, "; last reload failed: %s", s->reload_failure);
    else if (s->current->failure && generation_count(s->current).n_serving < s->current->n_seats)
        (void)snprintf(to, size, "; last failure: %s", s->current->failure);
}

static const char *status_text(const Supervisor *s, char to[static STATUS_TEXT_MAX])
{
    GenerationCount c = count_all(s);
    int n;

    if (s->stopping)
        (void)snprintf(to, STATUS_TEXT_MAX, "Stopping: %u workers, %u requests to finish", c.n_workers, c.n_busy);
    else if (!s->started)
        (void)snprintf(to, STATUS_TEXT_MAX, "Loading the application");
    else {
        n = snprintf(to, STATUS_TEXT_MAX, "%u/%u workers, %u busy, %" PRIu64 " requests, generation %u%s",
                     generation_count(s->current).n_serving, s->current->n_seats, c.n_busy, c.n_requests,
                     s->current->number, s->candidate ? ", loading the next" : "");
        if (n > 0 && n < STATUS_TEXT_MAX)
            append_trouble(s, to + n, (size_t)(STATUS_TEXT_MAX - n));
    }
    return to;
}

static void tell_ready(Supervisor *s, usec_t now)
{
    char text[STATUS_TEXT_MAX];

    notify_ready(status_text(s, text));
    status_note(&s->status, text, now);
}

/* A start, reload or stop may take up to usec from now: systemd gets to know bit by bit, for as long as we live. */
static void expect_work(Supervisor *s, usec_t usec, usec_t now)
{
    s->extend_usec = now;
    s->extend_end_usec = now + usec;
}

static usec_t extend_timeout(Supervisor *s, usec_t now)
{
    if ((s->started && !s->reloading && !s->stopping) || now >= s->extend_end_usec)
        return NEVER;
    if (now >= s->extend_usec) {
        notify_extend_timeout(EXTEND_BY_USEC);
        s->extend_usec = now + EXTEND_EVERY_USEC;
    }
    return s->extend_usec;
}

/* --- stop --- */

static void retire(Supervisor *s, Generation **g, bool drain, usec_t now)
{
    if (!*g)
        return;
    generation_retire(*g, now);
    if (drain)
        generation_drain_all(*g, now);
    (*g)->next = s->retired;
    s->retired = TAKE_PTR(*g);
}

/* Closes the sockets first: who connects to one that was bound here is refused from now on, instead of waiting for an answer
 * that won't come. One of systemd's stays open there, for the next instance. */
static void begin_stop(Supervisor *s, usec_t now)
{
    usec_t limit = s->current ? s->current->config->timeouts_graceful : 0;

    s->stopping = true;
    sockets_close(&s->sockets);
    retire(s, &s->candidate, true, now);
    retire(s, &s->current, true, now);
    for (Generation *g = s->retired; g; g = g->next)
        generation_drain_all(g, now);
    expect_work(s, limit + 3 * SEAT_GRACE_USEC, now);
}

static void fail(Supervisor *s, int exit_status, const char *reason, usec_t now)
{
    s->exit_status = exit_status;
    s->exit_reason = report_last_line(reason);
    begin_stop(s, now);
}

/* --- one generation after the other --- */

/* What the system refused; NULL in *ret_error means that there is no memory. */
static int os_error(const char *what, int r, char **ret_error)
{
    if (asprintf(ret_error, "%s: %s", what, strerror(-r)) < 0)
        *ret_error = NULL;
    return EXIT_OS;
}

/* 0, or the exit status that this failure means at start, with *ret_error. */
static int load_config(const SupervisorOptions *o, Config **ret, char **ret_error)
{
    _cleanup_free_ char *data = NULL;
    size_t size = 0;
    int r = 0;

    if (o->config_path)
        r = config_read_file(o->config_path, &data, &size, ret_error);
    if (r == 0)
        r = config_parse(data, size, o->config_path, o->overrides, ret, ret_error);
    if (r == CONFIG_E_INVALID)
        return EXIT_CONFIG;
    return r < 0 ? os_error("Cannot read the configuration", r, ret_error) : 0;
}

/* As load_config(). */
static int begin_generation(Supervisor *s, Config *config, char **ret_error, usec_t now)
{
    usec_t limit = (config->workers_count + 2) * config->timeouts_load;
    int r = generation_new(s->event, s->options->site, ++s->n_generations, config, &s->sockets, &s->candidate,
                           ret_error);

    if (r == 0)
        expect_work(s, limit, now);
    if (r == WORKER_PROGRAM_E_NONE)
        return EXIT_CONFIG;
    return r < 0 ? os_error("Cannot start the worker program", r, ret_error) : 0;
}

static void end_reload(Supervisor *s, const char *failure, usec_t now)
{
    free(s->reload_failure);
    s->reload_failure = failure ? report_last_line(failure) : NULL;
    s->rolling = false;
    if (failure)
        log_full(LOG_ERR, MESSAGE_RELOAD_FAILED, NULL, "Reload failed, generation %u goes on serving: %s",
                 s->current->number, failure);
    else
        log_full(LOG_NOTICE, MESSAGE_RELOADED, NULL, "Generation %u serves, with %u workers", s->current->number,
                 s->current->n_seats);
    if (s->reloading)
        tell_ready(s, now);
    s->reloading = false;
}

static void schedule_regeneration(Supervisor *s, usec_t lived_usec, usec_t now)
{
    if (s->current->zygote != ZYGOTE_GONE)
        return;
    s->regenerate_backoff_usec = seat_backoff_next(s->regenerate_backoff_usec, lived_usec);
    s->regenerate_usec = now + s->regenerate_backoff_usec;
}

static void begin_next(Supervisor *s, usec_t now)
{
    _cleanup_free_ char *error = NULL;
    Config *config = NULL;
    int r = load_config(s->options, &config, &error);

    if (r == 0)
        r = begin_generation(s, config, &error, now);
    if (r == 0)
        return;
    end_reload(s, error ? error : strerror(ENOMEM), now);
    schedule_regeneration(s, 0, now);
}

static bool begin_wanted(Supervisor *s, usec_t now)
{
    if (s->stopping || !s->started || s->candidate || s->rolling)
        return false;
    if (s->reload_wanted) {
        s->reload_wanted = false;
        s->reloading = true;
        notify_reloading("Loading the next generation");
        begin_next(s, now);
        return true;
    }
    if (s->current->zygote != ZYGOTE_GONE)
        return false;
    if (s->regenerate_usec == 0)
        schedule_regeneration(s, now - s->current->started_usec, now);
    if (s->regenerate_usec > now)
        return false;
    begin_next(s, now);
    return true;
}

static void candidate_failed(Supervisor *s, usec_t now)
{
    _cleanup_free_ char *reason = strdup(s->candidate->failure ? s->candidate->failure : strerror(ENOMEM));

    retire(s, &s->candidate, true, now);
    if (!s->started) {
        fail(s, EXIT_APP_FAILED, reason ? reason : "", now);
        return;
    }
    end_reload(s, reason ? reason : "", now);
    schedule_regeneration(s, 0, now);
}

static void promote_candidate(Supervisor *s, usec_t now)
{
    bool first = !s->started;

    s->rolling = !first;
    retire(s, &s->current, false, now);
    s->current = TAKE_PTR(s->candidate);
    s->regenerate_usec = 0;
    s->started = true;
    log_init(s->options->site, s->current->config->log_level);
    if (!first)
        return;
    log_full(LOG_NOTICE, MESSAGE_STARTED, NULL, "Ready: %u workers, %u threads each", s->current->n_seats,
             s->current->config->workers_threads);
    tell_ready(s, now);
}

/* At start, all workers must be ready. Later, the first one proves that the generation is good: what goes wrong after that has
 * other reasons than the code. */
static bool judge_candidate(Supervisor *s, usec_t now)
{
    Generation *g = s->candidate;

    if (!g || s->stopping)
        return false;
    if (g->failure || g->zygote == ZYGOTE_GONE)
        candidate_failed(s, now);
    else if (generation_count(g).n_serving >= (s->started ? 1 : g->n_seats))
        promote_candidate(s, now);
    else
        return false;
    return true;
}

static bool is_serving(const Generation *g, unsigned seat)
{
    return seat < g->n_seats && g->seats[seat].state == SEAT_SERVING;
}

/* Seat by seat; and whoever is left when all are there. */
static bool replace_retired(Supervisor *s, usec_t now)
{
    bool changed = false, all;

    if (!s->current || !s->retired)
        return false;
    all = generation_count(s->current).n_serving == s->current->n_seats;
    for (Generation *g = s->retired; g; g = g->next)
        for (unsigned i = 0; i < g->n_seats; i++)
            if (is_serving(g, i) && (all || is_serving(s->current, i))) {
                generation_drain(g, i, now);
                changed = true;
            }
    return changed;
}

/* When only current accepts connections, so that who waits for the reload's end gets answers of the new code alone. */
static usec_t rolled_at(const Supervisor *s)
{
    usec_t at = generation_count(s->current).n_serving == s->current->n_seats ? 0 : NEVER;

    for (const Generation *g = s->retired; g; g = g->next) {
        usec_t quiet = generation_quiet_at(g);

        at = quiet > at ? quiet : at;
    }
    return at;
}

/* A worker that fails now ends the reload, not the generation: it is tried again, and the old worker that it is to replace goes
 * on until then. */
static bool finish_rolling(Supervisor *s, usec_t now)
{
    if (!s->rolling || s->stopping)
        return false;
    if (rolled_at(s) <= now)
        end_reload(s, NULL, now);
    else if (s->current->failure)
        end_reload(s, s->current->failure, now);
    else
        return false;
    return true;
}

static bool sweep(Supervisor *s)
{
    bool changed = false;

    for (Generation **at = &s->retired; *at;) {
        Generation *g = *at;

        if (!generation_is_gone(g)) {
            at = &g->next;
            continue;
        }
        *at = g->next;
        s->n_requests_gone += generation_count(g).n_requests;
        generation_free(g);
        changed = true;
    }
    return changed;
}

/* One at a time while others serve, so that a reload takes neither all processors nor twice the memory. */
static unsigned n_at_once(const Supervisor *s)
{
    return s->candidate ? (s->started ? 1 : UINT32_MAX) : (s->rolling ? 1 : UINT32_MAX);
}

static usec_t advance_generations(Supervisor *s, usec_t now)
{
    Generation *first[] = {s->candidate, s->current, s->retired};
    usec_t next = NEVER;

    for (size_t i = 0; i < ELEMENTSOF(first); i++)
        for (Generation *g = first[i]; g; g = g->next) {
            usec_t due = generation_advance(g, n_at_once(s), now);

            next = MIN(next, due);
        }
    return next;
}

/* Until nothing follows from anything any more; returns when something will. */
static usec_t advance(Supervisor *s)
{
    usec_t now = clock_now_usec(), next, due;
    char text[STATUS_TEXT_MAX];
    bool changed;

    do {
        next = advance_generations(s, now);
        changed = judge_candidate(s, now);
        changed |= replace_retired(s, now);
        changed |= finish_rolling(s, now);
        changed |= begin_wanted(s, now);
        changed |= sweep(s);
    } while (changed);

    due = extend_timeout(s, now);
    next = MIN(next, due);
    due = status_update(&s->status, status_text(s, text), now);
    next = MIN(next, due);
    if (s->rolling && !s->stopping) {
        due = rolled_at(s);
        next = MIN(next, due);
    }
    if (s->current && !s->candidate && s->current->zygote == ZYGOTE_GONE)
        next = MIN(next, s->regenerate_usec);
    return next;
}

/* --- events --- */

static void exited(Supervisor *s, const siginfo_t *exit)
{
    Generation *first[] = {s->candidate, s->current, s->retired};
    usec_t now = clock_now_usec();

    for (size_t i = 0; i < ELEMENTSOF(first); i++)
        for (Generation *g = first[i]; g; g = g->next)
            if (generation_on_exit(g, exit, now))
                return;
    log_debug("Process %d, an orphan that came to us, has ended", (int)exit->si_pid);
}

/* Not sd_event_add_child(): a subreaper, as well as a container's process 1, gets children that it never heard of. */
static int on_child(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata)
{
    (void)source, (void)info;
    for (;;) {
        siginfo_t exit = {0};

        if (waitid(P_ALL, 0, &exit, WEXITED | WNOHANG) < 0 || exit.si_pid == 0)
            return 0;
        exited(userdata, &exit);
    }
}

static int on_stop(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata)
{
    Supervisor *s = userdata;
    usec_t now = clock_now_usec();

    (void)source;
    if (s->stopping) {
        log_notice("SIG%s again: killing the workers", sigabbrev_np((int)info->ssi_signo));
        for (Generation *g = s->retired; g; g = g->next)
            generation_kill(g, now);
        return 0;
    }
    log_info("SIG%s: stopping", sigabbrev_np((int)info->ssi_signo));
    notify_stopping("Stopping");
    begin_stop(s, now);
    return 0;
}

static int on_reload(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata)
{
    Supervisor *s = userdata;

    (void)source, (void)info;
    s->reload_wanted = true;
    return 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
    (void)source, (void)usec, (void)userdata;
    return 0; /* advance() comes next anyway */
}

static int add_signal(Supervisor *s, int number, sd_event_signal_handler_t handler)
{
    (void)signal(number, SIG_DFL); /* a shell may have left it ignored */
    return sd_event_add_signal(s->event, NULL, number, handler, s);
}

static int block_signals(void)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGCHLD};
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
        {SIGTERM, on_stop}, {SIGINT, on_stop}, {SIGQUIT, on_stop}, {SIGHUP, on_reload}, {SIGCHLD, on_child},
    };
    int r = sd_event_new(&s->event);

    for (size_t i = 0; r >= 0 && i < ELEMENTSOF(signals); i++)
        r = add_signal(s, signals[i].number, signals[i].handler);
    if (r >= 0)
        r = sd_event_add_time(s->event, &s->timer, CLOCK_MONOTONIC, 0, TIMER_ACCURACY_USEC, on_timer, s);
    if (r >= 0)
        r = sd_event_set_watchdog(s->event, true);
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
    int r = 0;

    while (r >= 0) {
        usec_t next = advance(s);

        if (s->stopping && !s->retired)
            return 0;
        r = set_timer(s, next);
        if (r >= 0)
            r = sd_event_run(s->event, NEVER);
    }
    return r;
}

/* --- start and end --- */

/* As load_config(). */
static int bind_sockets(Supervisor *s, const Config *config, char **ret_error)
{
    static char *const default_addresses[] = {(char *)"127.0.0.1:8000", NULL};
    char *const *addresses = config->socket_listen ? config->socket_listen : default_addresses;
    mode_t mode = config->socket_mode ? (mode_t)strtoul(config->socket_mode, NULL, 8) : UNIX_SOCKET_MODE;
    int r = sockets_bind(addresses, mode, config->socket_group, &s->sockets, ret_error);

    return r == SOCKETS_E_REFUSED ? EXIT_OS : r < 0 ? os_error("Cannot listen", r, ret_error) : 0;
}

/* As load_config(). */
static int get_sockets(Supervisor *s, const Config *config, char **ret_error)
{
    char name[SOCKET_NAME_MAX];
    int r = 0;

    if (s->sockets.n == 0 && s->options->may_bind)
        r = bind_sockets(s, config, ret_error);
    else if (s->sockets.n == 0)
        r = asprintf(ret_error, "No socket was passed by systemd: start cgunicorn@%s.socket", s->options->site) < 0
                ? EXIT_OS
                : EXIT_USAGE;
    else if (s->sockets.n > WORKER_PROGRAM_LISTENERS_MAX)
        r = asprintf(ret_error, "%zu sockets; %d are the most", s->sockets.n, WORKER_PROGRAM_LISTENERS_MAX) < 0
                ? EXIT_OS
                : EXIT_USAGE;
    for (size_t i = 0; r == 0 && i < s->sockets.n; i++)
        log_info("Listening at: %s", socket_describe(s->sockets.items[i].fd, name));
    return r;
}

/* As load_config(). */
static int start(Supervisor *s, char **ret_error)
{
    _cleanup_(config_freep) Config *config = NULL;
    int r = sockets_take_passed(&s->sockets, ret_error);

    if (r != 0)
        return r < 0 ? os_error("Cannot take sockets", r, ret_error) : EXIT_USAGE;
    r = load_config(s->options, &config, ret_error);
    if (r != 0)
        return r;
    log_init(s->options->site, config->log_level);
    r = get_sockets(s, config, ret_error);
    if (r != 0)
        return r;
    r = prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0 ? -errno : block_signals();
    if (r == 0)
        r = add_events(s);
    if (r < 0)
        return os_error("Cannot set up the supervisor", r, ret_error);
    return begin_generation(s, TAKE_PTR(config), ret_error, clock_now_usec());
}

static int refuse_start(int exit_status, const char *error)
{
    _cleanup_free_ char *line = NULL;

    if (!error)
        error = strerror(ENOMEM);
    line = report_last_line(error);
    log_full(LOG_ERR, exit_status == EXIT_CONFIG ? MESSAGE_CONFIG_INVALID : NULL, NULL, "%s", error);
    notify_failed(line ? line : error);
    return exit_status;
}

static void deinit(Supervisor *s)
{
    Generation *first[] = {s->candidate, s->current, s->retired};

    for (size_t i = 0; i < ELEMENTSOF(first); i++)
        while (first[i]) {
            Generation *g = first[i];

            first[i] = g->next;
            generation_free(g);
        }
    sockets_close(&s->sockets);
    sd_event_source_disable_unref(s->timer);
    sd_event_unref(s->event);
    free(s->reload_failure);
    free(s->exit_reason);
}

static int finish(Supervisor *s, int r)
{
    if (r < 0)
        return refuse_start(EXIT_OS, strerror(-r));
    if (s->exit_status != 0)
        notify_failed(s->exit_reason ? s->exit_reason : strerror(ENOMEM));
    else
        log_full(LOG_NOTICE, MESSAGE_STOPPED, NULL, "Stopped after %" PRIu64 " requests", s->n_requests_gone);
    return s->exit_status;
}

int supervisor_run(const SupervisorOptions *options)
{
    Supervisor s = {.options = options};
    _cleanup_free_ char *error = NULL;
    int r;

    log_init(options->site, LOG_INFO);
    title_set(options->site, "supervisor");
    r = start(&s, &error);
    r = r != 0 ? refuse_start(r, error) : finish(&s, loop(&s));
    deinit(&s);
    return r;
}
