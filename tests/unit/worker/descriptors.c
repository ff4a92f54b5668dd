/* SPDX-License-Identifier: MIT */
/* Tests of worker/descriptors. */
#include "worker/descriptors.h"

#include "tap.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

/* Whether a process that adds fd goes on. */
static bool may_add(Descriptors *d, int fd)
{
    pid_t pid = fork();
    int status;

    if (pid == 0) {
        descriptors_add(d, fd);
        _exit(0);
    }
    waitpid(pid, &status, 0);
    ok(WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == EX_SOFTWARE));
    return WEXITSTATUS(status) == 0;
}

static void test_number_comes_twice(void)
{
    static const int numbers[] = {0, 63, 64, 100};
    Descriptors d;

    is_int(descriptors_init(&d), 0);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        ok(may_add(&d, numbers[i]));
        descriptors_add(&d, numbers[i]);
        ok(!may_add(&d, numbers[i]), "%d is there already", numbers[i]);
        ok(may_add(&d, numbers[i] + 1));
        descriptors_remove(&d, numbers[i]);
        ok(may_add(&d, numbers[i]));
    }
    descriptors_deinit(&d);
}

/* The application may raise RLIMIT_NOFILE later. */
static void test_past_the_limit(void)
{
    struct rlimit limit;
    Descriptors d;

    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = 256;
    setrlimit(RLIMIT_NOFILE, &limit);
    is_int(descriptors_init(&d), 0);
    for (int n = 0; n < 2; n++)
        ok(may_add(&d, 100000));
    descriptors_add(&d, 100000);
    descriptors_remove(&d, 100000);
    descriptors_add(&d, -1);
    descriptors_remove(&d, -1);
    descriptors_close(&d);
    descriptors_deinit(&d);
}

static void test_close(void)
{
    int mine = open("/dev/null", O_RDONLY | O_CLOEXEC), other = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int high = fcntl(mine, F_DUPFD_CLOEXEC, 64);
    Descriptors d;

    is_int(descriptors_init(&d), 0);
    descriptors_add(&d, mine);
    descriptors_add(&d, high);
    descriptors_close(&d);
    ok(fcntl(mine, F_GETFD) < 0 && fcntl(high, F_GETFD) < 0);
    ok(fcntl(other, F_GETFD) >= 0 && fcntl(STDOUT_FILENO, F_GETFD) >= 0);
    close(other);
    descriptors_deinit(&d);
}

static void test_errors(void)
{
    ok(descriptors_is_lost(EBADF) && descriptors_is_lost(ENOTSOCK) && descriptors_is_lost(ENOENT));
    ok(!descriptors_is_lost(EAGAIN) && !descriptors_is_lost(EMFILE) && !descriptors_is_lost(ECONNRESET));
}

int main(void)
{
    test_number_comes_twice();
    test_past_the_limit();
    test_close();
    test_errors();
    return tap_done();
}
