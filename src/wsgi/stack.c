/* SPDX-License-Identifier: MIT */
/* Sends the thread a signal whose handler, faulthandler's, writes its stack into a memory file. The handler runs in a
 * loop of Python, in C that holds the GIL, and while a system call blocks; it is installed with SA_RESTART, and what
 * signal(7) does not restart, Python does (PEP 475). */
#include "wsgi/python.h"

#include "wsgi/stack.h"

#include "wsgi/exception.h"

#include <dirent.h>
#include <errno.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define STACK_SIGNAL (SIGRTMAX - 1)
#define PATIENCE_SEC 1
#define STACK_MAX ((size_t)128 * 1024)

/* Global, as a signal handler has no argument. */
static void (*write_stack)(int); /* faulthandler's */
static sem_t written;
static int stack_fd = -EBADF;
static bool is_out_of_step; /* a thread has not reacted in time, and may do so later */

static void on_stack_signal(int number)
{
    int saved_errno = errno;

    write_stack(number);
    sem_post(&written);
    errno = saved_errno;
}

/* faulthandler.register(), which has no C API. */
static int register_faulthandler(void)
{
    _cleanup_decref_ PyObject *module = PyImport_ImportModule("faulthandler");
    _cleanup_decref_ PyObject *function = module ? PyObject_GetAttrString(module, "register") : NULL;
    _cleanup_decref_ PyObject *args = Py_BuildValue("(iiO)", STACK_SIGNAL, stack_fd, Py_False);
    _cleanup_decref_ PyObject *none = function && args ? PyObject_CallObject(function, args) : NULL;

    return none ? 0 : -1;
}

static int wrap_handler(void)
{
    struct sigaction action;

    if (sigaction(STACK_SIGNAL, NULL, &action) < 0)
        return -1;
    write_stack = action.sa_handler;
    action.sa_handler = on_stack_signal;
    return sigaction(STACK_SIGNAL, &action, NULL);
}

int stack_init(int *ret_fd, char **ret_error)
{
    sem_init(&written, 0, 0);
    stack_fd = memfd_create("cgunicorn-stack", MFD_CLOEXEC);
    if (stack_fd < 0 || register_faulthandler() < 0 || wrap_handler() < 0) {
        if (!PyErr_Occurred())
            PyErr_SetFromErrno(PyExc_OSError);
        *ret_error = exception_take_report("cannot set up the stacks of threads");
        return -1;
    }
    *ret_fd = stack_fd;
    return 0;
}

static int wait_until_written(void)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += PATIENCE_SEC;
    while (sem_clockwait(&written, CLOCK_MONOTONIC, &until) < 0)
        if (errno != EINTR) {
            is_out_of_step = true;
            return -ETIMEDOUT;
        }
    return 0;
}

static int append_written(Buffer *to)
{
    off_t size = lseek(stack_fd, 0, SEEK_CUR);
    size_t n = (size_t)MIN(size, (off_t)STACK_MAX);
    ssize_t k;

    if (size <= 0)
        return size < 0 ? -errno : 0;
    if (buffer_reserve(to, n) < 0)
        return -ENOMEM;
    k = pread(stack_fd, buffer_tail(to), n, 0);
    if (k < 0)
        return -errno;
    to->end += (size_t)k;
    while (buffer_size(to) > 0 && buffer_tail(to)[-1] == '\n')
        to->end--;
    return 0;
}

int stack_append(Buffer *to, pid_t thread)
{
    int r;

    if (is_out_of_step)
        return -ETIMEDOUT;
    if (lseek(stack_fd, 0, SEEK_SET) < 0 || tgkill(getpid(), thread, STACK_SIGNAL) < 0)
        return -errno;
    r = wait_until_written();
    return r == 0 ? append_written(to) : r;
}

static int append_others(Buffer *to, DIR *tasks, pid_t except)
{
    const struct dirent *d;
    int r = 0;

    while (r == 0 && (d = readdir(tasks))) {
        pid_t thread = (pid_t)strtol(d->d_name, NULL, 10);

        if (thread <= 0 || thread == except || thread == gettid())
            continue;
        r = buffer_printf(to, "%sThread %d: ", buffer_size(to) > 0 ? "\n" : "", (int)thread);
        if (r == 0)
            r = stack_append(to, thread);
        if (r == -ESRCH) /* it has ended meanwhile */
            r = 0;
    }
    return r;
}

int stack_append_others(Buffer *to, pid_t except)
{
    DIR *tasks = opendir("/proc/self/task");
    int r = tasks ? append_others(to, tasks, except) : -errno;

    if (tasks)
        closedir(tasks);
    return r;
}
