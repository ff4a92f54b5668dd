/* SPDX-License-Identifier: MIT */
/* Which worker program a virtualenv means. The programs here are empty files. */
#include "supervisor/worker-program.h"

#include "base/cleanup.h"
#include "tap.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

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

static void drop(const char *name)
{
    char path[128];

    (void)snprintf(path, sizeof(path), "%s/%s", directory, name);
    (void)remove(path);
}

/* What worker_program_find() says of `directory` as a virtualenv. */
static int find(char **ret_path, char **ret_error)
{
    *ret_path = *ret_error = NULL;
    return worker_program_find(directory, ret_path, ret_error);
}

static void test_find(void)
{
    _cleanup_free_ char *none = NULL, *none2 = NULL, *missing = NULL, *error = NULL, *path = NULL,
                        *unused = NULL;

    is_int(find(&none, &error), WORKER_PROGRAM_E_NONE);
    ok(error && strstr(error, "pyvenv.cfg: No such file or directory"));
    put("pyvenv.cfg", "version = 3.77.1\n", 0600);
    put("cgunicorn-worker-3.11", "", 0700);
    is_int(find(&none2, &missing), WORKER_PROGRAM_E_NONE);
    ok(missing && strstr(missing, "is of Python 3.77") && strstr(missing, "(there for: 3.11)"));
    put("cgunicorn-worker-3.77", "", 0700);
    is_int(find(&path, &unused), 0);
    ok(path && strstr(path, "/cgunicorn-worker-3.77"));
}

static void test_find_without_virtualenv(void)
{
    _cleanup_free_ char *path = NULL, *error = NULL;

    put("cgunicorn-worker-" PYTHON_MINOR, "", 0700);
    is_int(worker_program_find(NULL, &path, &error), 0);
    ok(path && strstr(path, "/cgunicorn-worker-" PYTHON_MINOR));
    drop("cgunicorn-worker-" PYTHON_MINOR);
    free(path);
    path = NULL;
    is_int(worker_program_find(NULL, &path, &error), WORKER_PROGRAM_E_NONE);
    ok(error && strstr(error, "No such file or directory"));
}

int main(void)
{
    if (!mkdtemp(directory) || setenv("CGUNICORN_LIBEXECDIR", directory, 1) < 0)
        return 99;
    test_find();
    test_find_without_virtualenv();
    drop("pyvenv.cfg");
    drop("cgunicorn-worker-3.11");
    drop("cgunicorn-worker-3.77");
    (void)rmdir(directory);
    return tap_done();
}
