/* SPDX-License-Identifier: MIT */
/* `cgunicorn check SITE|FILE`: parses the configuration and imports the application in a process that is
 * thrown away. What is wrong goes to stderr, or to the journal as an error where stderr leads there (ExecReload=). */
#include "cli/check.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/message-ids.h"
#include "cli/site.h"
#include "config/staff.h"
#include "ipc/channel.h"
#include "ipc/scoreboard.h"
#include "ipc/totals.h"
#include "supervisor/report.h"
#include "supervisor/supervisor.h"
#include "supervisor/worker-program.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>

#define LEAVE_USEC (2 * USEC_PER_SEC)

static void say(const char *message_id, const char *text)
{
    if (log_is_journal())
        log_full(LOG_ERR, message_id, NULL, "%s", text);
    else
        fprintf(stderr, "%s\n", text);
}

static int complain(const char *path, const char *what, int exit_status)
{
    _cleanup_free_ char *text = NULL;

    if (asprintf(&text, "%s: %s", path, what) < 0)
        text = NULL;
    say(exit_status == EXIT_APP_FAILED ? MESSAGE_LOAD_FAILED : NULL, text ? text : what);
    return exit_status;
}

/* 0, or an exit status, said why. */
static int load_config(const char *path, Config **ret)
{
    static char *const overrides[] = {(char *)"workers.preload=yes", NULL};
    _cleanup_free_ char *data = NULL, *error = NULL;
    size_t size;
    int r = config_read_file(path, &data, &size, &error);

    if (r == 0)
        r = config_parse(data, size, path, overrides, ret, &error);
    if (r < 0)
        return complain(path, strerror(-r), EXIT_OS);
    if (r > 0)
        say(MESSAGE_CONFIG_INVALID, error);
    return r > 0 ? EXIT_CONFIG : 0;
}

/* Waits until fd is readable or the time is up. False: it is. */
static bool wait_for(int fd, usec_t deadline)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    for (;;) {
        usec_t now = clock_now_usec();
        int r;

        if (now >= deadline)
            return false;
        r = poll(&p, 1, (int)((deadline - now) / USEC_PER_MSEC + 1));
        if (r > 0)
            return true;
    }
}

/* At the end of its channel the process goes by itself; else it is made to. */
static void end_process(pid_t pid, int signal_number, siginfo_t *ret_exit)
{
    _cleanup_close_ int fd = pidfd_open(pid, 0);

    if (signal_number > 0)
        (void)kill(pid, signal_number);
    if (fd < 0 || !wait_for(fd, clock_now_usec() + LEAVE_USEC))
        (void)kill(pid, SIGKILL);
    while (waitid(P_PID, (id_t)pid, ret_exit, WEXITED) < 0 && errno == EINTR)
        ;
}

/* The exit status of the check, said why. */
static int judge(const char *path, const Config *config, int channel, pid_t pid)
{
    usec_t deadline = clock_now_usec() + config->timeouts_load;
    char limit[FORMAT_VALUE_MAX], text[MESSAGE_TEXT_MAX];
    siginfo_t exit = {0};
    Message m;
    int r;

    do
        r = wait_for(channel, deadline) ? channel_receive(channel, &m) : -ETIMEDOUT;
    while (r == -EAGAIN);
    if (r == 0)
        message_close_fds(&m);
    close(channel);
    end_process(pid, r == -ETIMEDOUT ? SIGABRT : 0, &exit);
    if (r == 0 && m.type == MESSAGE_LOADED) {
        printf("%s: ok\n", path);
        return EXIT_OK;
    }
    if (r == 0)
        return complain(path, m.text, EXIT_APP_FAILED);
    if (r == -ETIMEDOUT) {
        snprintf(text, sizeof(text), "the application was not loaded within timeouts.load=%s",
                 format_duration(limit, config->timeouts_load));
        return complain(path, text, EXIT_APP_FAILED);
    }
    r = snprintf(text, sizeof(text), "the process that loaded the application ");
    (void)report_describe_exit(&exit, text + r, sizeof(text) - (size_t)r);
    return complain(path, text, EXIT_APP_FAILED);
}

static int load_application(const char *path, const char *site, const Config *config)
{
    _cleanup_(scoreboard_freep) Scoreboard *scoreboard = NULL;
    _cleanup_(totals_freep) Totals *totals = NULL;
    _cleanup_close_ int totals_fd = -EBADF;
    _cleanup_free_ char *program = NULL, *error = NULL;
    int channel, r = worker_program_find(config->app_virtualenv, &program, &error);
    pid_t pid;

    if (r == WORKER_PROGRAM_E_NONE)
        return complain(path, error, EXIT_CONFIG);
    if (r == 0)
        r = scoreboard_new(config_staff(config).n_seats, config->workers_threads, &scoreboard);
    if (r == 0)
        r = totals_new(&totals, &totals_fd);
    if (r == 0)
        r = worker_program_start(program, site, &channel, &pid);
    if (r < 0)
        return complain(path, strerror(-r), EXIT_OS);
    r = worker_program_greet(channel, site, 1, config, scoreboard->fd, totals_fd, NULL, 0);
    if (r < 0 && r != -EPIPE) {
        siginfo_t exit;

        close(channel);
        end_process(pid, SIGKILL, &exit);
        return complain(path, strerror(-r), EXIT_OS);
    }
    return judge(path, config, channel, pid);
}

int check_main(int argc, char **argv)
{
    _cleanup_(config_freep) Config *config = NULL;
    _cleanup_free_ char *path = NULL, *site = NULL;
    int r;

    if (argc != 2 || argv[1][0] == '-') {
        FILE *to = argc == 2 && strcmp(argv[1], "--help") == 0 ? stdout : stderr;

        fprintf(to, "Usage: cgunicorn check SITE|FILE.ini\n\n"
                    "Parses the configuration and imports the application in a process of its own.\n"
                    "Exit status: 0 ok, 78 the configuration is wrong, 70 the application does not load.\n");
        return to == stdout ? EXIT_OK : EXIT_USAGE;
    }
    path = config_site_name_is_valid(argv[1]) ? site_path(argv[1]) : strdup(argv[1]);
    site = path ? site_name(path) : NULL;
    if (!site)
        return complain(argv[1], strerror(ENOMEM), EXIT_OS);
    log_init(site, LOG_INFO);
    r = load_config(path, &config);
    return r != 0 ? r : load_application(path, site, config);
}
