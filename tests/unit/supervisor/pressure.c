/* SPDX-License-Identifier: MIT */
/* What is watched and what is not, with a FIFO in the kernel's place. */
#include "supervisor/pressure.h"

#include "base/cleanup.h"
#include "tap.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static sd_event *event;
static unsigned n_calls;

static void on_pressure(void *userdata)
{
    ok(userdata == &n_calls);
    n_calls++;
}

/* NULL where nothing is watched, or an error, which goes to *ret_error. */
static Pressure *watch(const char *path, const char *what, int *ret_error)
{
    Pressure *p;

    (void)unsetenv("MEMORY_PRESSURE_WATCH");
    (void)unsetenv("MEMORY_PRESSURE_WRITE");
    if (path)
        (void)setenv("MEMORY_PRESSURE_WATCH", path, 1);
    if (what)
        (void)setenv("MEMORY_PRESSURE_WRITE", what, 1);
    *ret_error = pressure_new(event, on_pressure, &n_calls, &p);
    return p;
}

static void test_nothing(const char *directory)
{
    static const char *const paths[] = {NULL, "", "relative", "/dev/null"};
    char path[64];
    int r, fd;

    for (size_t i = 0; i < ELEMENTSOF(paths); i++)
        ok(!watch(paths[i], NULL, &r) && r == 0, "%s", paths[i] ? paths[i] : "unset");
    (void)snprintf(path, sizeof(path), "%s/missing", directory);
    ok(!watch(path, NULL, &r) && r == -ENOENT);
    (void)snprintf(path, sizeof(path), "%s/file", directory);
    fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    ok(fd >= 0 && !watch(path, NULL, &r) && r == -EPERM, "no event ever comes from a plain file");
    close(fd);
    (void)unlink(path);
}

static void test_fifo(const char *directory)
{
    char path[64], octets[8];
    Pressure *p;
    int r, fd;

    (void)snprintf(path, sizeof(path), "%s/fifo", directory);
    ok(mkfifo(path, 0600) == 0);
    fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    p = watch(path, "c29tZSAxNTAwMDA=", &r);
    ok(p && r == 0);
    ok(read(fd, octets, 4) == 4 && memcmp(octets, "some", 4) == 0, "it was told what to watch for");
    ok(sd_event_run(event, UINT64_MAX) > 0 && n_calls == 1);
    ok(read(fd, octets, 1) < 0 && errno == EAGAIN, "nothing is left in it");
    ok(write(fd, "x", 1) == 1 && sd_event_run(event, 0) >= 0 && n_calls == 1, "not again for a while");
    pressure_free(p);
    close(fd);
    (void)unlink(path);
}

int main(void)
{
    char directory[] = "/tmp/cgunicorn-test-XXXXXX";

    if (!mkdtemp(directory) || sd_event_new(&event) < 0)
        return 99;
    test_nothing(directory);
    test_fifo(directory);
    sd_event_unref(event);
    (void)rmdir(directory);
    return tap_done();
}
