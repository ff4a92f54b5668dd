/* SPDX-License-Identifier: MIT */
/* What the supervisor says about its children. */
#include "supervisor/report.h"

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/escape.h"
#include "base/log.h"
#include "base/message-ids.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define REQUESTS_QUOTED_MAX 8

typedef struct Fields {
    char worker[32];
    char generation[32];
    char pid[32];
    const char *list[4];
} Fields;

/* The same names as the workers' own records have. */
static const char *const *fields(Fields *f, const ReportSubject *who)
{
    size_t n = 0;

    (void)snprintf(f->generation, sizeof(f->generation), "GENERATION=%u", who->generation);
    f->list[n++] = f->generation;
    (void)snprintf(f->pid, sizeof(f->pid), "WORKER_PID=%d", (int)who->pid);
    f->list[n++] = f->pid;
    if (who->seat >= 0) {
        (void)snprintf(f->worker, sizeof(f->worker), "WORKER=%d", who->seat);
        f->list[n++] = f->worker;
    }
    f->list[n] = NULL;
    return f->list;
}

#define SUBJECT_MAX 80
static char *describe(const ReportSubject *who, char to[static SUBJECT_MAX])
{
    if (who->seat >= 0)
        (void)snprintf(to, SUBJECT_MAX, "Worker %d of generation %u (pid %d)", who->seat, who->generation,
                       (int)who->pid);
    else
        (void)snprintf(to, SUBJECT_MAX, "The zygote of generation %u (pid %d)", who->generation,
                       (int)who->pid);
    return to;
}

char *report_describe_exit(const siginfo_t *exit, char *to, size_t size)
{
    const char *name = exit->si_code == CLD_EXITED ? NULL : sigabbrev_np(exit->si_status);

    if (exit->si_code == CLD_EXITED)
        (void)snprintf(to, size, "exited with status %d", exit->si_status);
    else
        (void)snprintf(to, size, "was killed by signal %d (%s%s)%s%s", exit->si_status, name ? "SIG" : "",
                       name ? name : "?", exit->si_code == CLD_DUMPED ? " and dumped core" : "",
                       exit->si_errno == ENOMEM ? ", by the kernel as memory ran out" : "");
    return to;
}

#define QUOTED_MAX (4 * SCOREBOARD_REQUEST_MAX)
static char *quote(const ScoreboardSlot *slot, char to[static QUOTED_MAX])
{
    char copy[SCOREBOARD_REQUEST_MAX];

    memcpy(copy, slot->request, sizeof(copy));
    copy[sizeof(copy) - 1] = '\0';
    (void)escape_bytes(to, QUOTED_MAX, span_of(copy));
    return to;
}

/* A clock in the future is a lie of whoever wrote it. */
static double age_seconds(usec_t started_usec, usec_t now)
{
    return started_usec < now ? (double)(now - started_usec) / (double)USEC_PER_SEC : 0;
}

/* " while it ran GET /a HTTP/1.1 (for 1.5 s), …", or nothing. */
static void append_requests(Buffer *to, const Scoreboard *b, int seat, usec_t now)
{
    unsigned n = 0;

    for (unsigned i = 0; b && seat >= 0 && i < b->n_slots && n < REQUESTS_QUOTED_MAX; i++) {
        const ScoreboardSlot *slot = scoreboard_slot(b, (unsigned)seat, i);
        uint64_t started = atomic_load(&slot->started_usec);
        char text[QUOTED_MAX];

        if (started > 0)
            (void)buffer_printf(to, "%s%s (for %.1f s)", n++ == 0 ? " while it ran " : ", ",
                                quote(slot, text), age_seconds(started, now));
    }
    (void)buffer_append(to, "", 1);
}

static const char *requests_text(const Buffer *b)
{
    return buffer_size(b) > 0 ? buffer_head(b) : "";
}

void report_died(const ReportSubject *who, const Scoreboard *b, const siginfo_t *exit, usec_t now)
{
    char subject[SUBJECT_MAX], how[80];
    Buffer requests;
    Fields f;

    buffer_init(&requests);
    append_requests(&requests, b, who->seat, now);
    log_full(LOG_ERR, MESSAGE_WORKER_DIED, fields(&f, who), "%s %s%s", describe(who, subject),
             report_describe_exit(exit, how, sizeof(how)), requests_text(&requests));
    buffer_deinit(&requests);
}

