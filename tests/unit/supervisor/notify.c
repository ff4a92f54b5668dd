/* SPDX-License-Identifier: MIT */
/* Messages to a socket that is read, and to one that is full: what is kept, in which order, and what is lost. */
#include "supervisor/notify.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "tap.h"

#include <assert.h>
#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

static int manager = -EBADF; /* its end */
static char got[512];

/* The manager's socket, at an abstract address. */
static void begin(void)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    socklen_t size = sizeof a;
    char variable[32];

    manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert(bind(manager, (struct sockaddr *)&a, sizeof a.sun_family) == 0);
    assert(getsockname(manager, (struct sockaddr *)&a, &size) == 0);
    (void)snprintf(variable, sizeof variable, "@%.*s",
                   (int)(size - offsetof(struct sockaddr_un, sun_path)) - 1, a.sun_path + 1);
    setenv("NOTIFY_SOCKET", variable, 1);
}

/* "" where there is nothing to read. */
static const char *receive(void)
{
    ssize_t n = recv(manager, got, sizeof got - 1, 0);

    got[n > 0 ? n : 0] = '\0';
    return got;
}

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
    is_string(receive(), "STATUS=100 %s");
    ok(notify_extend_timeout(&n, 15 * USEC_PER_SEC));
    is_string(receive(), "EXTEND_TIMEOUT_USEC=15000000");
    notify_ready(&n, "well");
    is_string(receive(), "READY=1\nSTATUS=well");
    notify_reloading(&n, "again");
    ok(strncmp(receive(), "RELOADING=1\nMONOTONIC_USEC=", 27) == 0 && strstr(got, "\nSTATUS=again"));
    notify_stopping(&n, "end");
    is_string(receive(), "STOPPING=1\nSTATUS=end");
    notify_hopeless(&n, "nobody");
    is_string(receive(), "WATCHDOG=trigger\nSTATUS=nobody");
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
        ok(strncmp(receive(), "EXTEND", 6) == 0, "what went out before");
    ok(!notify_status(&n, "lost"), "nothing overtakes what waits");
    is_string(receive(), "");
    is_int(notify_advance(&n, 2 * USEC_PER_SEC), -1);
    ok(strstr(receive(), "RELOADING=1\n") == got && strstr(got, "STATUS=first"));
    is_string(receive(), "READY=1\nSTATUS=first");
    ok(strstr(receive(), "RELOADING=1\n") == got && strstr(got, "STATUS=second"));
    is_string(receive(), "READY=1\nSTATUS=second");
    is_string(receive(), "");
    (void)fill(&n);
    notify_stopping(&n, "never taken");
    notify_close(&n);
    while (*receive())
        ;
}

/* Its name, and whether a descriptor came along that is the same file as fd. */
static bool receive_with(int fd)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec part = {got, sizeof got - 1};
    struct msghdr m = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    ssize_t n = recvmsg(manager, &m, MSG_CMSG_CLOEXEC);
    struct stat ours, theirs;
    int came;

    got[n > 0 ? n : 0] = '\0';
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
    is_string(got, "FDSTORE=1\nFDNAME=stored-a");
    notify_unstore(&n, "stored-a");
    is_string(receive(), "FDSTOREREMOVE=1\nFDNAME=stored-a");
    n_sent = fill(&n);
    notify_store(&n, "stored-b", memory);
    while (n_sent-- > 0)
        (void)receive();
    is_string(receive(), "");
    is_int(notify_advance(&n, 0), -1);
    ok(receive_with(memory));
    is_string(got, "FDSTORE=1\nFDNAME=stored-b");
    notify_close(&n);
}

static void test_watchdog(void)
{
    Notifier n;

    setenv("WATCHDOG_USEC", "3000000", 1);
    notify_open(&n);
    unsetenv("WATCHDOG_USEC");
    is_int(notify_advance(&n, 10 * USEC_PER_SEC), 11500 * USEC_PER_MSEC);
    is_string(receive(), "WATCHDOG=1");
    is_int(notify_advance(&n, 11 * USEC_PER_SEC), 11500 * USEC_PER_MSEC);
    is_string(receive(), "");
    is_int(notify_advance(&n, 12 * USEC_PER_SEC), 13500 * USEC_PER_MSEC);
    is_string(receive(), "WATCHDOG=1");
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
    is_string(receive(), "STATUS=broken");
    ok(recv(manager, got, sizeof got, MSG_PEEK) > 0);
    is_int(waitpid(pid, NULL, WNOHANG), 0);
    is_string(receive(), "BARRIER=1"); /* which takes no descriptor, so that the message's is closed */
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
    begin();
    test_messages();
    test_full_queue();
    test_store();
    test_watchdog();
    test_failed();
    test_nobody();
    close(manager);
    return tap_done();
}
