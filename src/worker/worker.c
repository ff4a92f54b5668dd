/* SPDX-License-Identifier: MIT */
/* A worker process from its fork to its exit. */
#include "worker/worker.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/message-ids.h"
#include "base/title.h"
#include "config/staff.h"
#include "ipc/channel.h"
#include "worker/check.h"
#include "worker/crew.h"
#include "worker/develop.h"
#include "worker/hub.h"
#include "worker/loop-setup.h"
#include "wsgi/greenlets.h"
#include "wsgi/interpreter.h"
#include "wsgi/stack.h"

#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#define SLACK_SEC 2 /* so that it is the supervisor that ends a worker, and says so, where there is one */

static ChannelEnd worker_channel(const WorkerOptions *o)
{
    return (ChannelEnd){.fd = o->channel, .generation = o->generation, .seat = o->seat};
}

static int worker_say(const WorkerOptions *o, MessageType type, const char *text)
{
    const ChannelEnd channel = worker_channel(o);

    return channel_end_say_waiting(&channel, type, text);
}

/* GO means that the supervisor knows this process, and says whether it is to be checked. 0, or an exit status. */
static int worker_wait_for_go(const WorkerOptions *o, bool *ret_is_checked)
{
    _cleanup_free_ Message *m = calloc(1, sizeof *m);
    struct pollfd p = {.fd = o->channel, .events = POLLIN};
    int r;

    if (!m)
        return EX_OSERR;
    while ((r = channel_receive(o->channel, m)) == -EAGAIN)
        poll(&p, 1, -1);
    if (r != 0)
        return EX_UNAVAILABLE;
    message_close_fds(m);
    *ret_is_checked = strcmp(m->text, CHANNEL_GO_CHECK) == 0;
    return m->type == MESSAGE_GO ? 0 : EX_PROTOCOL;
}

static int worker_fail(const WorkerOptions *o, char *reason)
{
    worker_say(o, MESSAGE_FAILED, reason ? reason : "out of memory");
    free(reason);
    return EX_SOFTWARE;
}

/* The application's own output: journal streams of this process, so that their lines have its PID and a
 * priority. */
static void worker_redirect_output(void)
{
    static const int priority[] = {[STDOUT_FILENO] = LOG_INFO, [STDERR_FILENO] = LOG_WARNING};

    for (int fd = STDOUT_FILENO; fd <= STDERR_FILENO; fd++) {
        _cleanup_close_ int stream = log_open_stream(priority[fd]);
        if (stream >= 0)
            dup2(stream, fd);
    }
}

/* The first directory of $CACHE_DIRECTORY (systemd.exec(5)), else $TMPDIR, else /tmp; or NULL. */
static char *worker_temporary_directory(void)
{
    const char *cache = getenv("CACHE_DIRECTORY"), *tmp = getenv("TMPDIR");
    const char *from = cache && *cache ? cache : tmp && *tmp ? tmp : "/tmp";

    return strndup(from, from == cache ? strcspn(from, ":") : strlen(from));
}

/* Bodies of a megabyte come and go with each upload. By default glibc maps such blocks one by one, and gives the heap's
 * top back when they are freed: 256 page faults each time, more than half of the cost of an upload (mallopt(3)). A
 * score of uploads that end together is no reason to give it back either; the supervisor asks for it when memory is
 * short. */
static void worker_tune_malloc(void)
{
    mallopt(M_MMAP_THRESHOLD, 4 * 1024 * 1024);
    mallopt(M_TRIM_THRESHOLD, 32 * 1024 * 1024);
}

