/* SPDX-License-Identifier: MIT */
/* Messages of the server itself: native journal records where stderr is the journal's (JOURNAL_STREAM, see
 * systemd.exec(5)), else lines on stderr. The only caller of sd_journal_send(). Thread-safe after log_init().
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <syslog.h>

/* site: "" in the foreground without one; copied. level: LOG_DEBUG … LOG_CRIT, the least urgent still shown.
 * Looks at fd 2 and JOURNAL_STREAM. */
void log_init(const char *site, int level);

/* From now on every record carries WORKER= and GENERATION=. worker < 0: the zygote, GENERATION= only. */
void log_set_worker(int worker, unsigned generation);

/* Whether messages of that priority are shown: for those that are dear to make. */
bool log_shows(int priority);

/* Whether records go to the journal as such. */
bool log_is_journal(void);

/* message_id: one of base/message-ids.h or NULL. fields: "KEY=value" strings, NULL-terminated, or NULL.
 * The message may have several lines: one record in the journal. Never fails, never blocks for long: what
 * can't be written is counted and said when it is possible again. */
void log_full(int priority, const char *message_id, const char *const fields[], const char *format, ...)
    __attribute__((__format__(__printf__, 4, 5)));

/* The same for a line of the access log, which no level keeps back. */
void log_access(int priority, const char *const fields[], const char *format, ...)
    __attribute__((__format__(__printf__, 3, 4)));

#define log_debug(...) log_full(LOG_DEBUG, NULL, NULL, __VA_ARGS__)
#define log_info(...) log_full(LOG_INFO, NULL, NULL, __VA_ARGS__)
#define log_notice(...) log_full(LOG_NOTICE, NULL, NULL, __VA_ARGS__)
#define log_warning(...) log_full(LOG_WARNING, NULL, NULL, __VA_ARGS__)
#define log_error(...) log_full(LOG_ERR, NULL, NULL, __VA_ARGS__)

/* A new stream to the journal whose lines carry the identifier and the priority (sd_journal_stream_fd(3),
 * lines may begin with <N>); the caller closes it. -ENOTCONN where records do not go to the journal. */
int log_open_stream(int priority);
