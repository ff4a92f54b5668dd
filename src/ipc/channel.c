/* SPDX-License-Identifier: MIT */
/* One message, one packet: a fixed header and a text. Native byte order: both ends are on this machine, of
 * one build. */
#include "ipc/channel.h"

#include "base/cleanup.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

typedef struct WireHeader {
    uint32_t type;
    uint32_t generation;
    uint32_t seat;
    int32_t pid;
    uint32_t text_size;
} WireHeader;

typedef union Control {
    struct cmsghdr header; /* for its alignment */
    char data[CMSG_SPACE(MESSAGE_FDS_MAX * sizeof(int))];
} Control;

int channel_new_pair(int ret_ends[2])
{
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ret_ends) < 0 ? -errno : 0;
}

static void attach_fds(struct msghdr *mh, Control *control, const Message *m)
{
    size_t size = m->n_fds * sizeof(int);
    struct cmsghdr *c;

    if (m->n_fds == 0)
        return;
    mh->msg_control = control->data;
    mh->msg_controllen = CMSG_SPACE(size);
    c = CMSG_FIRSTHDR(mh);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(size);
    memcpy(CMSG_DATA(c), m->fds, size);
}

int channel_send(int fd, const Message *m)
{
    WireHeader header = {
        .type = m->type,
        .generation = m->generation,
        .seat = m->seat,
        .pid = m->pid,
        .text_size = (uint32_t)strnlen(m->text, MESSAGE_TEXT_MAX - 1),
    };
    struct iovec iov[] = {{&header, sizeof(header)}, {(char *)m->text, header.text_size}};
    struct msghdr mh = {.msg_iov = iov, .msg_iovlen = ELEMENTSOF(iov)};
    Control control = {0};

    if (m->type == 0 || m->type > MESSAGE_TYPE_LAST_ || m->n_fds > MESSAGE_FDS_MAX)
        return -EINVAL;
    attach_fds(&mh, &control, m);
    for (;;) {
        if (sendmsg(fd, &mh, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
            return 0;
        if (errno == ECONNRESET || errno == ECONNREFUSED)
            return -EPIPE; /* the other end went while it had something unread, or just now */
        if (errno != EINTR)
            return -errno;
    }
}

/* Takes over the descriptors that came along. False where there was any other control message. */
static bool take_fds(struct msghdr *mh, Message *ret)
{
    bool known = true;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c; c = CMSG_NXTHDR(mh, c)) {
        size_t n;

        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) {
            known = false;
            continue;
        }
        n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        assert(n <= MESSAGE_FDS_MAX - ret->n_fds); /* the buffer has no room for more */
        memcpy(ret->fds + ret->n_fds, CMSG_DATA(c), n * sizeof(int));
        ret->n_fds += n;
    }
    return known;
}

/* recvmsg() returns 0 at the end of file and for an empty packet as well. */
static bool peer_is_gone(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLRDHUP};

    return poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP)) != 0;
}

static ssize_t receive_packet(int fd, struct msghdr *mh)
{
    for (;;) {
        ssize_t n = recvmsg(fd, mh, MSG_CMSG_CLOEXEC);

        if (n >= 0)
            return n;
        /* ECONNRESET: the other end went while it had something unread. Reported once, before the messages
         * that it had sent, which are still to be had (unix_release_sock() in Linux). */
        if (errno != EINTR && errno != ECONNRESET)
            return -errno;
    }
}

static bool message_is_valid(const Message *m, const WireHeader *header, size_t packet_size)
{
    return packet_size >= sizeof(*header) && header->text_size == packet_size - sizeof(*header) &&
           header->type > 0 && header->type <= MESSAGE_TYPE_LAST_ &&
           memchr(m->text, '\0', header->text_size) == NULL;
}

int channel_receive(int fd, Message *ret)
{
    WireHeader header;
    struct iovec iov[] = {{&header, sizeof(header)}, {ret->text, MESSAGE_TEXT_MAX - 1}};
    Control control;
    struct msghdr mh = {
        .msg_iov = iov,
        .msg_iovlen = ELEMENTSOF(iov),
        .msg_control = control.data,
        .msg_controllen = sizeof(control.data),
    };
    ssize_t n;

    ret->n_fds = 0;
    n = receive_packet(fd, &mh);
    if (n < 0)
        return (int)n;
    if (n == 0 && mh.msg_controllen == 0 && peer_is_gone(fd))
        return CHANNEL_E_EOF;
    if (!take_fds(&mh, ret) || (mh.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0 ||
        !message_is_valid(ret, &header, (size_t)n)) {
        message_close_fds(ret);
        return -EPROTO;
    }
    ret->type = header.type;
    ret->generation = header.generation;
    ret->seat = header.seat;
    ret->pid = header.pid;
    ret->text[header.text_size] = '\0';
    return 0;
}

void message_close_fds(Message *m)
{
    for (size_t i = 0; i < m->n_fds; i++)
        closep(&m->fds[i]);
    m->n_fds = 0;
}
