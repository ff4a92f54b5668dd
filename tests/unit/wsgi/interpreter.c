/* SPDX-License-Identifier: MIT */
/* The interpreter as a site gets it. Each case in a process of its own, because Python starts once in a
 * process. */
#include "harness.h"

#include "wsgi/interpreter.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

static char directory[] = "/tmp/interpreter-test-XXXXXX";

static const char *in_directory(const char *name)
{
    static char paths[4][4096];
    static unsigned n;
    char *path = paths[n++ % ELEMENTSOF(paths)];

    snprintf(path, sizeof(paths[0]), "%s/%s", directory, name);
    return path;
}

static void run_shell(const char *format, const char *argument)
{
    char command[8192];

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(command, sizeof(command), format, argument);
#pragma GCC diagnostic pop
    if (system(command) != 0)
        printf("# failed: %s\n", command);
}

/* Runs f in a child; its exit status, or -1 - signal. */
static int in_child(int (*f)(void))
{
    int status;
    pid_t pid;

    fflush(stdout);
    pid = fork();
    if (pid == 0)
        _exit(f());
    if (pid < 0 || waitpid(pid, &status, 0) < 0)
        return -1000;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1 - WTERMSIG(status);
}

static bool start(InterpreterOptions options)
{
    _cleanup_free_ char *error = NULL;

    options.process_name = "cgunicorn: test";
    if (interpreter_init(&options, &error) == 0)
        return true;
    printf("# %s\n", error);
    return false;
}

/* Whether every assertion of the source holds. */
static bool holds(const char *source)
{
    int r = PyRun_SimpleString(source);

    if (r != 0)
        PyErr_Clear();
    return r == 0;
}

/* --- what Python sees --- */

static int plain(void)
{
    static char *const pythonpath[] = {(char *)"/one", (char *)"/t\xc3\xa9o", NULL};
    struct sigaction interrupt;

    setenv("PYTHONPATH", "/from/environment", 1);
    if (!start((InterpreterOptions){.chdir = "/tmp", .pythonpath = pythonpath}))
        return 1;
    sigaction(SIGINT, NULL, &interrupt);
    if (interrupt.sa_handler != SIG_DFL)
        return 2;
    return !holds(
        "import sys, os, signal, faulthandler\n"
        "assert sys.argv == ['cgunicorn: test'], sys.argv\n"
        "assert sys.path[:3] == ['/tmp', '/one', '/t\\xe9o'], sys.path\n"
        "assert sys.path[3] == '/from/environment', sys.path\n"
        "assert '' not in sys.path and sys.flags.safe_path\n"
        "assert not sys.flags.isolated and not sys.flags.ignore_environment\n"
        "assert sys.executable == '" PYTHON_INTERPRETER "', sys.executable\n"
        "assert sys.prefix == sys.base_prefix\n"
        "assert not __import__('site').ENABLE_USER_SITE\n"
        "assert sys.stdout.line_buffering and sys.stderr.line_buffering\n"
        "assert faulthandler.is_enabled()\n"
        "assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler\n"
        "import subprocess\n"
        "out = subprocess.run([sys.executable, '-c', 'print(6*7)'], capture_output=True, check=True).stdout\n"
        "assert out == b'42\\n', out\n");
}

static int virtualenv(void)
{
    _cleanup_free_ char *source = NULL;

    if (!start((InterpreterOptions){.virtualenv = in_directory("venv")}) ||
        asprintf(
            &source,
            "import sys, os, subprocess\n"
            "venv = '%s'\n"
            "assert sys.prefix == venv, sys.prefix\n"
            "assert sys.base_prefix != venv\n"
            "assert sys.executable == venv + '/bin/python3', sys.executable\n"
            "assert [p for p in sys.path if p.startswith(venv) and p.endswith('site-packages')], sys.path\n"
            "assert not [p for p in sys.path if p.endswith('dist-packages')], sys.path\n"
            "import in_venv\n"
            "out = subprocess.run([sys.executable, '-c', 'import sys, in_venv; print(sys.prefix)'],\n"
            "                     capture_output=True, check=True, text=True).stdout\n"
            "assert out.strip() == venv, out\n",
            in_directory("venv")) < 0)
        return 1;
    return !holds(source);
}

static int no_descriptors(void)
{
    close(STDIN_FILENO);
    close(STDERR_FILENO);
    return !start((InterpreterOptions){0});
}

static void test_start(void)
{
    is_int(in_child(plain), 0);
    run_shell(PYTHON_INTERPRETER " -m venv --without-pip %s/venv", directory);
    run_shell("cd %s/venv; echo 'x = 1' > "
              "$(bin/python3 -c 'import sysconfig; print(sysconfig.get_path(\"purelib\"))')/in_venv.py",
              directory);
    is_int(in_child(virtualenv), 0);
    is_int(in_child(no_descriptors), 0);
}

/* --- virtualenvs that can't be used --- */

