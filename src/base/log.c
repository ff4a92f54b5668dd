/* SPDX-License-Identifier: MIT */
/* Where messages go. Without locks and without waiting: a log that can't take a message loses it, and says
 * later how many it lost. */
#include "base/log.h"

#include "base/cleanup.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define SD_JOURNAL_SUPPRESS_LOCATION /* the place would always be here */
#include <systemd/sd-journal.h>

#define FIELDS_MAX 32 /* of one record */
#define PREFIX_MAX 96 /* of a line */
#define WAIT_MSEC 20  /* for a log that is busy; not at all while it loses messages */

typedef struct Log {
    bool journal;
    int level;
    char identifier[96]; /* this and the next: "KEY=value", "" for none */
    char site[96];
    char worker[32];
    char generation[32];
    atomic_int probe; /* see journal_is_ready(); -1: none yet */
    _Atomic uint64_t n_lost;
    atomic_bool losing; /* the last message was lost */
    atomic_bool torn;   /* the last line on stderr has no end */
} Log;

/* A message with room before it for what its destination puts there. */
typedef struct Text {
    char small[PREFIX_MAX + 1024];
    char *large;
    char *start;
    size_t size;
} Text;

static Log state = {.level = LOG_INFO, .identifier = "SYSLOG_IDENTIFIER=cgunicorn", .probe = -1};

/* systemd.exec(5), JOURNAL_STREAM: device and inode of the stream, in decimal. */
static bool stderr_is_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    char expected[64];
    struct stat st;

    if (!stream || fstat(STDERR_FILENO, &st) < 0)
        return false;
    snprintf(expected, sizeof(expected), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
    return strcmp(stream, expected) == 0;
}

void log_init(const char *site, int level)
{
    state.level = level;
    state.journal = stderr_is_journal();
    snprintf(state.identifier, sizeof(state.identifier), "SYSLOG_IDENTIFIER=cgunicorn%s%s", *site ? "-" : "",
             site);
    snprintf(state.site, sizeof(state.site), "%s%s", *site ? "CGUNICORN_SITE=" : "", site);
}

void log_set_worker(int worker, unsigned generation)
{
    state.worker[0] = '\0';
    if (worker >= 0)
        snprintf(state.worker, sizeof(state.worker), "WORKER=%d", worker);
    snprintf(state.generation, sizeof(state.generation), "GENERATION=%u", generation);
}

bool log_shows(int priority)
{
    return priority <= state.level;
}

bool log_is_journal(void)
{
    return state.journal;
}

static bool is_writable(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    int r;

    do
        r = poll(&p, 1, state.losing ? 0 : WAIT_MSEC);
    while (r < 0 && errno == EINTR);
    return r > 0;
}

/* --- the journal --- */

/* A socket connected to the journal's, or -1. */
static int journal_probe(void)
{
    static const struct sockaddr_un address = {AF_UNIX, "/run/systemd/journal/socket"};
    int fd = state.probe, none = -1;

    if (fd >= 0)
        return fd;
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
        close(fd);
        return -1;
    }
    if (!atomic_compare_exchange_strong(&state.probe, &none, fd)) {
        close(fd); /* another thread was faster */
        return none;
    }
    return fd;
}

/* sd_journal_sendv() waits for as long as the journal's queue is full, which is for ever when journald hangs.
 * A connected datagram socket is not writable while its peer's queue is full (unix_dgram_poll() in Linux), so
 * one is asked before. Where there is no journal, sd_journal_sendv() returns at once. */
static bool journal_is_ready(void)
{
    int fd = journal_probe();

    return fd < 0 || is_writable(fd);
}

static void add_field(struct iovec *iov, int *n, const char *field)
{
    if (!field[0])
        return;
    assert(*n < FIELDS_MAX);
    iov[(*n)++] = (struct iovec){(char *)field, strlen(field)};
}

static bool write_record(int priority, const char *message_id, const char *const fields[], const Text *text)
{
    static const char key[] = "MESSAGE=";
    char priority_field[32], id_field[64] = "";
    struct iovec iov[FIELDS_MAX];
    int n = 1;

    memcpy(text->start - (sizeof(key) - 1), key, sizeof(key) - 1);
    iov[0] = (struct iovec){text->start - (sizeof(key) - 1), text->size + sizeof(key) - 1};
    snprintf(priority_field, sizeof(priority_field), "PRIORITY=%d", priority);
    add_field(iov, &n, priority_field);
    if (message_id)
        snprintf(id_field, sizeof(id_field), "MESSAGE_ID=%s", message_id);
    add_field(iov, &n, id_field);
    add_field(iov, &n, state.identifier);
    add_field(iov, &n, state.site);
    add_field(iov, &n, state.worker);
    add_field(iov, &n, state.generation);
    for (; fields && *fields; fields++)
        add_field(iov, &n, *fields);
    return journal_is_ready() && sd_journal_sendv(iov, n) >= 0;
}

