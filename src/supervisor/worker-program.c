/* SPDX-License-Identifier: MIT */
/* The worker program of a site's Python version. */
#include "supervisor/worker-program.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/pyvenv.h"
#include "base/sandbox.h"
#include "ipc/channel.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PROGRAM_PREFIX "cgunicorn-worker-"
#define CHANNEL_FD 3

static void closedirp(DIR **d)
{
    if (*d)
        closedir(*d);
}

static int virtualenv_version(const char *virtualenv, char ret_version[static PYVENV_VERSION_MAX],
                              char **ret_error)
{
    int r = pyvenv_read(virtualenv, ret_version);

    if (r == 0 || r == -ENOMEM)
        return r;
    if (r == PYVENV_E_NO_VERSION)
        r = asprintf(ret_error, "app.virtualenv: %s/pyvenv.cfg names no Python version", virtualenv);
    else
        r = asprintf(ret_error, "app.virtualenv: %s/pyvenv.cfg: %s%s", virtualenv, strerror(-r),
                     sandbox_hint(virtualenv));
    return r < 0 ? -ENOMEM : WORKER_PROGRAM_E_NONE;
}

/* "3.11, 3.13", or "none". */
static int list_installed(const char *directory, char **ret)
{
    _cleanup_(closedirp) DIR *d = opendir(directory);
    _cleanup_free_ char *list = NULL;
    const struct dirent *entry;

    while (d && (entry = readdir(d))) {
        char *longer;

        if (strncmp(entry->d_name, PROGRAM_PREFIX, strlen(PROGRAM_PREFIX)) != 0)
            continue;
        if (asprintf(&longer, "%s%s%s", list ? list : "", list ? ", " : "",
                     entry->d_name + strlen(PROGRAM_PREFIX)) < 0)
            return -ENOMEM;
        free(list);
        list = longer;
    }
    *ret = list ? TAKE_PTR(list) : strdup("none");
    return *ret ? 0 : -ENOMEM;
}

static int explain_absence(const char *directory, const char *virtualenv, const char *version, int error,
                           char **ret_error)
{
    _cleanup_free_ char *installed = NULL;
    int r = list_installed(directory, &installed);

    if (r < 0)
        return r;
    if (virtualenv)
        r = asprintf(ret_error,
                     "app.virtualenv: %s is of Python %s, and there is no worker program for it in %s "
                     "(there for: %s)",
                     virtualenv, version, directory, installed);
    else
        r = asprintf(ret_error, "%s/" PROGRAM_PREFIX "%s: %s (there for: %s)", directory, version,
                     strerror(error), installed);
    return r < 0 ? -ENOMEM : WORKER_PROGRAM_E_NONE;
}

int worker_program_find(const char *virtualenv, char **ret_path, char **ret_error)
{
    const char *directory = secure_getenv("CGUNICORN_LIBEXECDIR");
    char version[PYVENV_VERSION_MAX] = PYTHON_MINOR;
    _cleanup_free_ char *path = NULL;

    if (!directory)
        directory = LIBEXECDIR;
    if (virtualenv) {
        int r = virtualenv_version(virtualenv, version, ret_error);

        if (r != 0)
            return r;
    }
    if (asprintf(&path, "%s/" PROGRAM_PREFIX "%s", directory, version) < 0)
        return -ENOMEM;
    if (access(path, X_OK) < 0)
        return explain_absence(directory, virtualenv, version, errno, ret_error);
    *ret_path = TAKE_PTR(path);
    return 0;
}

/* Whether an entry of the environment belongs to a protocol between systemd and this process alone. The
 * application, too, may know sd_notify(3). */
static bool is_private(const char *entry)
{
    static const char *const prefixes[] = {"NOTIFY_SOCKET=", "WATCHDOG_", "LISTEN_", "FDSTORE=", "MAINPID"};

    for (size_t i = 0; i < ELEMENTSOF(prefixes); i++)
        if (strncmp(entry, prefixes[i], strlen(prefixes[i])) == 0)
            return true;
    return false;
}

/* A shallow copy: the strings are those of environ. */
static char **new_environment(void)
{
    size_t n = strv_length(environ), used = 0;
    char **copy = calloc(n + 1, sizeof(*copy));

    for (size_t i = 0; copy && i < n; i++)
        if (!is_private(environ[i]))
            copy[used++] = environ[i];
    return copy;
}

static void reset_signals(void)
{
    sigset_t none;

    for (int i = 1; i < _NSIG; i++)
        (void)signal(i, SIG_DFL);
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

/* In the child. What goes wrong is told through the channel, as any failure to load is. */
static void __attribute__((__noreturn__))
become(const char *path, char *title, char **environment, int channel)
{
    char *argv[] = {title, NULL};
    Message m = {.type = MESSAGE_FAILED};
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    (void)setpgid(0, 0);
    reset_signals();
    if (null >= 0)
        (void)dup2(null, STDIN_FILENO);
    if (channel == CHANNEL_FD)
        (void)fd_set_cloexec(CHANNEL_FD, false);
    else
        (void)dup2(channel, CHANNEL_FD);
    (void)close_range(CHANNEL_FD + 1, ~0U, CLOSE_RANGE_CLOEXEC);
    execve(path, argv, environment);
    (void)snprintf(m.text, sizeof(m.text), "%s: %s", path, strerror(errno));
    (void)channel_send(CHANNEL_FD, &m);
    _exit(EXIT_FAILURE);
}

int worker_program_start(const char *path, const char *site, int *ret_channel, pid_t *ret_pid)
{
    _cleanup_close_ int ours = -EBADF, theirs = -EBADF;
    _cleanup_free_ char **environment = new_environment();
    _cleanup_free_ char *title = NULL;
    int ends[2], r;
    pid_t pid;

    if (!environment || asprintf(&title, *site ? "cgunicorn: zygote [%s]" : "cgunicorn: zygote", site) < 0)
        return -ENOMEM;
    r = channel_new_pair(ends);
    if (r < 0)
        return r;
    ours = ends[0];
    theirs = ends[1];
    pid = fork();
    if (pid < 0)
        return -errno;
    if (pid == 0)
        become(path, title, environment, theirs);
    *ret_channel = TAKE_FD(ours);
    *ret_pid = pid;
    return 0;
}

int worker_program_greet(int channel, const char *site, unsigned generation, const Config *config,
                         int scoreboard_fd, int totals_fd, const int *listeners, size_t n_listeners)
{
    Message m = {.type = MESSAGE_HELLO, .generation = generation, .n_fds = 3 + n_listeners};
    _cleanup_free_ char *text = NULL;
    _cleanup_close_ int memory = -EBADF;
    int r = config_format(config, true, &text);

    if (r < 0)
        return r;
    memory = fd_new_sealed("cgunicorn-configuration", text, strlen(text));
    if (memory < 0)
        return memory;
    m.fds[0] = memory;
    m.fds[1] = scoreboard_fd;
    m.fds[2] = totals_fd;
    if (n_listeners > 0)
        memcpy(&m.fds[3], listeners, n_listeners * sizeof(*listeners));
    (void)snprintf(m.text, sizeof(m.text), "%s", site);
    return channel_send(channel, &m);
}
