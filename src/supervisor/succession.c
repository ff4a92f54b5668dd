/* SPDX-License-Identifier: MIT */
/* Which generation serves, which one comes, which ones go. What happened is only noted; succession_advance()
 * looks at the whole and does what follows from it. */
#include "supervisor/succession.h"

#include "base/log.h"
#include "base/message-ids.h"
#include "supervisor/report.h"
#include "supervisor/worker-program.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define NEVER UINT64_MAX

/* --- how it stands --- */

static GenerationCount count_all(const Succession *s)
{
    const Generation *first[] = {s->candidate, s->current, s->retired};
    GenerationCount sum = {0};

    for (size_t i = 0; i < ELEMENTSOF(first); i++)
        for (const Generation *g = first[i]; g; g = g->next) {
            GenerationCount c = generation_count(g);

            sum.n_serving += c.n_serving;
            sum.n_workers += c.n_workers;
            sum.n_busy += c.n_busy;
        }
    return sum;
}

bool succession_is_settled(const Succession *s)
{
    return s->started && !s->candidate && !s->rolling && !s->reload_wanted && !s->stopping;
}

static void append_trouble(const Succession *s, char *to, size_t size)
{
    if (s->reload_failure)
        (void)snprintf(to, size, "; last reload failed: %s", s->reload_failure);
    else if (s->current->failure && !generation_is_staffed(s->current))
        (void)snprintf(to, size, "; last failure: %s", s->current->failure);
}

const char *succession_describe(const Succession *s, char to[static STATUS_TEXT_MAX])
{
    GenerationCount c = count_all(s);
    int n;

    if (s->stopping)
        (void)snprintf(to, STATUS_TEXT_MAX, "Stopping: %u workers, %u requests to finish", c.n_workers,
                       c.n_busy);
    else if (!s->started)
        (void)snprintf(to, STATUS_TEXT_MAX, "Loading the application");
    else {
        n = snprintf(to, STATUS_TEXT_MAX, "%u/%u workers, %u busy, %" PRIu64 " requests, generation %u%s",
                     generation_count(s->current).n_serving, s->current->n_wanted, c.n_busy,
                     totals_requests(s->totals), s->current->number,
                     s->candidate ? ", loading the next" : "");
        if (n > 0 && n < STATUS_TEXT_MAX)
            append_trouble(s, to + n, (size_t)(STATUS_TEXT_MAX - n));
    }
    return to;
}

static void tell_ready(Succession *s, usec_t now)
{
    char text[STATUS_TEXT_MAX];

    notify_ready(s->notifier, succession_describe(s, text));
    status_note(&s->status, text, now);
}

/* --- stop --- */

static void retire(Succession *s, Generation **g, bool drain, usec_t now)
{
    if (!*g)
        return;
    generation_retire(*g, now);
    if (drain)
        generation_drain_all(*g, now);
    (*g)->next = s->retired;
    s->retired = TAKE_PTR(*g);
}

void succession_stop(Succession *s, usec_t now)
{
    usec_t limit = s->current ? s->current->config->timeouts_graceful : 0;

    s->stopping = true;
    retire(s, &s->candidate, false, now);
    retire(s, &s->current, false, now);
    for (Generation *g = s->retired; g; g = g->next)
        if (s->sockets_are_held)
            generation_hand_over(g, now);
        else
            generation_drain_all(g, now);
    status_expect_work(&s->status, limit + 3 * SEAT_GRACE_USEC, now);
}

static void fail(Succession *s, int exit_status, const char *reason, usec_t now)
{
    s->exit_status = exit_status;
    s->exit_reason = report_last_line(reason);
    succession_stop(s, now);
}

/* --- one generation after the other --- */

int succession_os_error(const char *what, int r, char **ret_error)
{
    if (asprintf(ret_error, "%s: %s", what, strerror(-r)) < 0)
        *ret_error = NULL;
    return EXIT_OS;
}

int succession_load_config(const SupervisorOptions *o, Config **ret, char **ret_error)
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
    return r < 0 ? succession_os_error("Cannot read the configuration", r, ret_error) : 0;
}

int succession_begin(Succession *s, Config *config, char **ret_error, usec_t now)
{
    usec_t each = config->timeouts_load + config->reload_check_timeout + config->timeouts_graceful;
    usec_t limit = (config->workers_count + 2) * each;
    int r = generation_new(s->event, s->options->site, ++s->n_generations, config, s->sockets, s->totals_fd,
                           &s->candidate, ret_error);

    if (r == 0 && s->current)
        generation_succeed(s->candidate, s->current);
    if (r == 0)
        status_expect_work(&s->status, limit, now);
    if (r == WORKER_PROGRAM_E_NONE)
        return EXIT_CONFIG;
    return r < 0 ? succession_os_error("Cannot start the worker program", r, ret_error) : 0;
}

