/* SPDX-License-Identifier: MIT */
/* Messages to a socket that is read, and to one that is full: what is kept, in which order, and what is lost. */
#include "supervisor/notify.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "manager.h"
#include "tap.h"

#include <assert.h>
#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

static size_t fill(Notifier *n)
{
    size_t i = 0;

    while (notify_extend_timeout(n, i))
        i++;
    return i;
}

static void test_messages(void)
{
    Notifier n;

    notify_open(&n);
    ok(notify_is_on(&n));
    ok(notify_status(&n, "100 %s"));
    is_string(manager_receive(), "STATUS=100 %s");
    ok(notify_extend_timeout(&n, 15 * USEC_PER_SEC));
    is_string(manager_receive(), "EXTEND_TIMEOUT_USEC=15000000");
    notify_ready(&n, "well");
    is_string(manager_receive(), "READY=1\nSTATUS=well");
    notify_reloading(&n, "again");
    ok(strncmp(manager_receive(), "RELOADING=1\nMONOTONIC_USEC=", 27) == 0 &&
       strstr(manager_said, "\nSTATUS=again"));
    notify_stopping(&n, "end");
    is_string(manager_receive(), "STOPPING=1\nSTATUS=end");
    notify_hopeless(&n, "nobody");
    is_string(manager_receive(), "WATCHDOG=trigger\nSTATUS=nobody");
    is_int(notify_advance(&n, 0), -1);
    notify_close(&n);
}

static void test_full_queue(void)
{
    Notifier n;
    size_t n_sent;

    notify_open(&n);
    n_sent = fill(&n);
    ok(n_sent > 0);
    notify_ready(&n, "lost");
    notify_reloading(&n, "first");
    notify_ready(&n, "first");
    notify_reloading(&n, "second");
    notify_ready(&n, "second");
    ok(!notify_status(&n, "lost"));
    ok(notify_advance(&n, USEC_PER_SEC) <= 2 * USEC_PER_SEC, "it is tried again soon");
    while (n_sent-- > 0)
        ok(strncmp(manager_receive(), "EXTEND", 6) == 0, "what went out before");
    ok(!notify_status(&n, "lost"), "nothing overtakes what waits");
    is_string(manager_receive(), "");
    is_int(notify_advance(&n, 2 * USEC_PER_SEC), -1);
    ok(strstr(manager_receive(), "RELOADING=1\n") == manager_said && strstr(manager_said, "STATUS=first"));
    is_string(manager_receive(), "READY=1\nSTATUS=first");
    ok(strstr(manager_receive(), "RELOADING=1\n") == manager_said && strstr(manager_said, "STATUS=second"));
    is_string(manager_receive(), "READY=1\nSTATUS=second");
    is_string(manager_receive(), "");
    (void)fill(&n);
    notify_stopping(&n, "never taken");
    notify_close(&n);
    while (*manager_receive())
        ;
}

/* Its name, and whether a descriptor came along that is the same file as fd. */
static bool receive_with(int fd)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec part = {manager_said, sizeof manager_said - 1};
    struct msghdr m = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    ssize_t n = recvmsg(manager, &m, MSG_CMSG_CLOEXEC);
    struct stat ours, theirs;
    int came;

    manager_said[n > 0 ? n : 0] = '\0';
    if (n < 0 || m.msg_controllen == 0)
        return false;
    memcpy(&came, CMSG_DATA(&control.header), sizeof came);
    assert(fstat(fd, &ours) == 0 && fstat(came, &theirs) == 0);
    close(came);
    return ours.st_ino == theirs.st_ino && ours.st_dev == theirs.st_dev;
}

/* Also where it had to wait. */
static void test_store(void)
{
    _cleanup_close_ int memory = memfd_create("stored", MFD_CLOEXEC);
    Notifier n;
    size_t n_sent;

    notify_open(&n);
    notify_store(&n, "stored-a", memory);
    ok(receive_with(memory));
    is_string(manager_said, "FDSTORE=1\nFDNAME=stored-a");
    notify_unstore(&n, "stored-a");
    is_string(manager_receive(), "FDSTOREREMOVE=1\nFDNAME=stored-a");
    n_sent = fill(&n);
    notify_store(&n, "stored-b", memory);
    while (n_sent-- > 0)
        (void)manager_receive();
    is_string(manager_receive(), "");
    is_int(notify_advance(&n, 0), -1);
    ok(receive_with(memory));
    is_string(manager_said, "FDSTORE=1\nFDNAME=stored-b");
    notify_close(&n);
}

static void test_watchdog(void)
{
    Notifier n;

    setenv("WATCHDOG_USEC", "3000000", 1);
    notify_open(&n);
    unsetenv("WATCHDOG_USEC");
    is_int(notify_advance(&n, 10 * USEC_PER_SEC), 11500 * USEC_PER_MSEC);
    is_string(manager_receive(), "WATCHDOG=1");
    is_int(notify_advance(&n, 11 * USEC_PER_SEC), 11500 * USEC_PER_MSEC);
    is_string(manager_receive(), "");
    is_int(notify_advance(&n, 12 * USEC_PER_SEC), 13500 * USEC_PER_MSEC);
    is_string(manager_receive(), "WATCHDOG=1");
    notify_close(&n);
}

/* The writer waits until its last words were read. */
static void test_failed(void)
{
    pid_t pid;
    Notifier n;

    notify_open(&n);
    pid = fork();
    if (pid == 0) {
        notify_failed(&n, "broken");
        _exit(0);
    }
    is_int(fd_set_nonblocking(manager, false), 0);
    is_string(manager_receive(), "STATUS=broken");
    ok(recv(manager, manager_said, sizeof manager_said, MSG_PEEK) > 0);
    is_int(waitpid(pid, NULL, WNOHANG), 0);
    is_string(manager_receive(),
              "BARRIER=1"); /* which takes no descriptor, so that the message's is closed */
    is_int(waitpid(pid, NULL, 0), pid);
    notify_close(&n);
}

static void test_nobody(void)
{
    static const char *const addresses[] = {"", "@", "/", "relative", "vsock:2:1234"};
    char path[200];
    Notifier n;

    for (size_t i = 0; i < ELEMENTSOF(addresses); i++) {
        setenv("NOTIFY_SOCKET", addresses[i], 1);
        notify_open(&n);
        ok(!notify_is_on(&n), "'%s' is no address", addresses[i]);
        ok(notify_status(&n, "x") && notify_advance(&n, 0) == UINT64_MAX);
        notify_ready(&n, "x");
        notify_failed(&n, "x");
        notify_close(&n);
    }
    memset(path, '/', sizeof path - 1);
    path[sizeof path - 1] = '\0';
    setenv("NOTIFY_SOCKET", path, 1);
    notify_open(&n);
    ok(!notify_is_on(&n), "a path that is too long");
    unsetenv("NOTIFY_SOCKET");
    notify_open(&n);
    ok(!notify_is_on(&n));

    setenv("NOTIFY_SOCKET", "/nonexistent/socket", 1);
    notify_open(&n);
    notify_ready(&n, "nobody is there");
    is_int(notify_advance(&n, 0), -1);
    notify_close(&n);
}

int main(void)
{
    unsetenv("WATCHDOG_PID");
    manager_begin();
    test_messages();
    test_full_queue();
    test_store();
    test_watchdog();
    test_failed();
    test_nobody();
    close(manager);
    return tap_done();
}
