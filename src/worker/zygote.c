/* SPDX-License-Identifier: MIT */
/* The zygote of a generation. */
#include "worker/zygote.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/message-ids.h"
#include "base/sandbox.h"
#include "base/title.h"
#include "config/staff.h"
#include "ipc/channel.h"
#include "ipc/parcel.h"
#include "ipc/scoreboard.h"
#include "ipc/totals.h"
#include "worker/worker.h"
#include "wsgi/greenlets.h"
#include "wsgi/interpreter.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

enum { HELLO_CONFIG, HELLO_SCOREBOARD, HELLO_TOTALS, HELLO_QUEUE };

typedef struct Zygote {
    int channel;
    char *site;
    unsigned generation;
    Config *config;
    Scoreboard *scoreboard;
    Totals *totals;
    int *listeners;
    size_t n_listeners;
    int doorbell;    /* of the workers, see LoopOptions */
    int queue[2];    /* of those of all generations, or -EBADF */
    char *directory; /* of the process, and of the code; NULL: it is gone */
    FileRoots *file_roots;
    WsgiHooks *hooks; /* preloaded, or NULL */
    WsgiApp *app;     /* preloaded, or NULL */
} Zygote;

static int zygote_say(const Zygote *z, MessageType type, unsigned seat, int pid, const char *text)
{
    _cleanup_free_ Message *m = calloc(1, sizeof *m);
    struct pollfd p = {.fd = z->channel, .events = POLLOUT};
    int r;

    if (!m)
        return -ENOMEM;
    m->type = type;
    m->generation = z->generation;
    m->seat = seat;
    m->pid = pid;
    snprintf(m->text, sizeof m->text, "%s", text);
    while ((r = channel_send(z->channel, m)) == -EAGAIN)
        poll(&p, 1, -1);
    return r;
}

/* --- HELLO --- */

static int zygote_read_config(Zygote *z, int fd)
{
    _cleanup_free_ char *data = NULL, *error = NULL;
    size_t size;
    int r = fd_read_all(fd, CONFIG_SIZE_MAX, &data, &size);

    return r < 0 ? r : config_parse(data, size, "configuration", NULL, &z->config, &error) ? -EPROTO : 0;
}

static int zygote_take_hello(Zygote *z, Message *m)
{
    size_t n_queue = m->seat > 0 ? ELEMENTSOF(z->queue) : 0;
    int r;

    if (m->type != MESSAGE_HELLO || m->n_fds < HELLO_QUEUE + n_queue)
        return -EPROTO;
    z->generation = m->generation;
    r = zygote_read_config(z, m->fds[HELLO_CONFIG]);
    if (r < 0)
        return r;
    r = scoreboard_map(m->fds[HELLO_SCOREBOARD], config_staff(z->config).n_seats,
                       config_staff(z->config).n_slots, &z->scoreboard);
    if (r == 0)
        r = totals_map(m->fds[HELLO_TOTALS], &z->totals);
    if (r < 0)
        return r;
    z->listeners = calloc(m->n_fds, sizeof *z->listeners);
    if (!z->listeners)
        return -ENOMEM;
    if (m->seat ==
        PARCEL_FORMAT) /* else the supervisor is older or newer: there is no queue until it is restarted */
        for (size_t i = 0; i < n_queue; i++)
            z->queue[i] = TAKE_FD(m->fds[HELLO_QUEUE + i]);
    for (size_t i = HELLO_QUEUE + n_queue; i < m->n_fds; i++)
        z->listeners[z->n_listeners++] = TAKE_FD(m->fds[i]);
    z->site = strdup(m->text);
    if (!z->site)
        return -ENOMEM;
    log_init(z->site, z->config->log_level);
    log_set_worker(-1, z->generation);
    title_set(z->site, "zygote gen %u", z->generation);
    return 0;
}

