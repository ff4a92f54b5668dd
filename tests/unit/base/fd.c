/* SPDX-License-Identifier: MIT */
/* Unit tests of base/fd. */
#include "base/fd.h"

#include "base/cleanup.h"
#include "tap.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>

static void test_flags(void)
{
    _cleanup_close_ int a = -EBADF, b = -EBADF;
    int ends[2];

    if (pipe(ends) < 0)
        abort();
    a = ends[0];
    b = ends[1];
    is_int(fd_set_nonblocking(a, true), 0);
    ok((fcntl(a, F_GETFL) & O_NONBLOCK) != 0);
    is_int(fd_set_nonblocking(a, false), 0);
    ok((fcntl(a, F_GETFL) & O_NONBLOCK) == 0);
    is_int(fd_set_cloexec(a, true), 0);
    ok((fcntl(a, F_GETFD) & FD_CLOEXEC) != 0);
    is_int(fd_set_cloexec(a, false), 0);
    ok((fcntl(a, F_GETFD) & FD_CLOEXEC) == 0);
    is_int(fd_set_nonblocking(-1, true), -EBADF);
    is_int(fd_set_cloexec(-1, true), -EBADF);
}

static void test_sealed(void)
{
    _cleanup_close_ int fd = fd_new_sealed("test", "hello", 5);
    _cleanup_free_ char *data = NULL;
    size_t size = 0;

    ok(fd >= 0);
    ok((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    ok(pwrite(fd, "x", 1, 0) < 0 && errno == EPERM, "can't be written");
    ok(ftruncate(fd, 1) < 0 && errno == EPERM, "can't shrink");
    ok(ftruncate(fd, 9) < 0 && errno == EPERM, "can't grow");
    ok(fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE) < 0 && errno == EPERM, "no more seals");
    is_int(fd_read_all(fd, 5, &data, &size), 0);
    is_int(size, 5);
    is_string(data, "hello");
}

static void test_read_all(void)
{
    _cleanup_close_ int fd = memfd_create("test", MFD_CLOEXEC), directory = open("/", O_RDONLY | O_CLOEXEC),
                        proc = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    _cleanup_free_ char *big = calloc(1, 100000), *data = NULL;
    char *untouched = NULL;
    size_t size = 7;
    int ends[2];

    is_int(fd_read_all(fd, 0, &data, &size), 0);
    is_int(size, 0);
    is_string(data, "");
    freep(&data);
    memset(big, 'x', 100000);
    is_int(fd_write_all(fd, big, 100000), 0);
    is_int(fd_read_all(fd, 99999, &untouched, &size), -EFBIG);
    ok(!untouched);
    is_int(fd_read_all(fd, 100000, &data, &size), 0);
    ok(size == 100000 && memcmp(data, big, size) == 0 && data[size] == '\0');
    freep(&data);
    is_int(fd_read_all(proc, 100000, &data, &size), 0);
    ok(size > 100 && strlen(data) == size, "a file that says its size is 0");
    is_int(fd_read_all(proc, 10, &untouched, &size), -EFBIG);
    is_int(fd_read_all(directory, 10, &untouched, &size), -EISDIR);
    if (pipe(ends) < 0)
        abort();
    is_int(fd_read_all(ends[0], 10, &untouched, &size), -EINVAL);
    close(ends[0]);
    signal(SIGPIPE, SIG_IGN);
    is_int(fd_write_all(ends[1], "x", 1), -EPIPE);
    close(ends[1]);
    is_int(fd_read_all(-1, 10, &untouched, &size), -EBADF);
    is_int(fd_write_all(-1, "x", 1), -EBADF);
}

static void test_readable(void)
{
    int ends[2];

    if (pipe(ends) < 0)
        abort();
    ok(!fd_is_readable(ends[0]));
    is_int(fd_write_all(ends[1], "x", 1), 0);
    ok(fd_is_readable(ends[0]));
    ok(!fd_is_readable(-EBADF));
    close(ends[0]);
    close(ends[1]);
}

int main(void)
{
    test_flags();
    test_readable();
    test_sealed();
    test_read_all();
    return tap_done();
}