static void end_reload(Succession *s, const char *failure, usec_t now)
{
    free(s->reload_failure);
    s->reload_failure = failure ? report_last_line(failure) : NULL;
    s->rolling = false;
    if (failure)
        log_full(LOG_ERR, MESSAGE_RELOAD_FAILED, NULL, "Reload failed, generation %u goes on serving: %s",
                 s->current->number, failure);
    else
        log_full(LOG_NOTICE, MESSAGE_RELOADED, NULL, "Generation %u serves, with %u workers",
                 s->current->number, s->current->n_wanted);
    if (s->reloading)
        tell_ready(s, now);
    s->reloading = false;
}

static void schedule_regeneration(Succession *s, usec_t lived_usec, usec_t now)
{
    if (s->current->zygote != ZYGOTE_GONE)
        return;
    s->regenerate_backoff_usec = seat_backoff_next(s->regenerate_backoff_usec, lived_usec);
    s->regenerate_usec = now + s->regenerate_backoff_usec;
}

static void begin_next(Succession *s, usec_t now)
{
    _cleanup_free_ char *error = NULL;
    Config *config = NULL;
    int r = succession_load_config(s->options, &config, &error);

    if (r == 0)
        r = succession_begin(s, config, &error, now);
    if (r == 0)
        return;
    end_reload(s, error ? error : strerror(ENOMEM), now);
    schedule_regeneration(s, 0, now);
}

