/* SPDX-License-Identifier: MIT */
/* The listening sockets: passed by systemd, or bound here. */
#include "supervisor/sockets.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/strv.h"
#include "ipc/channel.h"

#include <errno.h>
#include <fnmatch.h>
#include <grp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

bool sockets_are_waited_for(const Sockets *s)
{
    for (size_t i = 0; i < s->n; i++)
        if (fd_is_readable(s->items[i].fd))
            return true;
    return fd_is_readable(s->queue[1]);
}

int sockets_open_queue(Sockets *s)
{
    return channel_new_pair(s->queue);
}

void sockets_close(Sockets *s)
{
    for (size_t i = 0; i < s->n; i++) {
        if (s->items[i].path)
            (void)unlink(s->items[i].path);
        free(s->items[i].path);
        closep(&s->items[i].fd);
    }
    free(s->items);
    closep(&s->queue[0]);
    closep(&s->queue[1]);
    *s = SOCKETS_NONE;
}

/* Takes fd over when it succeeds. */
static int sockets_add(Sockets *s, int fd)
{
    Socket *items = reallocarray(s->items, s->n + 1, sizeof(*items));

    if (!items)
        return -ENOMEM;
    s->items = items;
    items[s->n++] = (Socket){.fd = fd};
    return 0;
}

/* Accepted connections inherit TCP_NODELAY; responses leave in whole writes, for Nagle's algorithm to hold
 * nothing back. A client that says nothing waits in the kernel, at most about a second, and costs no connection of a
 * worker until then; the others arrive with their requests, which saves the worker a turn (TCP_DEFER_ACCEPT, tcp(7)).
 * What DeferAcceptSec= says is kept. */
static void prepare_tcp(int fd)
{
    int deferred, one = 1;
    socklen_t size = sizeof(deferred);

    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (getsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &deferred, &size) == 0 && deferred == 0)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &one, sizeof(one));
}

static int prepare(int fd)
{
    int family;
    socklen_t size = sizeof(family);

    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &size) == 0 &&
        (family == AF_INET || family == AF_INET6))
        prepare_tcp(fd);
    return fd_set_nonblocking(fd, true);
}

static bool name_serves(const char *name)
{
    return strcmp(name, "http") == 0 || strcmp(name, "unknown") == 0 || fnmatch("*.socket", name, 0) == 0;
}

static int refuse(char **ret_error, const char *name, int fd, const char *why)
{
    char address[SOCKET_NAME_MAX];

    if (asprintf(ret_error, "%s (FileDescriptorName=%s): %s", socket_describe(fd, address), name, why) < 0)
        return -ENOMEM;
    return SOCKETS_E_REFUSED;
}

/* The names in systemd's store begin with it, and no socket's does. */
static bool name_is_stored(const char *name)
{
    return strncmp(name, "stored", strlen("stored")) == 0;
}

static void take_stored(Notifier *n, int fd, const char *name, int *ret_stored)
{
    if (strcmp(name, SOCKETS_STORED) == 0 && *ret_stored < 0) {
        *ret_stored = fd;
        return;
    }
    log_debug("Descriptor \"%s\" was stored by another version; closing it", name);
    if (strcmp(name, SOCKETS_STORED) != 0)
        notify_unstore(n, name);
    close(fd);
}

/* fd: owned, unless this returns an error. */
static int take(Sockets *s, int fd, const char *name, char **ret_error)
{
    int r;

    if (strcmp(name, "connection") == 0)
        return refuse(ret_error, name, fd, "a connection; the socket unit needs Accept=no");
    if (!name_serves(name)) {
        log_warning("Descriptor of unknown name \"%s\" was passed; closing it", name);
        close(fd);
        return 0;
    }
    r = sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, 1);
    if (r < 0)
        return r;
    if (r == 0)
        return refuse(ret_error, name, fd,
                      "not a listening stream socket; the socket unit needs ListenStream=");
    r = prepare(fd);
    if (r < 0)
        return r;
    return sockets_add(s, fd);
}

