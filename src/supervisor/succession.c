/* SPDX-License-Identifier: MIT */
/* Which generation serves, which one comes, which ones go. What happened is only noted; succession_advance()
 * looks at the whole and does what follows from it. */
#include "supervisor/succession.h"

#include "base/log.h"
#include "base/message-ids.h"
#include "supervisor/report.h"
#include "supervisor/takeover.h"
#include "supervisor/trial.h"
#include "supervisor/worker-program.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define NEVER UINT64_MAX

/* --- how it stands --- */

static GenerationCount count_all(const Succession *s)
{
    GenerationCount sum = {0};

    for (const Generation *g = s->generations; g; g = g->next) {
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

/* Where requests waited in vain: how many, and what the queue between the workers did for the others. */
static int append_expired(const Succession *s, char *to, size_t size)
{
    uint64_t n = totals_expired(s->totals);

    *to = '\0';
    return n == 0 ? 0
                  : snprintf(to, size, ", %" PRIu64 " refused after limits.queue_time (%" PRIu64 " moved)", n,
                             totals_given(s->totals));
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
        n += append_expired(s, to + n, (size_t)(STATUS_TEXT_MAX - n));
        if (n < STATUS_TEXT_MAX)
            append_trouble(s, to + n, (size_t)(STATUS_TEXT_MAX - n));
    }
    return to;
}

void succession_tell_ready(Succession *s, usec_t now)
{
    char text[STATUS_TEXT_MAX];

    notify_ready(s->notifier, succession_describe(s, text));
    status_note(&s->status, text, now);
}

/* --- stop --- */

void succession_stop(Succession *s, usec_t now)
{
    usec_t limit = s->current ? s->current->config->timeouts_graceful : 0;

    s->stopping = true;
    takeover_end_watch(s, now);
    takeover_retire(&s->candidate, false, now);
    takeover_retire(&s->current, false, now);
    for (Generation *g = s->generations; g; g = g->next)
        generation_end(g, s->sockets_are_held, now);
    status_expect_work(&s->status, limit + 3 * SEAT_GRACE_USEC, now);
}

void succession_fail(Succession *s, int exit_status, const char *reason, usec_t now)
{
    s->exit_status = exit_status;
    s->exit_reason = report_last_line(reason);
    succession_stop(s, now);
}

/* --- a new generation --- */

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

static void on_source_changed(void *userdata, const char *path)
{
    Succession *s = userdata;

    log_info("%s has changed: loading the next generation", path);
    s->reload_wanted = true;
}

int succession_begin(Succession *s, Config *config, char **ret_error, usec_t now)
{
    usec_t each = config->timeouts_load + config->reload_check_timeout + config->timeouts_graceful;
    int r;

    if (config->develop_reload && !s->options->may_bind)
        log_warning("develop.reload is for development only: whoever can send requests sees tracebacks");
    watch_begin(&s->watch, s->event, config, on_source_changed, s);
    r = generation_new(s->event, s->options->site, ++s->n_generations, config, s->sockets, s->totals_fd,
                       &s->generations, ret_error);
    if (r == 0) {
        s->candidate = s->generations;
        s->candidate->watch = &s->watch;
        if (s->current)
            generation_succeed(s->candidate, s->current, now);
        status_expect_work(&s->status, (s->candidate->n_wanted + 2) * each, now);
    }
    if (r == WORKER_PROGRAM_E_NONE)
        return EXIT_CONFIG;
    return r < 0 ? succession_os_error("Cannot start the worker program", r, ret_error) : 0;
}

/* --- all of them --- */

static bool sweep(Succession *s)
{
    bool changed = false;

    for (Generation *g = s->generations, *next; g; g = next) {
        next = g->next;
        if (!succession_has_retired(s, g) || !generation_is_gone(g))
            continue;
        if (g == s->fallback)
            s->fallback = NULL;
        generation_free(g);
        changed = true;
    }
    return changed;
}

static usec_t advance_generations(Succession *s, usec_t now)
{
    usec_t next = NEVER;

    for (Generation *g = s->generations; g; g = g->next) {
        usec_t due = generation_advance(g, takeover_n_more(s, g), now);

        next = MIN(next, due);
    }
    return next;
}

/* The last resort, when nobody serves, of no generation. Without a service manager, tries go on. */
static usec_t ask_for_restart(Succession *s, usec_t now)
{
    char text[STATUS_TEXT_MAX];
    usec_t load, at;

    if (!s->started || s->stopping || count_all(s).n_serving > 0) {
        s->unserved_usec = 0;
        return NEVER;
    }
    load = s->current->config->timeouts_load;
    if (s->unserved_usec == 0)
        s->unserved_usec = now;
    at = staffing_hopeless_at(s->unserved_usec, load);
    if (at > now)
        return at;
    log_full(LOG_ERR, MESSAGE_HOPELESS, NULL, "No worker has served for %" PRIu64 " s%s%s",
             (now - s->unserved_usec) / USEC_PER_SEC, s->current->failure ? ": " : "",
             s->current->failure ? s->current->failure : "");
    notify_hopeless(s->notifier, succession_describe(s, text));
    s->unserved_usec = now;
    return staffing_hopeless_at(now, load);
}

/* Until nothing follows from anything any more; returns when something will. */
usec_t succession_advance(Succession *s, usec_t now)
{
    usec_t next, due;
    bool changed;

    do {
        next = advance_generations(s, now);
        changed = trial_judge(s, now);
        changed |= takeover_advance(s, now);
        changed |= trial_finish_rolling(s, now);
        changed |= trial_watch(s, now);
        changed |= trial_begin(s, now);
        changed |= sweep(s);
    } while (changed);

    due = ask_for_restart(s, now);
    next = MIN(next, due);
    due = status_extend(&s->status, s->notifier, !s->started || s->reloading || s->stopping, now);
    next = MIN(next, due);
    if (s->rolling && !s->stopping) {
        due = takeover_done_at(s);
        next = MIN(next, due);
    }
    if (s->watch_end_usec > 0)
        next = MIN(next, s->watch_end_usec);
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

void succession_relieve(Succession *s, usec_t now)
{
    if (s->current)
        generation_relieve(s->current, now);
}

void succession_kill(Succession *s, usec_t now)
{
    for (Generation *g = s->generations; g; g = g->next)
        generation_kill(g, now);
}

bool succession_on_change(Succession *s, const siginfo_t *change, usec_t now)
{
    for (Generation *g = s->generations; g; g = g->next)
        if (generation_on_change(g, change, now))
            return true;
    return false;
}

void succession_deinit(Succession *s)
{
    while (s->generations)
        generation_free(s->generations);
    watch_deinit(&s->watch);
    free(s->reload_failure);
    free(s->exit_reason);
}