static bool begin_wanted(Succession *s, usec_t now)
{
    if (s->stopping || !s->started || s->candidate || s->rolling)
        return false;
    if (s->reload_wanted) {
        s->reload_wanted = false;
        s->reloading = true;
        notify_reloading(s->notifier, "Loading the next generation");
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

static void candidate_failed(Succession *s, usec_t now)
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

static void promote_candidate(Succession *s, usec_t now)
{
    bool first = !s->started;

    s->rolling = !first;
    retire(s, &s->current, false, now);
    s->current = TAKE_PTR(s->candidate);
    s->current->proven = true;
    s->regenerate_usec = 0;
    s->started = true;
    log_init(s->options->site, s->current->config->log_level);
    if (!first)
        return;
    log_full(LOG_NOTICE, MESSAGE_STARTED, NULL, "Ready: %u workers, %u threads each", s->current->n_wanted,
             s->current->config->workers_threads);
    tell_ready(s, now);
}

/* At start, all workers must be ready. Later, the first one proves that the generation is good: what goes
 * wrong after that has other reasons than the code. */
static bool judge_candidate(Succession *s, usec_t now)
{
    Generation *g = s->candidate;

    if (!g || s->stopping)
        return false;
    if (g->failure || g->zygote == ZYGOTE_GONE)
        candidate_failed(s, now);
    else if (s->started ? generation_count(g).n_serving > 0 : generation_is_staffed(g))
        promote_candidate(s, now);
    else
        return false;
    return true;
}

static unsigned count_serving_retired(const Succession *s)
{
    unsigned n = 0;

    for (const Generation *g = s->retired; g; g = g->next)
        n += generation_count(g).n_serving;
    return n;
}

/* The one that has the least to finish, as nobody takes its place before it is gone. */
static void drain_one_retired(Succession *s, usec_t now)
{
    Generation *idlest = NULL;
    unsigned seat = 0, least = UINT32_MAX;

    for (Generation *g = s->retired; g; g = g->next)
        for (unsigned i = 0; i < g->n_seats; i++) {
            unsigned n_busy = generation_count_busy(g, i);

            if (g->seats[i].state == SEAT_SERVING && n_busy < least) {
                idlest = g;
                seat = i;
                least = n_busy;
            }
        }
    if (idlest)
        generation_drain(idlest, seat, now);
}

/* One old worker for each new one that serves; and all that are left when all of those are there. */
static bool replace_retired(Succession *s, usec_t now)
{
    unsigned n_old = count_serving_retired(s), n_all, n_surplus;

    if (!s->current || n_old == 0)
        return false;
    n_all = n_old + generation_count(s->current).n_serving;
    n_surplus = n_all - MIN(n_all, s->current->n_wanted);
    for (unsigned i = 0; i < n_surplus; i++)
        drain_one_retired(s, now);
    return n_surplus > 0;
}

/* When only current accepts connections, so that who waits for the reload's end gets answers of the new code
 * alone. */
static usec_t rolled_at(const Succession *s)
{
    usec_t at = generation_is_staffed(s->current) ? 0 : NEVER;

    for (const Generation *g = s->retired; g; g = g->next) {
        usec_t quiet = generation_quiet_at(g);

        at = quiet > at ? quiet : at;
    }
    return at;
}

/* A worker that fails now ends the reload, not the generation: it is tried again, and the old worker that it
 * is to replace goes on until then. */
static bool finish_rolling(Succession *s, usec_t now)
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

static bool sweep(Succession *s)
{
    bool changed = false;

    for (Generation **at = &s->retired; *at;) {
        Generation *g = *at;

        if (!generation_is_gone(g)) {
            at = &g->next;
            continue;
        }
        *at = g->next;
        generation_free(g);
        changed = true;
    }
    return changed;
}

/* How many processes there may be: as many as should serve, of the generation that wants most, and the surge. */
static unsigned n_workers_max(const Succession *s)
{
    const Generation *first[] = {s->candidate, s->current, s->retired};
    unsigned n_wanted = 0, n_surge = 0;

    for (size_t i = 0; i < ELEMENTSOF(first); i++)
        for (const Generation *g = first[i]; g; g = g->next)
            n_wanted = g->n_wanted > n_wanted ? g->n_wanted : n_wanted;
    if (s->current)
        n_surge = s->current->config->reload_surge;
    return n_wanted + n_surge;
}

/* Workers that the generation may ask for now: all at the start; later as far as the surge allows, and one alone before
 * it has proven itself. */
static unsigned n_more(const Succession *s, const Generation *g)
{
    unsigned n_workers = count_all(s).n_workers, max = n_workers_max(s);
    unsigned room = max - MIN(max, n_workers);

    if (!s->started)
        return UINT32_MAX;
    if (g == s->candidate)
        return generation_count(g).n_workers > 0 ? 0 : MIN(room, 1u);
    return room;
}

static usec_t advance_generations(Succession *s, usec_t now)
{
    Generation *first[] = {s->candidate, s->current, s->retired};
    usec_t next = NEVER;

    for (size_t i = 0; i < ELEMENTSOF(first); i++)
        for (Generation *g = first[i]; g; g = g->next) {
            usec_t due = generation_advance(g, n_more(s, g), now);

            next = MIN(next, due);
        }
    return next;
}

/* The last resort. Without a service manager, tries go on. */
static usec_t ask_for_restart(Succession *s, usec_t now)
{
    usec_t at = s->started && !s->stopping ? generation_hopeless_at(s->current) : NEVER;
    char text[STATUS_TEXT_MAX];

    if (at > now)
        return at;
    log_full(LOG_ERR, MESSAGE_HOPELESS, NULL, "No worker has served for %" PRIu64 " s%s%s",
             (now - s->current->unserved_usec) / USEC_PER_SEC, s->current->failure ? ": " : "",
             s->current->failure ? s->current->failure : "");
    notify_hopeless(s->notifier, succession_describe(s, text));
    s->current->unserved_usec = now;
    return generation_hopeless_at(s->current);
}

/* Until nothing follows from anything any more; returns when something will. */
usec_t succession_advance(Succession *s, usec_t now)
{
    usec_t next, due;
    bool changed;

    do {
        next = advance_generations(s, now);
        changed = judge_candidate(s, now);
        changed |= replace_retired(s, now);
        changed |= finish_rolling(s, now);
        changed |= begin_wanted(s, now);
        changed |= sweep(s);
    } while (changed);

    due = ask_for_restart(s, now);
    next = MIN(next, due);
    due = status_extend(&s->status, s->notifier, !s->started || s->reloading || s->stopping, now);
    next = MIN(next, due);
    if (s->rolling && !s->stopping) {
        due = rolled_at(s);
        next = MIN(next, due);
    }
    if (s->current && !s->candidate && s->current->zygote == ZYGOTE_GONE)
        next = MIN(next, s->regenerate_usec);
    return next;
}

/* --- from the outside --- */

void succession_resize(Succession *s, int by, usec_t now)
{
    if (s->current)
        generation_resize(s->current, by, now);
}

void succession_kill(Succession *s, usec_t now)
{
    for (Generation *g = s->retired; g; g = g->next)
        generation_kill(g, now);
}

bool succession_on_exit(Succession *s, const siginfo_t *exit, usec_t now)
{
    Generation *first[] = {s->candidate, s->current, s->retired};

    for (size_t i = 0; i < ELEMENTSOF(first); i++)
        for (Generation *g = first[i]; g; g = g->next)
            if (generation_on_exit(g, exit, now))
                return true;
    return false;
}

void succession_deinit(Succession *s)
{
    Generation *first[] = {s->candidate, s->current, s->retired};

    for (size_t i = 0; i < ELEMENTSOF(first); i++)
        while (first[i]) {
            Generation *g = first[i];

            first[i] = g->next;
            generation_free(g);
        }
    free(s->reload_failure);
    free(s->exit_reason);
}
