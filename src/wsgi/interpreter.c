/* SPDX-License-Identifier: MIT */
/* Starts CPython as the python3 program of the site's virtualenv would, less what an embedding program must
 * not do: signal handlers, command line, the user's own site directory. Where python3 itself has started it, takes back
 * what that did of it. */
#include "wsgi/python.h"

#include "wsgi/interpreter.h"

#include "base/pyvenv.h"
#include "wsgi/chunks.h"
#include "wsgi/exception.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static PyThreadState *main_thread;
static bool is_forked_child; /* of a fork that is not the server's own */
static struct {
    void (*callback)(void *arg);
    void *arg;
} forked_child; /* whom to tell of it; pthread_atfork(3) has no argument for that */

const char *interpreter_version(void)
{
    return Py_GetVersion();
}

/* --- the virtualenv, before anything is started --- */

/* All return 0, or -1 with *ret_error. */
__attribute__((__format__(__printf__, 2, 3))) static int fail(char **ret_error, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    if (vasprintf(ret_error, format, ap) < 0)
        *ret_error = NULL;
    va_end(ap);
    return -1;
}

static int check_virtualenv(const char *virtualenv, char **ret_error)
{
    char version[PYVENV_VERSION_MAX];
    int r = pyvenv_read(virtualenv, version);

    if (r == PYVENV_E_NO_VERSION || (r == 0 && strcmp(version, PYTHON_MINOR) == 0))
        return 0;
    if (r == -ENOENT)
        return fail(ret_error, "virtualenv %s: there is no pyvenv.cfg in it, so it is not a virtualenv",
                    virtualenv);
    if (r < 0)
        return fail(ret_error, "virtualenv %s: cannot read pyvenv.cfg: %s", virtualenv, strerror(-r));
    return fail(
        ret_error,
        "virtualenv %s was made for Python %s, this worker embeds %s: make it anew with "
        "`python%s -m venv --clear %s` and install the packages again, or install cgunicorn for Python %s",
        virtualenv, version, PYTHON_MINOR, PYTHON_MINOR, virtualenv, version);
}

/* What sys.executable will be; from it getpath.py finds pyvenv.cfg and the packages. The caller frees it. */
static int find_executable(const char *virtualenv, char **ret, char **ret_error)
{
    _cleanup_free_ char *path = NULL;

    if (!virtualenv)
        path = strdup(PYTHON_INTERPRETER);
    else if (check_virtualenv(virtualenv, ret_error) < 0)
        return -1;
    else if (asprintf(&path, "%s/bin/python3", virtualenv) < 0)
        path = NULL;
    if (!path)
        return fail(ret_error, "out of memory");
    if (access(path, X_OK) < 0)
        return fail(ret_error, "cannot use the interpreter %s: %s%s", path, strerror(errno),
                    virtualenv
                        ? " (make the virtualenv anew if the Python it was made with is no longer installed)"
                        : "");
    *ret = TAKE_PTR(path);
    return 0;
}

/* --- start --- */

static PyStatus configure(PyConfig *config, const char *executable, const char *process_name)
{
    char *argv[] = {(char *)process_name};
    PyStatus status;

    config->install_signal_handlers = 0;
    config->parse_argv = 0;
    config->user_site_directory = 0;
    config->safe_path = 1;
    status = PyConfig_SetBytesArgv(config, 1, argv);
    if (!PyStatus_Exception(status))
        status = PyConfig_SetBytesString(config, &config->program_name, executable);
    if (!PyStatus_Exception(status))
        status = PyConfig_SetBytesString(config, &config->executable, executable);
    return status;
}

static int start(const char *executable, const char *process_name, char **ret_error)
{
    PyConfig config;
    PyStatus status;
    int r = 0;

    PyConfig_InitPythonConfig(&config);
    status = configure(&config, executable, process_name);
    if (!PyStatus_Exception(status))
        status = Py_InitializeFromConfig(&config);
    if (PyStatus_Exception(status))
        r = fail(ret_error, "cannot start Python %s as %s: %s%s%s", PYTHON_MINOR, executable,
                 status.func ? status.func : "", status.func ? ": " : "",
                 status.err_msg ? status.err_msg : "it asked to exit");
    PyConfig_Clear(&config);
    return r;
}

/* --- after the start, by the C API; all return 0, or -1 with an exception --- */

