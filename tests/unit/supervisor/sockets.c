/* SPDX-License-Identifier: MIT */
/* Addresses, sockets bound in the foreground, sockets as systemd passes them. */
#include "supervisor/sockets.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "tap.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

static char directory[] = "/tmp/cgunicorn-test-XXXXXX";

static int bind_one(const char *address, Sockets *ret, char **ret_error)
{
    char *addresses[] = {(char *)address, NULL};

    return sockets_bind(addresses, 0640, NULL, ret, ret_error);
}

static void test_bind_tcp(void)
{
    _cleanup_free_ char *error = NULL;
    char name[SOCKET_NAME_MAX], again[SOCKET_NAME_MAX];
    int nodelay = 0, deferred = 0, listening = 0;
    socklen_t size = sizeof(nodelay);
    Sockets s, other;

    is_int(bind_one("127.0.0.1:0", &s, &error), 0);
    is_int(s.n, 1);
    ok(strncmp(socket_describe(s.items[0].fd, name), "http://127.0.0.1:", 17) == 0);
    getsockopt(s.items[0].fd, IPPROTO_TCP, TCP_NODELAY, &nodelay, &size);
    getsockopt(s.items[0].fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &deferred, &size);
    getsockopt(s.items[0].fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size);
    ok(nodelay && listening);
    is_int(deferred, 1);
    ok((fcntl(s.items[0].fd, F_GETFL) & O_NONBLOCK) && (fcntl(s.items[0].fd, F_GETFD) & FD_CLOEXEC));
    (void)snprintf(again, sizeof(again), "%s", name + strlen("http://"));
    is_int(bind_one(again, &other, &error), SOCKETS_E_REFUSED);
    ok(error && strstr(error, "Address already in use"));
    is_int(other.n, 0);
    sockets_close(&s);
    sockets_close(&s);
}

static void test_bind_unix(void)
{
    _cleanup_free_ char *error = NULL, *error2 = NULL;
    char path[128], name[SOCKET_NAME_MAX], expected[SOCKET_NAME_MAX + 8];
    Sockets s, other;
    struct stat st;

    (void)snprintf(path, sizeof(path), "%s/s", directory);
    (void)snprintf(expected, sizeof(expected), "unix:%s", path);
    is_int(bind_one(path, &s, &error), 0);
    is_string(socket_describe(s.items[0].fd, name), expected);
    ok(stat(path, &st) == 0 && (st.st_mode & 0777) == 0640);

    /* Somebody listens: it stays. */
    is_int(bind_one(path, &other, &error), SOCKETS_E_REFUSED);
    ok(error && strstr(error, "Address already in use"));

    /* Nobody listens any more, as after a crash: it is replaced. */
    close(s.items[0].fd);
    s.items[0].fd = -EBADF;
    is_int(bind_one(path, &other, &error2), 0);
    free(s.items[0].path);
    s.items[0].path = NULL;
    sockets_close(&s);
    sockets_close(&other);
    ok(stat(path, &st) < 0 && errno == ENOENT);
}

static void test_bind_over_file(void)
{
    _cleanup_free_ char *error = NULL;
    char path[128];
    struct stat st;
    Sockets s;

    (void)snprintf(path, sizeof(path), "%s/f", directory);
    close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    is_int(bind_one(path, &s, &error), SOCKETS_E_REFUSED);
    ok(stat(path, &st) == 0 && S_ISREG(st.st_mode));
    (void)unlink(path);
}

/* In a child: descriptor 3 is fd, named so. Returns 0 with one socket taken, 1 with none, 2 when refused, 3 where it
 * came out of the store. */
static int pass(int fd, const char *name)
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        char number[16];
        char *error = NULL;
        Notifier n = {.fd = -EBADF};
        Sockets s;
        int r, stored;

        (void)dup2(fd, 3);
        (void)snprintf(number, sizeof(number), "%d", (int)getpid());
        setenv("LISTEN_PID", number, 1);
        setenv("LISTEN_FDS", "1", 1);
        setenv("LISTEN_FDNAMES", name, 1);
        r = sockets_take_passed(&n, &s, &stored, &error);
        if (getenv("LISTEN_FDS") || getenv("LISTEN_FDNAMES"))
            _exit(10);
        if (r == 0 && s.n == 1 && !(fcntl(3, F_GETFL) & O_NONBLOCK))
            _exit(11);
        if (stored == 3)
            _exit(r == 0 && s.n == 0 && (fcntl(3, F_GETFD) & FD_CLOEXEC) ? 3 : 14);
        if (r == 0 && s.n == 0 && fcntl(3, F_GETFD) >= 0)
            _exit(12);
        _exit(r == 0 ? s.n == 0 : r == SOCKETS_E_REFUSED && error ? 2 : 13);
    }
    return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void test_passed(void)
{
    int stream = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
        datagram = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int idle = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ok(listen(stream, 1) == 0);
    is_int(pass(stream, "http"), 0);
    is_int(pass(stream, "unknown"), 0);
    is_int(pass(stream, "cgunicorn@blog.socket"), 0);
    is_int(pass(stream, "admin"), 1);
    is_int(pass(stream, SOCKETS_STORED), 3);
    is_int(pass(stream, "stored-by-another-version"), 1);
    is_int(pass(stream, "connection"), 2);
    is_int(pass(datagram, "http"), 2);
    is_int(pass(idle, "http"), 2);
    close(stream);
    close(datagram);
    close(idle);
}

int main(void)
{
    log_init("", LOG_CRIT);
    if (!mkdtemp(directory))
        return 99;
    test_bind_tcp();
    test_bind_unix();
    test_bind_over_file();
    test_passed();
    (void)rmdir(directory);
    return tap_done();
}