static int zygote_receive_hello(Zygote *z)
{
    _cleanup_free_ Message *m = calloc(1, sizeof *m);
    int r;

    if (!m)
        return -ENOMEM;
    r = channel_receive(z->channel, m);
    if (r != 0)
        return r;
    r = zygote_take_hello(z, m);
    message_close_fds(m);
    return r;
}

/* --- the interpreter --- */

/* With more than one thread, a forked child may find locks taken by threads that it does not have. */
static void zygote_count_threads(void)
{
    DIR *d = opendir("/proc/self/task");
    int n = 0;

    if (!d)
        return;
    for (struct dirent *e; (e = readdir(d));)
        n += e->d_name[0] != '.';
    closedir(d);
    if (n > 1)
        log_full(LOG_WARNING, MESSAGE_THREADS_BEFORE_FORK, NULL,
                 "The application started %d threads while it was imported; workers forked from here do not "
                 "have them. "
                 "Start threads at the first request, or set workers.preload = no.",
                 n - 1);
}

/* Python passes over such directories in silence. */
static void zygote_check_pythonpath(const Config *c)
{
    for (char **p = c->app_pythonpath; p && *p; p++)
        if (access(*p, R_OK) < 0)
            log_warning("app.pythonpath: cannot read %s: %s%s", *p, strerror(errno), sandbox_hint(*p));
}

/* In a child that the application forks while it is imported: nothing of the server's is the child's own. */
static void zygote_on_forked_child(void *zygote)
{
    const Zygote *z = zygote;

    for (size_t i = 0; i < z->n_listeners; i++)
        close(z->listeners[i]);
    for (size_t i = 0; i < ELEMENTSOF(z->queue) && z->queue[i] >= 0; i++)
        close(z->queue[i]);
    close(z->doorbell);
    close(z->channel);
}

static int zygote_preload(Zygote *z, char **ret_error)
{
    const Config *c = z->config;

    if (worker_load_hooks(c, &z->hooks, ret_error) < 0 ||
        wsgi_app_load(c->app_module, &z->app, ret_error) < 0)
        return -1;
    zygote_count_threads();
    interpreter_collect();
    return 0;
}

static int zygote_load(Zygote *z, char **ret_error)
{
    const Config *c = z->config;

    signal(SIGPIPE, SIG_IGN);
    zygote_check_pythonpath(c);
    if (file_roots_new(c->app_sendfile_roots, &z->file_roots, ret_error) < 0)
        return -1;
    z->directory = getcwd(NULL, 0);
    if (interpreter_init(
            &(InterpreterOptions){
                .virtualenv = c->app_virtualenv,
                .chdir = z->directory,
                .pythonpath = c->app_pythonpath,
                .process_name = "cgunicorn",
            },
            ret_error) < 0)
        return -1;
    if (config_staff(c).is_gevent && greenlets_patch(ret_error) < 0)
        return -1;
    if (c->workers_preload && !c->develop_reload && /* else a failure is the workers' to show */
        zygote_preload(z, ret_error) < 0)
        return -1;
    interpreter_freeze();
    return 0;
}

/* --- spawning --- */

static int zygote_become_worker(Zygote *z, unsigned seat, int channel)
{
    interpreter_after_fork_child();
    closep(&z->channel);
    return worker_run(&(WorkerOptions){
        .site = z->site,
        .config = z->config,
        .scoreboard = z->scoreboard,
        .totals = z->totals,
        .seat = seat,
        .generation = z->generation,
        .channel = channel,
        .listeners = z->listeners,
        .n_listeners = z->n_listeners,
        .doorbell = z->doorbell,
        .queue = z->queue[0] >= 0 ? z->queue : NULL,
        .directory = z->directory,
        .file_roots = z->file_roots,
        .hooks = z->hooks,
        .app = z->app,
    });
}

/* Forks twice, so that the worker is adopted by the supervisor, a child subreaper (PR_SET_CHILD_SUBREAPER,
 * prctl(2)). The process in the middle must be gone before the pid is told, or the supervisor could wait for
 * a child that is not yet its own. Returns the pid, or negative errno; in the worker: 0 and *ret_status. */
