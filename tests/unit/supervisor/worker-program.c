/* SPDX-License-Identifier: MIT */
/* Which program a virtualenv means. The programs here are empty files. */
#include "supervisor/worker-program.h"

#include "base/cleanup.h"
#include "ipc/channel.h"
#include "tap.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char directory[] = "/tmp/cgunicorn-test-XXXXXX";

static void put(const char *name, const char *text, mode_t mode)
{
    char path[128];
    FILE *f;

    (void)snprintf(path, sizeof(path), "%s/%s", directory, name);
    f = fopen(path, "w");
    if (!f)
        return;
    fputs(text, f);
    fclose(f);
    chmod(path, mode);
}

static void make_directory(const char *name)
{
    char path[128];

    (void)snprintf(path, sizeof(path), "%s/%s", directory, name);
    (void)mkdir(path, 0700);
}

static void drop(const char *name)
{
    char path[128];

    (void)snprintf(path, sizeof(path), "%s/%s", directory, name);
    (void)remove(path);
}

/* What worker_program_find() says of `directory` as a virtualenv. */
static int find(WorkerProgram *ret, char **ret_error)
{
    Config config = {.app_virtualenv = directory};

    *ret_error = NULL;
    return worker_program_find(&config, ret, ret_error);
}

static bool refuses(const char *text)
{
    _cleanup_(worker_program_clear) WorkerProgram program = {0};
    _cleanup_free_ char *error = NULL;
    int r = find(&program, &error);

    printf("# %s\n", error ? error : "no error");
    return r == WORKER_PROGRAM_E_NONE && !program.path && error && strstr(error, text);
}

/* Whether path, in `directory`, is executed, as an interpreter or as the program. */
static bool finds(const char *path, bool is_interpreter)
{
    _cleanup_(worker_program_clear) WorkerProgram program = {0};
    _cleanup_free_ char *error = NULL;
    int r = find(&program, &error);

    printf("# %s %s\n", error ? error : "no error", program.path ? program.path : "");
    return r == 0 && strncmp(program.path, directory, strlen(directory)) == 0 &&
           strcmp(program.path + strlen(directory), path) == 0 &&
           is_interpreter == (program.modules && strcmp(program.modules, directory) == 0);
}

static void test_find(void)
{
    ok(refuses("pyvenv.cfg: No such file or directory"));
    put("pyvenv.cfg", "version = 3.77.1\n", 0600);
    ok(refuses("is of Python 3.77, and there is no worker for it in "));
    ok(refuses(" (there: none)"));
    put("cgunicorn-worker-3.7", "", 0700);
    put("_cgunicorn.cpython-377t-x86_64-linux-gnu.so", "", 0700);
    ok(refuses("cgunicorn-worker-3.7"));
    ok(refuses("_cgunicorn.cpython-377t-x86_64-linux-gnu.so"));
    put("cgunicorn-worker-3.77", "", 0700);
    ok(finds("/cgunicorn-worker-3.77", false));
    put("_cgunicorn.cpython-377-x86_64-linux-gnu.so", "", 0700);
    ok(refuses("app.virtualenv: cannot run "));
    put("bin/python3", "", 0700);
    ok(finds("/bin/python3", true));
}

static void test_find_free_threaded(void)
{
    make_directory("lib/python3.77t");
    ok(finds("/bin/python3", true));
    drop("_cgunicorn.cpython-377t-x86_64-linux-gnu.so");
    ok(refuses("is of Python 3.77t, "));
    put("cgunicorn-worker-3.77t", "", 0700);
    ok(finds("/cgunicorn-worker-3.77t", false));
}

static void test_find_without_virtualenv(void)
{
    _cleanup_(worker_program_clear) WorkerProgram program = {0}, none = {0}, named = {0};
    _cleanup_free_ char *error = NULL, *unused = NULL;
    Config config = {0}, naming = {.app_python = (char *)"/bin/true"};

    is_int(worker_program_find(&config, &none, &error), WORKER_PROGRAM_E_NONE);
    ok(error && strstr(error, "there is no worker for Python " PYTHON_ABI " in "), "%s", error);
    put("cgunicorn-worker-" PYTHON_ABI, "", 0700);
    is_int(worker_program_find(&config, &program, &unused), 0);
    ok(strstr(program.path, "/cgunicorn-worker-" PYTHON_ABI) && !program.modules);
    is_int(worker_program_find(&naming, &named, &unused), 0);
    is_string(named.path, "/bin/true");
    is_string(named.modules, directory);
}

/* Its FAILED is still to be read. */
static void test_greet_who_has_gone(void)
{
    static const char ini[] = "[app]\nmodule = a:b\n";
    _cleanup_(config_freep) Config *config = NULL;
    _cleanup_free_ char *error = NULL;
    int ends[2];

    is_int(config_parse(ini, strlen(ini), NULL, NULL, &config, &error), 0);
    is_int(channel_new_pair(ends), 0);
    close(ends[1]);
    is_int(worker_program_greet(ends[0], "", 1, config, STDIN_FILENO, STDIN_FILENO, NULL, NULL, 0), 0);
    close(ends[0]);
}

int main(void)
{
    _cleanup_free_ char *command = NULL;

    if (!mkdtemp(directory) || setenv("CGUNICORN_LIBEXECDIR", directory, 1) < 0 ||
        asprintf(&command, "rm -r '%s'", directory) < 0)
        return 99;
    make_directory("bin");
    make_directory("lib");
    test_find();
    test_find_free_threaded();
    test_find_without_virtualenv();
    test_greet_who_has_gone();
    ok(system(command) == 0);
    return tap_done();
}