/* The soft limit is for programs that use select(2); a connection needs a descriptor, and more while it spools. */
static void worker_raise_descriptors(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

int worker_load_hooks(const Config *config, WsgiHooks **ret, char **ret_error)
{
    _cleanup_free_ char *strangers = NULL;

    if (!config->app_hooks)
        return 0;
    if (wsgi_hooks_load(config->app_hooks, ret, ret_error) < 0)
        return -1;
    strangers = wsgi_hooks_describe_strangers(*ret);
    if (strangers)
        log_warning("app.hooks: the module '%s' has functions of gunicorn's that are never called: %s; see "
                    "cgunicorn-migration(7)",
                    config->app_hooks, strangers);
    return 0;
}

/* What the site's Python code consists of here. */
typedef struct Site {
    WsgiHooks *hooks; /* NULL: none */
    WsgiApp *app;
    Develop *develop; /* NULL: develop.reload is off */
} Site;

/* A deployment may have put another directory in its place since the zygote has entered it: what is imported now is in
 * that one. Preloaded code stays where it was, unless that is gone. */
static void worker_enter_directory(const WorkerOptions *o)
{
    _cleanup_free_ char *here = o->app ? getcwd(NULL, 0) : NULL;

    if (o->directory && !here)
        (void)!chdir(o->directory);
}

static int worker_import(const WorkerOptions *o, Site *site, char **ret_error)
{
    const WsgiWorker worker = {.site = o->site, .seat = o->seat, .generation = o->generation};

    worker_enter_directory(o);
    if (config_staff(o->config).is_gevent && greenlets_begin(ret_error) < 0)
        return -1;
    if (!site->hooks && worker_load_hooks(o->config, &site->hooks, ret_error) < 0)
        return -1;
    if (wsgi_hooks_worker_start(site->hooks, &worker, ret_error) < 0)
        return -1;
    return site->app ? 0 : wsgi_app_load(o->config->app_module, &site->app, ret_error);
}

/* For development, something to serve also where nothing can be imported. */
static int worker_import_or_show(const WorkerOptions *o, Site *site, char **ret_error)
{
    if (!o->config->develop_reload)
        return worker_import(o, site, ret_error);
    site->develop = develop_new(worker_channel(o));
    if (!site->develop)
        return -1;
    if (worker_import(o, site, ret_error) < 0) {
        wsgi_hooks_free(site->hooks);
        site->hooks = NULL;
        site->app = develop_show(site->develop, TAKE_PTR(*ret_error));
    }
    return site->app ? 0 : -1;
}

static int worker_load(const WorkerOptions *o, Site *site, int errors_fd, char **ret_error)
{
    WsgiAppOptions options = {
        .multithread = config_staff(o->config).n_slots > 1,
        .multiprocess = config_staff(o->config).n_max > 1,
        .errors_fd = errors_fd,
    };

    *site = (Site){.hooks = o->hooks, .app = o->app};
    if (worker_import_or_show(o, site, ret_error) < 0)
        return -1;
    options.hooks = site->hooks;
    return wsgi_app_prepare(site->app, &options, ret_error);
}

/* Threads of the application, its hook and its atexit functions may never end. The supervisor gives them
 * timeouts.graceful in all; this is for when it is gone. */
static void worker_limit_end(const Config *c)
{
    struct sigevent e = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGABRT};
    struct itimerspec t = {.it_value.tv_sec = (time_t)(c->timeouts_graceful / USEC_PER_SEC) + SLACK_SEC};
    timer_t timer;

    if (timer_create(CLOCK_MONOTONIC, &e, &timer) < 0 || timer_settime(timer, 0, &t, NULL) < 0)
        log_warning("Cannot limit the time that the worker takes to end: %s", strerror(errno));
}

static void worker_unload(const Config *config, Site *site)
{
    _cleanup_free_ char *error = NULL;

    worker_limit_end(config);
    if (wsgi_hooks_worker_exit(site->hooks, &error) < 0)
        log_full(LOG_ERR, MESSAGE_APP_ERROR, NULL, "%s", error ? error : "out of memory");
    wsgi_app_free(site->app);
    wsgi_hooks_free(site->hooks);
    develop_free(site->develop);
    interpreter_finalize();
}