void report_load_failed(const ReportSubject *who, const char *text)
{
    char subject[SUBJECT_MAX];
    Fields f;

    log_full(LOG_ERR, MESSAGE_LOAD_FAILED, fields(&f, who), "%s does not start: %s", describe(who, subject),
             text);
}

void report_check_failed(const ReportSubject *who, const char *text)
{
    char subject[SUBJECT_MAX];
    Fields f;

    log_full(LOG_ERR, MESSAGE_CHECK_FAILED, fields(&f, who), "%s does not serve: %s", describe(who, subject),
             text);
}

void report_request_timeout(const ReportSubject *who, const ScoreboardSlot *slot, usec_t started_usec,
                            usec_t limit_usec, usec_t now)
{
    char subject[SUBJECT_MAX], text[QUOTED_MAX], limit[FORMAT_VALUE_MAX];
    Fields f;

    log_full(LOG_ERR, MESSAGE_WORKER_TIMEOUT, fields(&f, who),
             "%s has run %s for %.1f s, longer than timeouts.request=%s, and does not react: killing it",
             describe(who, subject), quote(slot, text), age_seconds(started_usec, now),
             format_duration(limit, limit_usec));
}

void report_stopped(const ReportSubject *who, const siginfo_t *change)
{
    char subject[SUBJECT_MAX];
    Fields f;

    if (change->si_code == CLD_STOPPED)
        log_full(LOG_WARNING, NULL, fields(&f, who), "%s was stopped by signal %d (SIG%s): its clients wait",
                 describe(who, subject), change->si_status, sigabbrev_np(change->si_status));
    else
        log_full(LOG_NOTICE, NULL, fields(&f, who), "%s goes on", describe(who, subject));
}

void report_stays_stopped(const ReportSubject *who, const Scoreboard *b, usec_t limit_usec, usec_t now)
{
    char subject[SUBJECT_MAX], limit[FORMAT_VALUE_MAX];
    Buffer requests;
    Fields f;

    buffer_init(&requests);
    append_requests(&requests, b, who->seat, now);
    log_full(LOG_ERR, MESSAGE_WORKER_TIMEOUT, fields(&f, who),
             "%s has been stopped for longer than timeouts.request=%s%s: killing it", describe(who, subject),
             format_duration(limit, limit_usec), requests_text(&requests));
    buffer_deinit(&requests);
}

void report_stuck(const ReportSubject *who, const Scoreboard *b, const char *doing, const char *key,
                  usec_t limit_usec, usec_t now)
{
    char subject[SUBJECT_MAX], limit[FORMAT_VALUE_MAX];
    Buffer requests;
    Fields f;

    buffer_init(&requests);
    append_requests(&requests, b, who->seat, now);
    log_full(LOG_ERR, MESSAGE_WORKER_TIMEOUT, fields(&f, who), "%s is not done %s after %s=%s%s: killing it",
             describe(who, subject), doing, key, format_duration(limit, limit_usec),
             requests_text(&requests));
    buffer_deinit(&requests);
}

void report_nonsense(const ReportSubject *who, const char *what)
{
    char subject[SUBJECT_MAX];
    Fields f;

    log_full(LOG_ERR, MESSAGE_NONSENSE, fields(&f, who),
             "%s sent %s to the supervisor, as no code of ours does: replacing it", describe(who, subject),
             what);
}

void report_replacing(const ReportSubject *who, const char *why)
{
    char subject[SUBJECT_MAX];
    Fields f;

    log_full(LOG_INFO, NULL, fields(&f, who), "%s is to be replaced: %s", describe(who, subject), why);
}

char *report_last_line(const char *text)
{
    const char *end = text + strlen(text), *start;

    while (end > text && strchr(" \t\r\n", end[-1]))
        end--;
    for (start = end; start > text && start[-1] != '\n'; start--)
        ;
    return strndup(start, (size_t)(end - start));
}
