/* SPDX-License-Identifier: MIT */
/* How ends are described, and that the application can't write into the log through the scoreboard. */
#include "supervisor/report.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "tap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void test_describe_exit(void)
{
    static const struct {
        siginfo_t exit;
        const char *text;
    } cases[] = {
        {{.si_code = CLD_EXITED, .si_status = 0}, "exited with status 0"},
        {{.si_code = CLD_EXITED, .si_status = 70}, "exited with status 70"},
        {{.si_code = CLD_KILLED, .si_status = SIGKILL}, "was killed by signal 9 (SIGKILL)"},
        {{.si_code = CLD_KILLED, .si_status = SIGKILL, .si_errno = ENOMEM},
         "was killed by signal 9 (SIGKILL), by the kernel as memory ran out"},
        {{.si_code = CLD_DUMPED, .si_status = SIGSEGV}, "was killed by signal 11 (SIGSEGV) and dumped core"},
    };
    char to[80];

    for (size_t i = 0; i < ELEMENTSOF(cases); i++)
        is_string(report_describe_exit(&cases[i].exit, to, sizeof(to)), cases[i].text);
}

static void test_last_line(void)
{
    static const char *const cases[][2] = {
        {"one", "one"}, {"one\ntwo\n", "two"}, {"Traceback\n  File\nValueError: x\n\n \n", "ValueError: x"},
        {"", ""},       {"\n\n", ""},
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        _cleanup_free_ char *line = report_last_line(cases[i][0]);

        is_string(line, cases[i][1]);
    }
}

/* What a death with these scoreboard contents writes to stderr. */
static char *died(const Scoreboard *b, char *to, size_t size)
{
    static const siginfo_t killed = {.si_code = CLD_KILLED, .si_status = SIGKILL};
    const ReportSubject who = {.generation = 7, .seat = 1, .pid = 123};
    int ends[2], saved = dup(STDERR_FILENO);
    ssize_t n;

    if (pipe(ends) < 0 || dup2(ends[1], STDERR_FILENO) < 0)
        return NULL;
    report_died(&who, b, &killed, 5 * USEC_PER_SEC);
    (void)dup2(saved, STDERR_FILENO);
    n = read(ends[0], to, size - 1);
    to[n > 0 ? n : 0] = '\0';
    close(ends[0]);
    close(ends[1]);
    close(saved);
    return to;
}

static void test_requests(void)
{
    _cleanup_(scoreboard_freep) Scoreboard *b = NULL;
    ScoreboardSlot *slot;
    char to[4096];

    if (!ok(scoreboard_new(2, 2, &b) == 0))
        return;
    ok(strstr(died(b, to, sizeof(to)),
              "Worker 1 of generation 7 (pid 123) was killed by signal 9 (SIGKILL)\n"));
    slot = scoreboard_slot(b, 1, 1);
    strcpy(slot->request, "GET /slow HTTP/1.1");
    atomic_store(&slot->started_usec, 3 * USEC_PER_SEC);
    ok(strstr(died(b, to, sizeof(to)), "(SIGKILL) while it ran GET /slow HTTP/1.1 (for 2.0 s)\n"));

    /* Not terminated, with a line break, of the future. */
    memset(slot->request, 'x', sizeof(slot->request));
    slot->request[4] = '\n';
    atomic_store(&slot->started_usec, UINT64_MAX);
    ok(strstr(died(b, to, sizeof(to)), "xxxx\\x0axxx"));
    ok(strstr(to, "(for 0.0 s)\n"));
}

int main(void)
{
    unsetenv("JOURNAL_STREAM");
    log_init("", LOG_INFO);
    test_describe_exit();
    test_last_line();
    test_requests();
    return tap_done();
}
