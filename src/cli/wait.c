/* SPDX-License-Identifier: MIT */
/* Waits for the processes that a dead supervisor left behind in this control group. Which of them are workers is not
 * asked: under ProtectProc= and PrivateUsers= nothing but their numbers is to be seen, and what an application has
 * started for a request belongs to it. TimeoutStopSec= ends the waiting. */
#include "cli/wait.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/parse.h"
#include "supervisor/supervisor.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

#define FILE_MAX (1024 * 1024)

static int read_file(const char *path, char **ret)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t size;

    return fd < 0 ? -errno : fd_read_all(fd, FILE_MAX, ret, &size);
}

/* Of the unified hierarchy, cgroups(7); there is no other where systemd is new. */
static int find_group(char to[static PATH_MAX])
{
    _cleanup_free_ char *groups = NULL;
    const char *path;
    int r = read_file("/proc/self/cgroup", &groups);

    if (r < 0)
        return r;
    path = strncmp(groups, "0::", 3) == 0 ? groups : strstr(groups, "\n0::");
    if (!path)
        return -ENOENT;
    path = strchr(path, '/');
    if (!path)
        return -ENOENT;
    r = snprintf(to, PATH_MAX, "/sys/fs/cgroup%.*s/cgroup.procs", (int)strcspn(path, "\n"), path);
    return r < PATH_MAX ? 0 : -ENAMETOOLONG;
}

static int wait_for(pid_t pid)
{
    _cleanup_close_ int fd = pidfd_open(pid, 0);

    if (fd < 0)
        return errno == ESRCH ? 0 : -errno;
    return poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, -1) < 0 && errno != EINTR ? -errno : 0;
}

/* The first of the group that is not this process; 0: there is none. */
static int find_other(const char *group, pid_t *ret)
{
    _cleanup_free_ char *pids = NULL;
    char *rest = NULL;
    int r = read_file(group, &pids);

    *ret = 0;
    for (char *line = r < 0 ? NULL : strtok_r(pids, "\n", &rest); line && *ret == 0;
         line = strtok_r(NULL, "\n", &rest)) {
        uint64_t pid;

        if (parse_uint64(line, &pid) == 0 && pid <= INT_MAX && (pid_t)pid != getpid())
            *ret = (pid_t)pid;
    }
    return r;
}

int wait_main(int argc, char **argv)
{
    const char *supervisor = getenv("MAINPID");
    char group[PATH_MAX];
    pid_t pid;
    int r;

    (void)argv;
    if (argc > 1) {
        fprintf(stderr,
                "Usage: cgunicorn wait\n\n"
                "For the unit: where the supervisor has died, waits until its workers have finished.\n");
        return EXIT_USAGE;
    }
    if (supervisor && *supervisor) /* it lives, and waits for them itself */
        return EXIT_OK;
    r = find_group(group);
    while (r == 0 && (r = find_other(group, &pid)) == 0 && pid > 0)
        r = wait_for(pid);
    if (r == 0)
        return EXIT_OK;
    fprintf(stderr, "cgunicorn wait: cannot read the control group: %s\n", strerror(-r));
    return EXIT_OS;
}
