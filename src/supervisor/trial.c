/* SPDX-License-Identifier: MIT */
/* The trial of a generation. */
#include "supervisor/trial.h"

#include "base/log.h"
#include "base/message-ids.h"
#include "config/staff.h"
#include "supervisor/report.h"
#include "supervisor/takeover.h"

#include <stdio.h>
#include <string.h>

#define NEVER UINT64_MAX

/* --- the end of a reload --- */

static void conclude(Succession *s, const char *failure, usec_t now)
{
    free(s->reload_failure);
    s->reload_failure = failure ? report_last_line(failure) : NULL;
    s->rolling = false;
    if (s->watch_end_usec == NEVER)
        s->watch_end_usec = now + s->current->config->reload_watch;
    if (s->reloading && !s->candidate) {
        succession_tell_ready(s, now);
        s->reloading = false;
    }
}

static void end_reload(Succession *s, const char *failure, usec_t now)
{
    if (failure)
        log_full(LOG_ERR, MESSAGE_RELOAD_FAILED, NULL, "Reload failed, generation %u goes on serving: %s",
                 s->current->number, failure);
    else
        log_full(LOG_NOTICE, MESSAGE_RELOADED, NULL, "Generation %u serves, with %u workers",
                 s->current->number, s->current->n_wanted);
    conclude(s, failure, now);
}

static void schedule_regeneration(Succession *s, usec_t lived_usec, usec_t now)
{
    if (s->current->zygote != ZYGOTE_GONE)
        return;
    s->regenerate_backoff_usec = seat_backoff_next(s->regenerate_backoff_usec, lived_usec);
    s->regenerate_usec = now + s->regenerate_backoff_usec;
}

/* --- begin --- */

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

bool trial_begin(Succession *s, usec_t now)
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

/* --- judge --- */

static void candidate_failed(Succession *s, usec_t now)
{
    _cleanup_free_ char *reason = strdup(s->candidate->failure ? s->candidate->failure : strerror(ENOMEM));

    takeover_retire(&s->candidate, s->started, now);
    if (!s->started) {
        succession_fail(s, EXIT_APP_FAILED, reason ? reason : "", now);
        return;
    }
    end_reload(s, reason ? reason : "", now);
    schedule_regeneration(s, 0, now);
}

static void promote_candidate(Succession *s, usec_t now)
{
    const ConfigStaff staff = config_staff(s->candidate->config);
    bool first = !s->started;

    s->rolling = !first;
    takeover_begin(s, now);
    s->regenerate_usec = 0;
    s->started = true;
    log_init(s->options->site, s->current->config->log_level);
    if (!first)
        return;
    log_full(LOG_NOTICE, MESSAGE_STARTED, NULL, "Ready: %u workers, %u %s each", s->current->n_wanted,
             staff.n_slots, staff.is_gevent ? "greenlets" : "threads");
    succession_tell_ready(s, now);
}

/* At start, all workers must be ready. Later, the first one proves that the generation is good: what goes
 * wrong after that has other reasons than the code. */
bool trial_judge(Succession *s, usec_t now)
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

/* Why there is no use in waiting for all of the new workers, or NULL. */
static const char *rolling_failure(const Succession *s)
{
    const Generation *g = s->current;

    if (g->failure)
        return g->failure;
    if (g->zygote == ZYGOTE_GONE)
        return "the zygote is gone";
    if (s->watch_end_usec == 0 && g->n_deaths > g->n_wanted)
        return "the new workers die again and again";
    return NULL;
}

/* A worker that fails now ends the reload, not the generation: it is tried again, and the old worker that it
 * is to replace goes on until then. */
bool trial_finish_rolling(Succession *s, usec_t now)
{
    const char *failure;

    if (!s->rolling || s->stopping)
        return false;
    if (takeover_done_at(s) <= now)
        end_reload(s, NULL, now);
    else if ((failure = rolling_failure(s)))
        end_reload(s, failure, now);
    else
        return false;
    return true;
}

/* --- back to the generation before --- */

static void roll_back(Succession *s, usec_t now)
{
    const Generation *bad = s->current;
    bool can = s->fallback && s->fallback->zygote == ZYGOTE_READY;
    char text[160], limit[FORMAT_VALUE_MAX];

    (void)snprintf(text, sizeof(text),
                   "%u workers of generation %u died within reload.watch=%s after it took over",
                   bad->n_deaths, bad->number, format_duration(limit, bad->config->reload_watch));
    s->watch_end_usec = 0;
    if (can) {
        log_full(LOG_ERR, MESSAGE_ROLLED_BACK, NULL, "%s: generation %u takes over again", text,
                 s->fallback->number);
        takeover_undo(s, now);
        conclude(s, text, now);
    } else {
        log_full(LOG_ERR, MESSAGE_NOT_ROLLED_BACK, NULL, "%s, and there is none to go back to", text);
        if (s->rolling)
            end_reload(s, text, now);
    }
    takeover_end_watch(s, now);
}

bool trial_watch(Succession *s, usec_t now)
{
    if (s->watch_end_usec == 0 || s->stopping)
        return false;
    if (s->current->n_deaths >= s->current->config->reload_rollback_deaths)
        roll_back(s, now);
    else if (s->watch_end_usec <= now)
        takeover_end_watch(s, now);
    else
        return false;
    return true;
}