/* All of these: 0 when it has served, or negative errno, for which *ret_error may have the text. */
static int worker_run_class(const WorkerOptions *o, const Site *site, Loop *loop, char **ret_error)
{
    const ConfigStaff staff = config_staff(o->config);
    const CrewOptions options = {
        .loop = loop,
        .app = site->app,
        .n_threads = staff.n_slots,
        .slots = scoreboard_slot(o->scoreboard, o->seat, 0),
        .develop = site->develop,
    };

    return staff.is_gevent ? hub_run(&options, ret_error) : crew_run(&options);
}

/* In a child that the application has forked, where there is no loop: nothing of the server's is the child's own. */
static void worker_on_forked_child(void *options)
{
    const WorkerOptions *o = options;

    for (size_t i = 0; i < o->n_listeners; i++)
        close(o->listeners[i]);
    for (size_t i = 0; o->queue && i < 2; i++)
        close(o->queue[i]);
    close(o->doorbell);
    close(o->channel);
}

static int worker_run_loop(const WorkerOptions *o, const Site *site, Loop *loop, bool is_checked,
                           char **ret_error)
{
    int stack_fd, r;

    if (stack_init(&stack_fd, ret_error) < 0)
        return -EINVAL;
    descriptors_add(&loop->descriptors, stack_fd);
    if (wsgi_hooks_worker_ready(site->hooks, ret_error) < 0)
        return -ENOMEM; /* unless there is a text */
    if (site->develop)
        develop_tell(site->develop);
    r = worker_say(o, is_checked ? MESSAGE_LOADED : MESSAGE_READY, "");
    if (r == 0 && is_checked)
        r = check_begin(loop);
    if (r < 0)
        return r;
    return worker_run_class(o, site, loop, ret_error);
}

static int worker_serve(const WorkerOptions *o, const Site *site, bool is_checked, char **ret_error)
{
    /* Not on the stack, which may be that of a greenlet. */
    _cleanup_free_ char *directory = worker_temporary_directory();
    _cleanup_(loop_freep) Loop *loop = NULL;
    int r;

    if (!directory)
        return -ENOMEM;
    r = loop_new(
        &(LoopOptions){
            .config = o->config,
            .directory = directory,
            .listeners = o->listeners,
            .n_listeners = o->n_listeners,
            .doorbell = o->doorbell,
            .queue = o->queue,
            .channel = worker_channel(o),
            .seats = o->scoreboard->seats,
            .n_seats = o->scoreboard->n_seats,
            .seat = o->seat,
            .total = totals_shard(o->totals, o->seat),
            .file_roots = o->file_roots,
            .is_held = true,
        },
        &loop, ret_error);
    if (r < 0)
        return r;
    interpreter_on_forked_child(loop_on_forked_child, loop);
    r = worker_run_loop(o, site, loop, is_checked, ret_error);
    interpreter_on_forked_child(worker_on_forked_child, (void *)o);
    return r;
}

static int worker_live(const WorkerOptions *o)
{
    _cleanup_close_ int errors_fd = -EBADF;
    bool is_checked = false;
    char *error = NULL;
    Site site;
    int r;

    title_set(o->site, "worker %u gen %u", o->seat, o->generation);
    log_set_worker((int)o->seat, o->generation);
    r = worker_wait_for_go(o, &is_checked);
    if (r != 0)
        return r;
    worker_tune_malloc();
    worker_raise_descriptors();
    worker_redirect_output();
    errors_fd = log_open_stream(LOG_ERR);
    if (worker_load(o, &site, errors_fd >= 0 ? errors_fd : STDERR_FILENO, &error) < 0)
        return worker_fail(o, error);

    r = worker_serve(o, &site, is_checked, &error);
    if (r < 0 && !error && asprintf(&error, "cannot serve: %s", strerror(-r)) < 0)
        error = NULL;
    if (r < 0)
        return worker_fail(o, error);
    worker_unload(o->config, &site);
    return EX_OK;
}

int worker_run(const WorkerOptions *o)
{
    int status;

    interpreter_on_forked_child(worker_on_forked_child, (void *)o);
    status = worker_live(o);
    interpreter_on_forked_child(NULL, NULL);
    return status;
}
