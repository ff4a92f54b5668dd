/* SPDX-License-Identifier: MIT */
/* The client's side of sd_notify(3). Errors but a full queue are not looked at: there is nobody to tell that systemd
 * can't be told. */
#include "supervisor/notify.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#define RETRY_USEC (100 * USEC_PER_MSEC)
#define FAREWELL_MSEC 5000

/* --- messages --- */

/* fd: goes along; or -EBADF. flags: MSG_DONTWAIT, or 0 for a wait of up to FAREWELL_MSEC. False: the queue is full. */
static bool notify_send(const Notifier *n, const char *text, int fd, int flags)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof fd)];
    } control = {0};
    struct iovec part = {(char *)text, strlen(text)};
    struct msghdr message = {
        .msg_name = (void *)&n->address, .msg_namelen = n->address_size, .msg_iov = &part, .msg_iovlen = 1};

    if (fd >= 0) {
        control.header = (struct cmsghdr){
            .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof fd)};
        memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
        message.msg_control = &control;
        message.msg_controllen = sizeof control.space;
    }
    return sendmsg(n->fd, &message, flags | MSG_NOSIGNAL) >= 0 || (errno != EAGAIN && errno != ENOBUFS);
}

static void forget_oldest(Notifier *n)
{
    free(n->waiting[0].text);
    n->n_waiting--;
    memmove(n->waiting, n->waiting + 1, n->n_waiting * sizeof *n->waiting);
}

static bool send_waiting(Notifier *n, int flags)
{
    while (n->n_waiting > 0) {
        if (!notify_send(n, n->waiting[0].text, n->waiting[0].fd, flags))
            return false;
        forget_oldest(n);
    }
    return true;
}

/* The newest are those that count. */
static void keep(Notifier *n, char *text, int fd)
{
    if (n->n_waiting == NOTIFY_WAITING_MAX)
        forget_oldest(n);
    n->waiting[n->n_waiting++] = (Notification){text, fd};
}

static bool tell_with(Notifier *n, const char *text, int fd)
{
    return !notify_is_on(n) || (n->n_waiting == 0 && notify_send(n, text, fd, MSG_DONTWAIT));
}

static bool tell(Notifier *n, const char *text)
{
    return tell_with(n, text, -EBADF);
}

__attribute__((__format__(__printf__, 3, 4))) static void insist(Notifier *n, int fd, const char *format, ...)
{
    _cleanup_free_ char *text = NULL;
    va_list ap;
    int r;

    va_start(ap, format);
    r = vasprintf(&text, format, ap);
    va_end(ap);
    if (r < 0)
        text = NULL;
    else if (!tell_with(n, text, fd))
        keep(n, TAKE_PTR(text), fd);
}

/* --- start and end --- */

/* A path or "@" and an abstract name. */
static bool parse_address(Notifier *n, const char *text)
{
    size_t size = text ? strlen(text) : 0;

    if (size < 2 || size >= sizeof n->address.sun_path || (text[0] != '/' && text[0] != '@'))
        return false;
    n->address.sun_family = AF_UNIX;
    memcpy(n->address.sun_path, text, size + 1);
    n->address_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size);
    if (text[0] == '@')
        n->address.sun_path[0] = '\0';
    else
        n->address_size++;
    return true;
}

void notify_open(Notifier *n)
{
    static const struct timeval farewell = {.tv_sec = FAREWELL_MSEC / 1000};
    uint64_t usec;

    *n = (Notifier){.fd = -EBADF};
    if (!parse_address(n, getenv("NOTIFY_SOCKET")))
        return;
    n->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (n->fd >= 0)
        (void)setsockopt(n->fd, SOL_SOCKET, SO_SNDTIMEO, &farewell, sizeof farewell);
    if (sd_watchdog_enabled(0, &usec) > 0)
        n->watchdog_usec = usec / 2;
}

void notify_close(Notifier *n)
{
    while (n->n_waiting > 0)
        forget_oldest(n);
    if (notify_is_on(n))
        close(n->fd);
    n->fd = -EBADF;
}

bool notify_is_on(const Notifier *n)
{
    return n->fd >= 0;
}

usec_t notify_advance(Notifier *n, usec_t now)
{
    usec_t next = UINT64_MAX;

    if (!notify_is_on(n))
        return next;
    if (!send_waiting(n, MSG_DONTWAIT))
        next = now + RETRY_USEC;
    if (n->watchdog_usec > 0 && now >= n->next_watchdog_usec)
        n->next_watchdog_usec = now + (tell(n, "WATCHDOG=1") ? n->watchdog_usec : RETRY_USEC);
    return n->watchdog_usec > 0 ? MIN(next, n->next_watchdog_usec) : next;
}

/* --- what is told --- */

bool notify_status(Notifier *n, const char *text)
{
    _cleanup_free_ char *line = NULL;

    return asprintf(&line, "STATUS=%s", text) >= 0 && tell(n, line);
}

bool notify_extend_timeout(Notifier *n, usec_t usec)
{
    char line[64];

    (void)snprintf(line, sizeof line, "EXTEND_TIMEOUT_USEC=%" PRIu64, usec);
    return tell(n, line);
}

void notify_ready(Notifier *n, const char *status)
{
    insist(n, -EBADF, "READY=1\nSTATUS=%s", status);
}

void notify_reloading(Notifier *n, const char *status)
{
    insist(n, -EBADF, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64 "\nSTATUS=%s", clock_now_usec(), status);
}

void notify_stopping(Notifier *n, const char *status)
{
    insist(n, -EBADF, "STOPPING=1\nSTATUS=%s", status);
}

void notify_store(Notifier *n, const char *name, int fd)
{
    insist(n, fd, "FDSTORE=1\nFDNAME=%s", name);
}

void notify_unstore(Notifier *n, const char *name)
{
    insist(n, -EBADF, "FDSTOREREMOVE=1\nFDNAME=%s", name);
}

void notify_hopeless(Notifier *n, const char *status)
{
    insist(n, -EBADF, "WATCHDOG=trigger\nSTATUS=%s", status);
}

/* systemd closes the descriptor that goes with a BARRIER=1 when it has read all that came before
 * (sd_notify_barrier(3)). */
void notify_failed(Notifier *n, const char *status)
{
    _cleanup_close_ int in = -EBADF, out = -EBADF;
    struct pollfd end;
    int ends[2];

    if (!notify_is_on(n))
        return;
    insist(n, -EBADF, "STATUS=%s", status);
    if (!send_waiting(n, 0) || pipe2(ends, O_CLOEXEC) < 0)
        return;
    in = ends[0];
    out = ends[1];
    if (!notify_send(n, "BARRIER=1", out, 0))
        return;
    close(TAKE_FD(out));
    end = (struct pollfd){.fd = in};
    (void)poll(&end, 1, FAREWELL_MSEC);
}
