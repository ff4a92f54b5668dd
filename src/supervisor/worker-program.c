/* SPDX-License-Identifier: MIT */
/* Which program a site's worker is, and how it is started and greeted. */
#include "supervisor/worker-program.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/pyvenv.h"
#include "base/sandbox.h"
#include "base/strv.h"
#include "ipc/channel.h"
#include "ipc/parcel.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PROGRAM_PREFIX "cgunicorn-worker-"
#define MODULE_PREFIX "_cgunicorn.cpython-"
#define ABI_MAX (PYVENV_VERSION_MAX + 1)
#define CHANNEL_FD 3

/* --- which one --- */

void worker_program_clear(WorkerProgram *p)
{
    free(p->path);
    free(p->modules);
    *p = (WorkerProgram){0};
}

__attribute__((__format__(__printf__, 2, 3))) static int refuse(char **ret_error, const char *format, ...)
{
    va_list ap;
    int r;

    va_start(ap, format);
    r = vasprintf(ret_error, format, ap);
    va_end(ap);
    return r < 0 ? -ENOMEM : WORKER_PROGRAM_E_NONE;
}

static void closedirp(DIR **d)
{
    if (*d)
        closedir(*d);
}

static bool starts_with(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

/* The names of all workers that are installed, and whether one begins with that prefix. */
static int list_installed(const char *directory, const char *prefix, bool *ret_found, char **ret_names)
{
    _cleanup_(closedirp) DIR *d = opendir(directory);
    _cleanup_free_ char *names = NULL;
    const struct dirent *entry;

    *ret_found = false;
    while (d && (entry = readdir(d))) {
        char *longer;

        if (!starts_with(entry->d_name, PROGRAM_PREFIX) && !starts_with(entry->d_name, MODULE_PREFIX))
            continue;
        *ret_found = *ret_found || starts_with(entry->d_name, prefix);
        if (asprintf(&longer, "%s%s%s", names ? names : "", names ? ", " : "", entry->d_name) < 0)
            return -ENOMEM;
        free(names);
        names = longer;
    }
    *ret_names = names ? TAKE_PTR(names) : strdup("none");
    return *ret_names ? 0 : -ENOMEM;
}

/* "3.13", or "3.13t" for a free-threaded Python, which pyvenv.cfg does not tell. */
static int virtualenv_abi(const char *virtualenv, char ret_abi[static ABI_MAX], char **ret_error)
{
    _cleanup_free_ char *library = NULL;
    int r = pyvenv_read(virtualenv, ret_abi);

    if (r == -ENOMEM)
        return r;
    if (r == PYVENV_E_NO_VERSION)
        return refuse(ret_error, "app.virtualenv: %s/pyvenv.cfg names no Python version", virtualenv);
    if (r < 0)
        return refuse(ret_error, "app.virtualenv: %s/pyvenv.cfg: %s%s", virtualenv, strerror(-r),
                      sandbox_hint(virtualenv));
    if (asprintf(&library, "%s/lib/python%st", virtualenv, ret_abi) < 0)
        return -ENOMEM;
    if (access(library, F_OK) == 0)
        strcat(ret_abi, "t");
    return 0;
}

/* Takes path over. The interpreter looks for its module itself: what it is, it knows best. */
static int use_interpreter(char *path, const char *key, const char *directory, WorkerProgram *ret,
                           char **ret_error)
{
    ret->path = path;
    ret->modules = strdup(directory);
    if (!ret->path || !ret->modules)
        return -ENOMEM;
    if (access(path, X_OK) < 0)
        return refuse(ret_error, "%s: cannot run %s: %s%s", key, path, strerror(errno), sandbox_hint(path));
    return 0;
}

static int use_program(const char *directory, const char *abi, WorkerProgram *ret)
{
    if (asprintf(&ret->path, "%s/" PROGRAM_PREFIX "%s", directory, abi) >= 0)
        return 0;
    ret->path = NULL;
    return -ENOMEM;
}

static int explain_absence(const char *virtualenv, const char *abi, const char *directory,
                           const char *installed, char **ret_error)
{
    if (virtualenv)
        return refuse(ret_error,
                      "app.virtualenv: %s is of Python %s, and there is no worker for it in %s (there: %s)",
                      virtualenv, abi, directory, installed);
    return refuse(ret_error, "there is no worker for Python %s in %s (there: %s)", abi, directory, installed);
}

static int find_by_abi(const char *virtualenv, const char *directory, WorkerProgram *ret, char **ret_error)
{
    _cleanup_free_ char *prefix = NULL, *installed = NULL, *path = NULL;
    char abi[ABI_MAX] = PYTHON_ABI;
    bool has_module;
    int r = virtualenv ? virtualenv_abi(virtualenv, abi, ret_error) : 0;

    if (r != 0)
        return r;
    if (asprintf(&prefix, MODULE_PREFIX "%.*s%s-", (int)strcspn(abi, "."), abi, abi + strcspn(abi, ".") + 1) <
        0)
        return -ENOMEM;
    r = list_installed(directory, prefix, &has_module, &installed);
    if (r < 0)
        return r;
    if (!has_module) {
        r = use_program(directory, abi, ret);
        return r == 0 && access(ret->path, X_OK) < 0
                   ? explain_absence(virtualenv, abi, directory, installed, ret_error)
                   : r;
    }
    if (!virtualenv)
        return use_interpreter(strdup(PYTHON_INTERPRETER), "app.python", directory, ret, ret_error);
    return asprintf(&path, "%s/bin/python3", virtualenv) < 0
               ? -ENOMEM
               : use_interpreter(TAKE_PTR(path), "app.virtualenv", directory, ret, ret_error);
}

int worker_program_find(const Config *config, WorkerProgram *ret, char **ret_error)
{
    const char *setting = secure_getenv("CGUNICORN_LIBEXECDIR");
    _cleanup_free_ char *directory = realpath(setting ? setting : LIBEXECDIR, NULL);
    int r;

    *ret = (WorkerProgram){0};
    if (!directory)
        return refuse(ret_error, "%s: %s", setting ? setting : LIBEXECDIR, strerror(errno));
    if (config->app_python)
        r = use_interpreter(strdup(config->app_python), "app.python", directory, ret, ret_error);
    else
        r = find_by_abi(config->app_virtualenv, directory, ret, ret_error);
    if (r != 0)
        worker_program_clear(ret);
    return r;
}

/* --- its start --- */

/* Whether an entry of the environment belongs to a protocol between systemd and this process alone (the application,
 * too, may know sd_notify(3)), or would hide a virtualenv from its interpreter. */
static bool is_private(const char *entry)
{
    static const char *const prefixes[] = {"NOTIFY_SOCKET=", "WATCHDOG_", "LISTEN_", "FDSTORE=", "MAINPID"};

    for (size_t i = 0; i < ELEMENTSOF(prefixes); i++)
        if (starts_with(entry, prefixes[i]))
            return true;
    return false;
}

/* Adds "NAME=value", in place of one of that name. */
static void put(char **environment, char *entry)
{
    size_t size = strcspn(entry, "=") + 1;

    while (*environment && strncmp(*environment, entry, size) != 0)
        environment++;
    *environment = entry;
}

/* That of the application, which Python reads when it starts. A shallow copy: the strings are those of environ and of
 * config. */
static char **new_environment(const Config *config)
{
    char **additions = config->app_environment;
    char **copy = calloc(strv_length(environ) + strv_length(additions) + 1, sizeof(*copy));
    size_t used = 0;

    if (!copy)
        return NULL;
    for (char **e = environ; *e; e++)
        if (!is_private(*e) && !starts_with(*e, "PYTHONHOME="))
            copy[used++] = *e;
    for (char **e = additions; e && *e; e++)
        if (!starts_with(*e, "PYTHONHOME="))
            put(copy, *e);
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

/* What the interpreter is started with: loads the module for its ABI from the directory that is its argument, and runs
 * it. What goes wrong is told as MESSAGE_FAILED: the packet is that of ipc/channel.c. */
static const char bootstrap[] =
    "import _imp, os, sys\n"
    "def load(directory):\n"
    "    from importlib.machinery import ModuleSpec\n"
    "    name = '_cgunicorn' + _imp.extension_suffixes()[0]\n"
    "    path = os.path.join(directory, name)\n"
    "    if not os.path.exists(path):\n"
    "        found = sorted(file for file in os.listdir(directory) if file.startswith('_cgunicorn.'))\n"
    "        raise ImportError(f'there is no {name} for it in {directory} (there: {\", \".join(found) or "
    "\"none\"})')\n"
    "    module = _imp.create_dynamic(ModuleSpec('_cgunicorn', None, origin=path))\n"
    "    _imp.exec_dynamic(module)\n"
    "    return module\n"
    "def fail(error):\n"
    "    text = f'cannot start the worker in {sys.executable}: "
    "{error}'.encode(errors='backslashreplace')[:4096]\n"
    "    header = [3, 0, 0, 0, len(text)]\n"
    "    os.write(3, b''.join(field.to_bytes(4, sys.byteorder) for field in header) + text)\n"
    "    os._exit(1)\n"
    "try:\n"
    "    module = load(sys.argv[1])\n"
    "except Exception as error:\n"
    "    fail(error)\n"
    "module.run()\n";

static_assert(MESSAGE_FAILED == 3);

/* In the child. */
static void __attribute__((__noreturn__)) give_up(const char *what, const char *path)
{
    Message m = {.type = MESSAGE_FAILED};

    (void)snprintf(m.text, sizeof(m.text), "%s%s: %s%s", what, path, strerror(errno), sandbox_hint(path));
    (void)channel_send(CHANNEL_FD, &m);
    _exit(EXIT_FAILURE);
}

/* In the child. What goes wrong is told through the channel, as any failure to load is. */
static void __attribute__((__noreturn__))
become(const WorkerProgram *program, const Config *config, char *title, char **environment, int channel)
{
    char *of_program[] = {title, NULL};
    /* -s: without the user's own packages; -P: without the working directory in sys.path. */
    char *of_interpreter[] = {program->path,     (char *)"-sP",    (char *)"-c",
                              (char *)bootstrap, program->modules, NULL};
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
    if (config->app_chdir && chdir(config->app_chdir) < 0)
        give_up("app.chdir: cannot enter ", config->app_chdir);
    (void)execve(program->path, program->modules ? of_interpreter : of_program, environment);
    give_up("", program->path);
}

int worker_program_start(const WorkerProgram *program, const Config *config, const char *site,
                         int *ret_channel, pid_t *ret_pid)
{
    _cleanup_close_ int ours = -EBADF, theirs = -EBADF;
    _cleanup_free_ char **environment = new_environment(config);
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
        become(program, config, title, environment, theirs);
    *ret_channel = TAKE_FD(ours);
    *ret_pid = pid;
    return 0;
}

int worker_program_greet(int channel, const char *site, unsigned generation, const Config *config,
                         int scoreboard_fd, int totals_fd, const int *queue, const int *listeners,
                         size_t n_listeners)
{
    Message m = {.type = MESSAGE_HELLO, .generation = generation, .n_fds = 3};
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
    if (queue) {
        m.seat = PARCEL_FORMAT;
        m.fds[m.n_fds++] = queue[0];
        m.fds[m.n_fds++] = queue[1];
    }
    for (size_t i = 0; i < n_listeners; i++)
        m.fds[m.n_fds++] = listeners[i];
    (void)snprintf(m.text, sizeof(m.text), "%s", site);
    r = channel_send(channel, &m);
    return r == -EPIPE ? 0 : r;
}