static void write_venv(const char *cfg)
{
    FILE *f;

    run_shell("rm -rf %s/bad", directory);
    run_shell("mkdir -p %s/bad/bin", directory);
    if (!cfg)
        return;
    f = fopen(in_directory("bad/pyvenv.cfg"), "we");
    fputs(cfg, f);
    fclose(f);
}

static void refuses(const char *cfg, const char *text)
{
    InterpreterOptions options = {.virtualenv = in_directory("bad"), .process_name = "test"};
    _cleanup_free_ char *error = NULL;

    write_venv(cfg);
    is_int(interpreter_init(&options, &error), -1);
    ok(error && strstr(error, text), "%s", text);
    printf("# %s\n", error);
    ok(!Py_IsInitialized());
}

static void test_bad_virtualenvs(void)
{
    refuses(NULL, "there is no pyvenv.cfg in it, so it is not a virtualenv");
    refuses("home = /usr/bin\nversion = 3.2.1\n",
            "was made for Python 3.2, this worker embeds " PYTHON_MINOR ": ");
    refuses("version_info=3.99.0.final.0", "was made for Python 3.99, ");
    refuses("version = " PYTHON_MINOR "5.1\n", "was made for Python " PYTHON_MINOR "5, ");
    refuses("version = 4.0\n", "was made for Python 4.0, ");
    refuses("version = " PYTHON_MINOR ".1\n", "/bad/bin/python3: No such file or directory");
    refuses("version_info = " PYTHON_MINOR "\n", "/bad/bin/python3: No such file or directory");
    refuses("versions = 3.2\nhome = x", "/bad/bin/python3: No such file or directory");
}

/* --- threads, forks, the end --- */

static void *python_thread(void *result)
{
    InterpreterThread *t = interpreter_thread_new("runner-7");

    if (!t)
        return NULL;
    for (int i = 0; i < 3; i++) {
        PyGILState_STATE state;

        interpreter_acquire(t);
        state = PyGILState_Ensure();
        *(int *)result += holds("import threading; assert threading.current_thread().name == 'runner-7'");
        PyGILState_Release(state);
        interpreter_release(t);
    }
    return NULL;
}

static int threads(void)
{
    pthread_t thread;
    int n = 0;

    if (!start((InterpreterOptions){0}))
        return 1;
    interpreter_release(interpreter_main_thread());
    pthread_create(&thread, NULL, python_thread, &n);
    pthread_join(thread, NULL);
    interpreter_acquire(interpreter_main_thread());
    interpreter_finalize();
    return n != 3;
}

static int forks(void)
{
    int status;
    pid_t pid;

    if (!start((InterpreterOptions){0}) ||
        !holds("import os, gc\nevents = []\n"
               "os.register_at_fork(before=lambda: events.append('before'),\n"
               "                    after_in_parent=lambda: events.append('parent'),\n"
               "                    after_in_child=lambda: events.append('child'))\n"))
        return 1;
    interpreter_freeze();
    if (!holds("assert gc.get_freeze_count() > 1000"))
        return 2;
    interpreter_before_fork();
    pid = fork();
    if (pid == 0) {
        interpreter_after_fork_child();
        _exit(!holds("assert events == ['before', 'child'], events\n"
                     "import threading; t = threading.Thread(target=events.clear); t.start(); t.join()\n"));
    }
    interpreter_after_fork_parent();
    if (pid < 0 || waitpid(pid, &status, 0) < 0)
        return 3;
    return status != 0 || !holds("assert events == ['before', 'parent'], events");
}

/* atexit and threads that are still running are waited for. */
static int ends(void)
{
    if (!start((InterpreterOptions){0}) || chdir(directory) < 0 ||
        !holds("import atexit, threading\n"
               "e = threading.Event()\n"
               "def late():\n    e.wait(); open('thread', 'w')\n"
               "threading.Thread(target=late).start()\n"
               "atexit.register(lambda: open('atexit', 'w'))\n"
               "threading._register_atexit(e.set)\n"))
        return 1;
    interpreter_finalize();
    return access("thread", F_OK) != 0 || access("atexit", F_OK) != 0;
}

static int aborts(void)
{
    if (!start((InterpreterOptions){0}) || !freopen(in_directory("stderr"), "w", stderr))
        return 1;
    holds("import os\ndef stuck_here(): os.abort()\nstuck_here()\n");
    return 2;
}

static void test_life(void)
{
    is_int(in_child(threads), 0);
    is_int(in_child(forks), 0);
    is_int(in_child(ends), 0);
    is_int(in_child(aborts), -1 - SIGABRT);
    run_shell("grep -q 'in stuck_here' %1$s/stderr && touch %1$s/found", directory);
    ok(access(in_directory("found"), F_OK) == 0, "faulthandler printed the stack");
}

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!mkdtemp(directory))
        return 99;
    ok(strncmp(interpreter_version(), PYTHON_MINOR ".", strlen(PYTHON_MINOR ".")) == 0);
    test_bad_virtualenvs();
    test_start();
    test_life();
    run_shell("rm -rf %s", directory);
    return tap_done();
}