static int insert_path(PyObject *list, Py_ssize_t *i, const char *directory)
{
    _cleanup_decref_ PyObject *path = PyUnicode_DecodeFSDefault(directory);

    return path ? PyList_Insert(list, (*i)++, path) : -1;
}

static int set_up_path(const InterpreterOptions *options)
{
    PyObject *list = PySys_GetObject("path");
    Py_ssize_t i = 0;

    if (!list || !PyList_Check(list)) {
        PyErr_SetString(PyExc_RuntimeError, "sys.path is not a list");
        return -1;
    }
    if (options->chdir && insert_path(list, &i, options->chdir) < 0)
        return -1;
    for (char *const *p = options->pythonpath; p && *p; p++)
        if (insert_path(list, &i, *p) < 0)
            return -1;
    return 0;
}

/* What python3 was started with is not the application's. */
static int set_up_arguments(const char *process_name)
{
    static const char *const names[] = {"argv", "orig_argv"};

    for (size_t i = 0; i < ELEMENTSOF(names); i++) {
        _cleanup_decref_ PyObject *list = Py_BuildValue("[s]", process_name);

        if (!list || PySys_SetObject(names[i], list) < 0)
            return -1;
    }
    return 0;
}

/* Otherwise what the application prints stays in a buffer until that is full, because nothing here is a
 * terminal. */
static int set_up_stream(const char *name)
{
    _cleanup_decref_ PyObject *stream = Py_XNewRef(PySys_GetObject(name)), *reconfigure = NULL, *none = NULL;
    _cleanup_decref_ PyObject *args = NULL, *keywords = NULL;

    if (!stream || Py_IsNone(stream)) /* the descriptor was closed at the start */
        return 0;
    reconfigure = PyObject_GetAttrString(stream, "reconfigure");
    args = PyTuple_New(0);
    keywords = Py_BuildValue("{sO}", "line_buffering", Py_True);
    none = reconfigure && args && keywords ? PyObject_Call(reconfigure, args, keywords) : NULL;
    return none ? 0 : -1;
}

static int enable_faulthandler(void)
{
    _cleanup_decref_ PyObject *module = PyImport_ImportModule("faulthandler");
    _cleanup_decref_ PyObject *enable = module ? PyObject_GetAttrString(module, "enable") : NULL;
    _cleanup_decref_ PyObject *args = Py_BuildValue("(iO)", STDERR_FILENO, Py_True);
    _cleanup_decref_ PyObject *none = enable && args ? PyObject_CallObject(enable, args) : NULL;

    return none ? 0 : -1;
}

/* The signal module takes SIGINT for KeyboardInterrupt when it is first imported, whatever PyConfig said; and python3
 * ignores SIGXFSZ, and has done both at its start. */
static int keep_signals(void)
{
    static const int numbers[] = {SIGINT, SIGXFSZ};
    _cleanup_decref_ PyObject *module = PyImport_ImportModule("_signal");

    for (size_t i = 0; module && i < ELEMENTSOF(numbers); i++) {
        _cleanup_decref_ PyObject *former =
            PyObject_CallMethod(module, "signal", "il", numbers[i], (long)SIG_DFL);

        if (!former)
            return -1;
    }
    return module ? 0 : -1;
}

/* The threading module takes the thread that first imports it for the main one, and waits for it at the end. */
static int import_threading(void)
{
    _cleanup_decref_ PyObject *module = PyImport_ImportModule("threading");

    return module ? 0 : -1;
}

static void on_forked_child(void)
{
    is_forked_child = true;
    if (forked_child.callback)
        forked_child.callback(forked_child.arg);
}

static int start_embedded(const InterpreterOptions *options, char **ret_error)
{
    _cleanup_free_ char *executable = NULL;

    if (find_executable(options->virtualenv, &executable, ret_error) < 0)
        return -1;
    return start(executable, options->process_name, ret_error);
}

int interpreter_init(const InterpreterOptions *options, char **ret_error)
{
    *ret_error = NULL;
    if (!Py_IsInitialized() && start_embedded(options, ret_error) < 0)
        return -1;
    main_thread = PyThreadState_Get();
    chunks_keep();
    if (pthread_atfork(NULL, NULL, on_forked_child) != 0)
        PyErr_NoMemory();
    if (PyErr_Occurred() || set_up_arguments(options->process_name) < 0 || set_up_path(options) < 0 ||
        set_up_stream("stdout") < 0 || set_up_stream("stderr") < 0 || keep_signals() < 0 ||
        enable_faulthandler() < 0 || import_threading() < 0) {
        *ret_error = exception_take_report("cannot set up Python");
        return -1;
    }
    return 0;
}

