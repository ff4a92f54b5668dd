/* SPDX-License-Identifier: MIT */
/* What is told of changes, limits, and what workers say that makes no sense. Editors and applications: tests/e2e. */
#include "supervisor/watch.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "tap.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define DEADLINE_USEC (30 * USEC_PER_SEC)

static char directory[] = "/tmp/cgunicorn-test-XXXXXX";
static char changed[PATH_MAX];
static unsigned n_changes;
static sd_event *event;
static Watch watch;
static int add_watch_errno;

/* In the place of the C library's, also for libsystemd. */
__attribute__((visibility("default"))) int inotify_add_watch(int fd, const char *path, uint32_t mask)
{
    if (add_watch_errno == 0)
        return (int)syscall(SYS_inotify_add_watch, fd, path, mask);
    errno = add_watch_errno;
    return -1;
}

static void on_change(void *userdata, const char *path)
{
    (void)userdata;
    n_changes++;
    (void)snprintf(changed, sizeof(changed), "%s", path);
}

static void write_file(const char *name)
{
    char path[PATH_MAX];
    FILE *f;

    (void)snprintf(path, sizeof(path), "%s/%s", directory, name);
    f = fopen(path, "w");
    ok(f && fclose(f) == 0, "%s", name);
}

static void make_directory(const char *name)
{
    char path[PATH_MAX];

    (void)snprintf(path, sizeof(path), "%s/%s", directory, name);
    ok(mkdir(path, 0700) == 0, "%s", name);
}

/* The one change, told once: its path below the directory. */
static void is_told(const char *name)
{
    char path[PATH_MAX];
    usec_t until = clock_now_usec() + DEADLINE_USEC;

    (void)snprintf(path, sizeof(path), "%s/%s", directory, name);
    while (n_changes == 0 && clock_now_usec() < until)
        (void)sd_event_run(event, USEC_PER_SEC);
    is_int(n_changes, 1);
    is_string(changed, path);
    n_changes = 0;
}

/* Whatever has been written is read; whether it began a change. */
static bool is_pending(void)
{
    while (sd_event_run(event, 0) > 0)
        ;
    return watch.latest_usec != 0;
}

static void begin(const char *settings)
{
    char *overrides[] = {(char *)"app.module=a", (char *)"develop.reload=yes", (char *)settings, NULL};
    _cleanup_(config_freep) Config *config = NULL;
    _cleanup_free_ char *error = NULL;

    is_int(config_parse(NULL, 0, NULL, overrides, &config, &error), 0);
    watch_begin(&watch, event, config, on_change, NULL);
}

static void test_modules(void)
{
    begin(NULL);
    watch_add_modules(&watch, directory);
    is_int(watch.n_directories, 1);
    write_file("notes.txt");
    write_file(".hidden.py");
    write_file("module.py.swp");
    ok(!is_pending());
    for (unsigned i = 0; i < 50; i++)
        write_file("module.py");
    write_file("other.py");
    is_told("module.py");
    write_file("extension.so");
    is_told("extension.so");
}

/* Those that nobody has imported yet. */
static void test_new_directories(void)
{
    make_directory("package");
    make_directory("package/inner");
    write_file("package/inner/module.py");
    is_told("package/inner/module.py");
    make_directory("__pycache__");
    write_file("__pycache__/module.py");
    make_directory(".hidden");
    write_file(".hidden/module.py");
    ok(!is_pending());
}

/* What a worker read before anybody watched. */
static void test_changed_meanwhile(void)
{
    char path[PATH_MAX];

    watch_deinit(&watch);
    begin(NULL);
    write_file("package/inner/module.py");
    (void)snprintf(path, sizeof(path), "%s/package/inner\n%s\n", directory, directory);
    watch_add_modules(&watch, path);
    is_told("package/inner/module.py");
}

static void test_nonsense(void)
{
    char *much = malloc(2 * PATH_MAX);

    watch_deinit(&watch);
    begin(NULL);
    memset(much, '/', 2 * PATH_MAX);
    much[2 * PATH_MAX - 1] = '\0';
    watch_add_modules(&watch, much);
    watch_add_modules(&watch, "");
    watch_add_modules(&watch, "\n\n");
    watch_add_modules(&watch, "relative\n../relative");
    watch_add_modules(&watch, "/nonexistent\n/dev/null\n/etc/passwd\n");
    is_int(watch.n_directories, 0);
    ok(!watch.has_warned);
    free(much);
}

static void test_patterns(void)
{
    char settings[PATH_MAX];

    watch_deinit(&watch);
    (void)snprintf(settings, sizeof(settings), "develop.watch=%s/pages/**/*.html %s/package/", directory,
                   directory);
    make_directory("pages");
    make_directory("pages/deep");
    begin(settings);
    write_file("module.py");
    write_file("pages/page.txt");
    ok(!is_pending());
    write_file("pages/deep/page.html");
    is_told("pages/deep/page.html");
    write_file("package/inner/anything");
    is_told("package/inner/anything");
}

static void test_limits(void)
{
    static const int errors[] = {ENOSPC, EMFILE, EACCES};

    for (size_t i = 0; i < ELEMENTSOF(errors); i++) {
        watch_deinit(&watch);
        begin(NULL);
        add_watch_errno = errors[i];
        watch_add_modules(&watch, directory);
        is_int(watch.n_directories, 0);
        ok(watch.has_warned);
        add_watch_errno = 0;
        watch_add_modules(&watch, directory);
        is_int(watch.n_directories, 1);
    }
}

static void test_off(void)
{
    watch_deinit(&watch);
    begin("develop.reload=no");
    watch_add_modules(&watch, directory);
    is_int(watch.n_directories, 0);
    ok(!watch.event);
}

int main(void)
{
    char command[PATH_MAX];

    log_init("", LOG_INFO);
    ok(mkdtemp(directory) && sd_event_new(&event) >= 0);
    test_modules();
    test_new_directories();
    test_changed_meanwhile();
    test_nonsense();
    test_patterns();
    test_limits();
    test_off();
    sd_event_unref(event);
    (void)snprintf(command, sizeof(command), "rm -r %s", directory);
    is_int(system(command), 0);
    return tap_done();
}