int sockets_take_passed(Notifier *notifier, Sockets *ret, int *ret_stored, char **ret_error)
{
    _cleanup_strv_ char **names = NULL;
    int n = sd_listen_fds_with_names(1, &names), r = 0;

    *ret = SOCKETS_NONE;
    *ret_stored = -EBADF;
    if (n < 0)
        return n;
    for (int i = 0; i < n && r == 0; i++)
        if (name_is_stored(names[i]))
            take_stored(notifier, SD_LISTEN_FDS_START + i, names[i], ret_stored);
        else
            r = take(ret, SD_LISTEN_FDS_START + i, names[i], ret_error);
    return r;
}

/* A socket file that nobody listens at is left over from a crash. Only then is it removed. connect(2) says
 * ECONNREFUSED for files that are no sockets as well. */
static void remove_stale(const struct sockaddr_un *un, socklen_t size)
{
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct stat st;

    if (fd < 0 || lstat(un->sun_path, &st) < 0 || !S_ISSOCK(st.st_mode))
        return;
    if (connect(fd, (const struct sockaddr *)un, size) < 0 && errno == ECONNREFUSED)
        (void)unlink(un->sun_path);
}

static int set_group(const char *path, const char *group)
{
    const struct group *g;

    if (!group)
        return 0;
    errno = 0;
    g = getgrnam(group);
    if (!g)
        return errno > 0 ? -errno : -ESRCH;
    return chown(path, (uid_t)-1, g->gr_gid) < 0 ? -errno : 0;
}

/* The mode is there from the first moment on: bind(2) applies the umask, which is this process's alone. */
static int bind_unix(int fd, const struct sockaddr_un *un, socklen_t size, mode_t mode, Socket *s)
{
    mode_t old;
    int r;

    remove_stale(un, size);
    old = umask(0777 & ~mode);
    r = bind(fd, (const struct sockaddr *)un, size) < 0 ? -errno : 0;
    (void)umask(old);
    if (r < 0)
        return r;
    s->path = strdup(un->sun_path);
    return s->path ? 0 : -ENOMEM;
}

static int bind_address(Socket *s, const SocketAddress *a, socklen_t size, mode_t mode, const char *group)
{
    int one = 1, r;

    s->fd = socket(a->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (s->fd < 0)
        return -errno;
    (void)setsockopt(s->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (a->any.sa_family == AF_UNIX)
        r = bind_unix(s->fd, (const struct sockaddr_un *)&a->storage, size, mode, s);
    else
        r = bind(s->fd, &a->any, size) < 0 ? -errno : 0;
    if (r == 0 && s->path)
        r = set_group(s->path, group);
    if (r == 0)
        r = prepare(s->fd);
    if (r < 0)
        return r;
    return listen(s->fd, SOMAXCONN) < 0 ? -errno : 0;
}

static int bind_one(Sockets *s, const char *text, mode_t mode, const char *group, char **ret_error)
{
    SocketAddress a;
    socklen_t size;
    int r = socket_address_parse(text, &a, &size);

    if (r == -EINVAL) {
        r = asprintf(
            ret_error,
            "%s: not an address; wanted PORT, ADDRESS:PORT, [ADDRESS]:PORT or the path of a Unix socket",
            text);
        return r < 0 ? -ENOMEM : SOCKETS_E_REFUSED;
    }
    if (r == 0)
        r = sockets_add(s, -EBADF);
    if (r < 0)
        return r;
    r = bind_address(&s->items[s->n - 1], &a, size, mode, group);
    if (r == 0)
        return 0;
    r = asprintf(ret_error, "%s: cannot listen: %s", text, strerror(-r));
    return r < 0 ? -ENOMEM : SOCKETS_E_REFUSED;
}

int sockets_bind(char *const *addresses, mode_t mode, const char *group, Sockets *ret, char **ret_error)
{
    int r = 0;

    *ret = SOCKETS_NONE;
    for (size_t i = 0; r == 0 && i < strv_length(addresses); i++)
        r = bind_one(ret, addresses[i], mode, group, ret_error);
    if (r != 0)
        sockets_close(ret);
    return r;
}