static int zygote_fork(Zygote *z, unsigned seat, int channel, int *ret_status)
{
    _cleanup_close_ int reader = -EBADF, writer = -EBADF;
    int ends[2], pid;
    pid_t middle;

    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    reader = ends[0];
    writer = ends[1];

    interpreter_before_fork();
    middle = fork();
    if (middle == 0) {
        pid = fork();
        if (pid == 0) {
            closep(&reader);
            closep(&writer);
            reader = writer = -EBADF;
            *ret_status = zygote_become_worker(z, seat, channel);
            return 0;
        }
        pid = pid < 0 ? -errno : pid;
        _exit(write(writer, &pid, sizeof pid) == sizeof pid ? 0 : 1);
    }
    pid = middle < 0 ? -errno : 0;
    if (middle > 0) {
        while (waitpid(middle, NULL, 0) < 0 && errno == EINTR)
            ;
        closep(&writer);
        writer = -EBADF;
        if (read(reader, &pid, sizeof pid) != sizeof pid)
            pid = -ECHILD;
    }
    interpreter_after_fork_parent();
    return pid;
}

/* True: this is the worker, and it is done: *ret_status. */
static bool zygote_on_spawn(Zygote *z, Message *m, int *ret_status)
{
    _cleanup_close_ int channel = -EBADF;
    int pid;

    if (m->n_fds != 1 || m->seat >= z->scoreboard->n_seats)
        return false;
    channel = TAKE_FD(m->fds[0]);
    pid = zygote_fork(z, m->seat, channel, ret_status);
    if (pid == 0)
        return true;
    zygote_say(z, MESSAGE_SPAWNED, m->seat, pid, "");
    return false;
}

/* Obeys until the supervisor is gone. Preloaded code may have made the channel non-blocking, as each socket that gevent
 * wraps is. */
static int zygote_serve(Zygote *z)
{
    _cleanup_free_ Message *m = calloc(1, sizeof *m);
    struct pollfd p = {.fd = z->channel, .events = POLLIN};
    int status = EX_OSERR, r = 0;

    if (!m)
        return EX_OSERR;
    for (;;) {
        r = channel_receive(z->channel, m);
        if (r == -EAGAIN)
            (void)poll(&p, 1, -1);
        if (r == -EAGAIN || r == -EPROTO || r == -EINTR)
            continue;
        if (r != 0)
            return r == CHANNEL_E_EOF ? EX_OK : EX_OSERR;
        if (m->type == MESSAGE_SPAWN && zygote_on_spawn(z, m, &status))
            return status;
        message_close_fds(m);
    }
}

int zygote_run(int channel)
{
    Zygote z = {.channel = channel, .queue = {-EBADF, -EBADF}};
    _cleanup_free_ char *error = NULL;
    int r;

    r = fd_set_nonblocking(channel, false);
    if (r == 0)
        r = fd_set_cloexec(channel, true);
    if (r == 0)
        r = zygote_receive_hello(&z);
    if (r != 0)
        return EX_PROTOCOL;
    z.doorbell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (z.doorbell < 0)
        return EX_OSERR;
    interpreter_on_forked_child(zygote_on_forked_child, &z);
    r = zygote_load(&z, &error);
    interpreter_on_forked_child(NULL, NULL); /* those to come are workers */
    if (r < 0) {
        zygote_say(&z, MESSAGE_FAILED, 0, 0, error ? error : "out of memory");
        return EX_SOFTWARE;
    }
    r = zygote_say(&z, MESSAGE_LOADED, 0, 0, interpreter_version());
    r = r < 0 ? EX_OSERR : zygote_serve(&z);
    scoreboard_free(z.scoreboard);
    totals_free(z.totals);
    config_free(z.config);
    file_roots_free(z.file_roots);
    closep(&z.doorbell);
    closep(&z.queue[0]);
    closep(&z.queue[1]);
    free(z.listeners);
    free(z.directory);
    free(z.site);
    return r;
}