/* --- fork, threads, end --- */

void interpreter_before_fork(void)
{
    PyOS_BeforeFork();
}

void interpreter_after_fork_parent(void)
{
    PyOS_AfterFork_Parent();
}

void interpreter_after_fork_child(void)
{
    PyOS_AfterFork_Child();
    is_forked_child = false; /* but one of the server's own */
}

void interpreter_on_forked_child(void (*callback)(void *arg), void *arg)
{
    forked_child.callback = callback;
    forked_child.arg = arg;
}

bool interpreter_is_forked_child(void)
{
    return is_forked_child;
}

/* What sys.exit() was given: None, a number, or something to be printed. */
static int take_exit_status(void)
{
    _cleanup_decref_ PyObject *exception = python_take_exception();
    _cleanup_decref_ PyObject *code = python_get_attribute(exception, "code");

    if (code && Py_IsNone(code))
        return 0;
    if (code && PyLong_Check(code))
        return (int)PyLong_AsLong(code);
    if (code)
        PySys_FormatStderr("%S\n", code);
    return 1;
}

static void flush_streams(void)
{
    static const char *const names[] = {"stdout", "stderr"};

    for (size_t i = 0; i < ELEMENTSOF(names); i++) {
        PyObject *stream = PySys_GetObject(names[i]); /* borrowed */
        PyObject *ignored = stream ? PyObject_CallMethod(stream, "flush", NULL) : NULL;

        Py_XDECREF(ignored);
        PyErr_Clear();
    }
}

/* Not by Py_Exit(): what the worker registered with atexit is not for the child to run. */
void interpreter_exit_forked_child(void)
{
    _cleanup_free_ char *text = NULL;
    int status = 1;

    if (PyErr_Occurred() && PyErr_ExceptionMatches(PyExc_SystemExit)) {
        status = take_exit_status();
    } else {
        text = PyErr_Occurred() ? exception_take_text() : NULL;
        PySys_FormatStderr("A process that the application forked left the application: it ends here.\n%s\n",
                           text ? text : "");
    }
    flush_streams();
    _exit(status);
}

void interpreter_freeze(void)
{
    _cleanup_decref_ PyObject *gc = PyImport_ImportModule("gc");
    _cleanup_decref_ PyObject *frozen = gc ? PyObject_CallMethod(gc, "freeze", NULL) : NULL;

    /* It only saves memory: a failure is not worth more than forgetting it. */
    if (!frozen)
        PyErr_Clear();
}

void interpreter_collect(void)
{
    (void)PyGC_Collect();
    chunks_trim();
}

void interpreter_finalize(void)
{
    (void)Py_FinalizeEx();
    main_thread = NULL;
}

/* An InterpreterThread is CPython's PyThreadState under a name that needs no Python.h. */
InterpreterThread *interpreter_main_thread(void)
{
    return (InterpreterThread *)main_thread;
}

/* Otherwise threading makes one up when it is first asked, as for all threads that it has not started. */
static void name_thread(const char *name)
{
    _cleanup_decref_ PyObject *module = PyImport_ImportModule("threading");
    _cleanup_decref_ PyObject *thread = module ? PyObject_CallMethod(module, "current_thread", NULL) : NULL;
    _cleanup_decref_ PyObject *text = thread ? PyUnicode_FromString(name) : NULL;

    if (!text || PyObject_SetAttrString(thread, "name", text) < 0)
        PyErr_Clear();
}

InterpreterThread *interpreter_thread_new(const char *name)
{
    PyThreadState *t = PyThreadState_New(PyInterpreterState_Main());

    if (!t)
        return NULL;
    PyEval_RestoreThread(t);
    name_thread(name);
    return (InterpreterThread *)PyEval_SaveThread();
}

void interpreter_acquire(InterpreterThread *t)
{
    PyEval_RestoreThread((PyThreadState *)t);
}

void interpreter_release(InterpreterThread *t)
{
    PyThreadState *released = PyEval_SaveThread();

    assert(released == (PyThreadState *)t);
    (void)released;
}
