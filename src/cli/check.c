/* SPDX-License-Identifier: MIT */
/* `cgunicorn check [--ask] SITE|FILE`: parses the configuration and imports the application in a process that is thrown
 * away; with --ask, a worker of it also has to pass the check of a reload. What is wrong goes to stderr, or to the
 * journal as an error where stderr leads there (ExecReload=). */
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
#include <sys/prctl.h>
#include <sys/wait.h>

#define LEAVE_USEC (2 * USEC_PER_SEC)

static void say(const char *message_id, const char *text)
{
    if (log_is_journal())
        log_full(LOG_ERR, message_id, NULL, "%s", text);
    else
        fprintf(stderr, "%s\n", text);
}

static int complain_as(const char *message_id, const char *path, const char *what, int exit_status)
{
    _cleanup_free_ char *text = NULL;

    if (asprintf(&text, "%s: %s", path, what) < 0)
        text = NULL;
    say(message_id, text ? text : what);
    return exit_status;
}

static int complain(const char *path, const char *what, int exit_status)
{
    return complain_as(exit_status == EXIT_APP_FAILED ? MESSAGE_LOAD_FAILED : NULL, path, what, exit_status);
}

/* With develop.reload, an application that does not load would be no failure. */
static void leave_development(const char *path, Config *config)
{
    if (config->develop_reload)
        log_warning("%s: develop.reload is for development only: whoever can send requests sees tracebacks",
                    path);
    config->develop_reload = false;
}