/* --- stderr --- */

/* In one write(2), or in pieces of PIPE_BUF where a larger one might wait (pipe(7): a pipe that is writable
 * takes that many octets at once). */
static bool write_stderr(const char *data, size_t size)
{
    struct stat st;
    bool waits = fstat(STDERR_FILENO, &st) < 0 || !S_ISREG(st.st_mode);

    for (size_t done = 0; done < size;) {
        size_t piece = waits ? MIN(size - done, (size_t)PIPE_BUF) : size - done;
        ssize_t k = is_writable(STDERR_FILENO) ? write(STDERR_FILENO, data + done, piece) : -1;

        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0) {
            if (done > 0)
                state.torn = true;
            return false;
        }
        done += (size_t)k;
    }
    return true;
}

/* The line as gunicorn writes it, so that what reads its logs reads these. */
static bool write_line(int priority, const Text *text)
{
    static const char *const levels[] = {"CRITICAL", "CRITICAL", "CRITICAL", "ERROR",
                                         "WARNING",  "NOTICE",   "INFO",     "DEBUG"};
    time_t now = time(NULL);
    char prefix[PREFIX_MAX], date[40];
    bool torn = atomic_exchange(&state.torn, false);
    struct tm tm;
    size_t n;

    localtime_r(&now, &tm);
    strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S %z", &tm);
    n = (size_t)snprintf(prefix, sizeof(prefix), "%s[%s] [%d] [%s] ", torn ? "\n" : "", date, (int)getpid(),
                         levels[priority & LOG_PRIMASK]);
    memcpy(text->start - n, prefix, n);
    text->start[text->size] = '\n';
    if (write_stderr(text->start - n, n + text->size + 1))
        return true;
    if (torn)
        state.torn = true;
    return false;
}

/* --- both --- */

/* Formats into text; cut where there is no memory. One octet behind stays free for a newline. */
__attribute__((__format__(__printf__, 2, 0))) static void text_format(Text *text, const char *format,
                                                                      va_list ap)
{
    const size_t room = sizeof(text->small) - PREFIX_MAX;
    va_list again;
    int n;

    va_copy(again, ap);
    text->large = NULL;
    text->start = text->small + PREFIX_MAX;
    n = vsnprintf(text->start, room, format, ap);
    text->size = n < 0 ? 0 : MIN((size_t)n, room - 1);
    if (n > 0 && (size_t)n >= room) {
        text->large = malloc(PREFIX_MAX + (size_t)n + 1);
        if (text->large) {
            text->start = text->large + PREFIX_MAX;
            text->size = (size_t)n;
            vsnprintf(text->start, text->size + 1, format, again);
        }
    }
    va_end(again);
}

static bool write_message(int priority, const char *message_id, const char *const fields[], const Text *text)
{
    return state.journal ? write_record(priority, message_id, fields, text) : write_line(priority, text);
}

/* Says how many messages were lost, if any. False: the next one will be, too. */
static bool report_lost(void)
{
    uint64_t n_lost = atomic_exchange(&state.n_lost, 0);
    Text text;

    if (n_lost == 0)
        return true;
    text.start = text.small + PREFIX_MAX;
    text.size = (size_t)snprintf(text.start, sizeof(text.small) - PREFIX_MAX,
                                 "%" PRIu64 " messages lost: the log did not take them", n_lost);
    if (write_message(LOG_WARNING, NULL, NULL, &text))
        return true;
    atomic_fetch_add(&state.n_lost, n_lost);
    return false;
}

__attribute__((__format__(__printf__, 4, 0))) static void log_message(int priority, const char *message_id,
                                                                      const char *const fields[],
                                                                      const char *format, va_list ap)
{
    int saved_errno = errno;
    bool written;
    Text text;

    text_format(&text, format, ap);
    written = report_lost() && write_message(priority, message_id, fields, &text);
    if (!written)
        atomic_fetch_add(&state.n_lost, 1);
    state.losing = !written;
    free(text.large);
    errno = saved_errno;
}

void log_full(int priority, const char *message_id, const char *const fields[], const char *format, ...)
{
    va_list ap;

    if (!log_shows(priority))
        return;
    va_start(ap, format);
    log_message(priority, message_id, fields, format, ap);
    va_end(ap);
}

void log_access(int priority, const char *const fields[], const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    log_message(priority, NULL, fields, format, ap);
    va_end(ap);
}

int log_open_stream(int priority)
{
    int fd = state.journal ? sd_journal_stream_fd(strchr(state.identifier, '=') + 1, priority, 1) : -ENOTCONN;

    /* journald drops an empty line, but looks the sender's unit up at the first one: a process whose first line is its
     * last may be gone by then. */
    if (fd >= 0)
        (void)!write(fd, "\n", 1);
    return fd;
}