/* 0, or an exit status, said why. */
static int load_config(const char *path, Config **ret)
{
    static char *const overrides[] = {(char *)"workers.preload=yes", (char *)"log.access=off", NULL};
    _cleanup_free_ char *data = NULL, *error = NULL;
    size_t size;
    int r = config_read_file(path, &data, &size, &error);

    if (r == 0)
        r = config_parse(data, size, path, overrides, ret, &error);
    if (r < 0)
        return complain(path, strerror(-r), EXIT_OS);
    if (r > 0)
        say(MESSAGE_CONFIG_INVALID, error);
    if (r == 0)
        leave_development(path, *ret);
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

/* 0, CHANNEL_E_EOF, -ETIMEDOUT or another negative errno. */
static int receive(int channel, usec_t deadline, Message *ret)
{
    int r;

    do
        r = wait_for(channel, deadline) ? channel_receive(channel, ret) : -ETIMEDOUT;
    while (r == -EAGAIN);
    if (r == 0)
        message_close_fds(ret);
    return r;
}

/* Why there was no message. */
static const char *describe_silence(int r, const char *what, const char *key, usec_t limit_usec,
                                    const siginfo_t *exit, char to[static MESSAGE_TEXT_MAX])
{
    char limit[FORMAT_VALUE_MAX];
    int n;

    if (r == -ETIMEDOUT) {
        snprintf(to, MESSAGE_TEXT_MAX, "the application was not %s within %s=%s", what, key,
                 format_duration(limit, limit_usec));
        return to;
    }
    n = snprintf(to, MESSAGE_TEXT_MAX, "the process in which it was being %s ", what);
    (void)report_describe_exit(exit, to + n, MESSAGE_TEXT_MAX - (size_t)n);
    return to;
}

/* 0 or negative errno. */
static int spawn_worker(int zygote, int *ret_channel, pid_t *ret_pid)
{
    _cleanup_close_ int ours = -EBADF, theirs = -EBADF;
    Message m = {.type = MESSAGE_SPAWN, .n_fds = 1};
    int ends[2], r = channel_new_pair(ends);

    if (r < 0)
        return r;
    ours = ends[0];
    m.fds[0] = theirs = ends[1];
    r = channel_send(zygote, &m);
    if (r == 0)
        r = receive(zygote, clock_now_usec() + LEAVE_USEC, &m);
    if (r != 0)
        return r < 0 ? r : -EPIPE;
    if (m.type != MESSAGE_SPAWNED || m.pid <= 0)
        return m.pid < 0 ? m.pid : -EPROTO;
    *ret_channel = TAKE_FD(ours);
    *ret_pid = m.pid;
    return 0;
}

/* The check of a reload: see worker/check.h. */
static int ask(const char *path, const Config *config, int zygote)
{
    Message m = {.type = MESSAGE_GO, .text = CHANNEL_GO_CHECK};
    usec_t deadline = clock_now_usec() + config->reload_check_timeout;
    siginfo_t exit = {0};
    pid_t pid = 0;
    int channel = -EBADF, r = spawn_worker(zygote, &channel, &pid);

    if (r < 0)
        return complain(path, strerror(-r), EXIT_OS);
    r = channel_send(channel, &m);
    while (r == 0 && m.type != MESSAGE_READY && m.type != MESSAGE_FAILED)
        r = receive(channel, deadline, &m);
    close(channel);
    end_process(pid, r == -ETIMEDOUT ? SIGABRT : 0, &exit);
    if (r != 0)
        describe_silence(r, "asked reload.check_path", "reload.check_timeout", config->reload_check_timeout,
                         &exit, m.text);
    else if (m.type == MESSAGE_READY)
        return EXIT_OK;
    return complain_as(MESSAGE_CHECK_FAILED, path, m.text, EXIT_APP_FAILED);
}

/* The exit status of the check, said why. */
static int judge(const char *path, const Config *config, const char *program, int channel, pid_t pid,
                 bool asks)
{
    siginfo_t exit = {0};
    int status = EXIT_OK, r;
    Message m;

    r = receive(channel, clock_now_usec() + config->timeouts_load, &m);
    if (r == 0 && m.type == MESSAGE_LOADED && asks && config->reload_check_path)
        status = ask(path, config, channel);
    close(channel);
    end_process(pid, r == -ETIMEDOUT ? SIGABRT : 0, &exit);
    if (r != 0)
        describe_silence(r, "loaded", "timeouts.load", config->timeouts_load, &exit, m.text);
    if (r != 0 || m.type != MESSAGE_LOADED)
        return complain(path, m.text, EXIT_APP_FAILED);
    if (status == EXIT_OK)
        printf("%s: ok, Python %.*s in %s\n", path, (int)strcspn(m.text, " "), m.text, program);
    return status;
}

static int load_application(const char *path, const char *site, const Config *config, bool asks)
{
    _cleanup_(scoreboard_freep) Scoreboard *scoreboard = NULL;
    _cleanup_(totals_freep) Totals *totals = NULL;
    _cleanup_close_ int totals_fd = -EBADF;
    _cleanup_(worker_program_clear) WorkerProgram program = {0};
    _cleanup_free_ char *error = NULL;
    int channel, r = worker_program_find(config, &program, &error);
    pid_t pid;

    if (r == WORKER_PROGRAM_E_NONE)
        return complain(path, error, EXIT_CONFIG);
    if (r == 0)
        r = scoreboard_new(config_staff(config).n_seats, config_staff(config).n_slots, &scoreboard);
    if (r == 0)
        r = totals_new(&totals, &totals_fd);
    if (r == 0)
        r = worker_program_start(&program, config, site, &channel, &pid);
    if (r < 0)
        return complain(path, strerror(-r), EXIT_OS);
    r = worker_program_greet(channel, site, 1, config, scoreboard->fd, totals_fd, NULL, NULL, 0);
    if (r < 0) {
        siginfo_t exit;

        close(channel);
        end_process(pid, SIGKILL, &exit);
        return complain(path, strerror(-r), EXIT_OS);
    }
    return judge(path, config, program.path, channel, pid, asks);
}

int check_main(int argc, char **argv)
{
    _cleanup_(config_freep) Config *config = NULL;
    _cleanup_free_ char *path = NULL, *site = NULL;
    bool asks = argc == 3 && strcmp(argv[1], "--ask") == 0;
    const char *subject = argv[argc - 1];
    int r;

    if ((argc != 2 && !asks) || subject[0] == '-') {
        FILE *to = argc == 2 && strcmp(argv[1], "--help") == 0 ? stdout : stderr;

        fprintf(to, "Usage: cgunicorn check [--ask] SITE|FILE.ini\n\n"
                    "Parses the configuration and imports the application in a process of its own.\n"
                    "--ask: there it also has to answer reload.check_path, where that is set.\n"
                    "Exit status: 0 ok, 78 the configuration is wrong, 70 the application does not load or "
                    "answer.\n");
        return to == stdout ? EXIT_OK : EXIT_USAGE;
    }
    path = config_site_name_is_valid(subject) ? site_path(subject) : strdup(subject);
    site = path ? site_name(path) : NULL;
    if (!site)
        return complain(subject, strerror(ENOMEM), EXIT_OS);
    log_init(site, LOG_INFO);
    /* The worker becomes a child of this process, as it does of the supervisor. */
    if (asks && prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
        return complain(path, strerror(errno), EXIT_OS);
    r = load_config(path, &config);
    return r != 0 ? r : load_application(path, site, config, asks);
}
