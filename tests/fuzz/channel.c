/* SPDX-License-Identifier: MIT */
/* Target: a packet from whoever writes to a channel's other end. Input: the number of descriptors that come
 * along, an octet that is odd where the sender then closes its end, the packet. It is refused and leaves no
 * descriptor behind, or it is a message that can be sent on and arrives the same. */
#include "ipc/channel.h"
#include "base/cleanup.h"
#include "fuzz.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define FDS_SENT_MAX (MESSAGE_FDS_MAX + 2)
#define HEADER_SIZE 20
#define PATIENCE_MSEC 10000

typedef struct Packet {
    size_t n_fds;
    bool close;
    Span data;
} Packet;

/* The lowest descriptor that is free: one that is left open changes it. */
static int lowest_free_fd(void)
{
    int fd = dup(STDERR_FILENO);

    fuzz_check(fd >= 0, "%s", strerror(errno));
    close(fd);
    return fd;
}

static void send_packet(int fd, const Packet *p)
{
    union {
        struct cmsghdr header;
        char data[CMSG_SPACE(FDS_SENT_MAX * sizeof(int))];
    } control = {0};
    struct iovec iov = {(char *)(uintptr_t)p->data.data, p->data.size};
    struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};

    if (p->n_fds > 0) {
        mh.msg_control = &control;
        mh.msg_controllen = CMSG_SPACE(p->n_fds * sizeof(int));
        control.header = (struct cmsghdr){
            .cmsg_len = CMSG_LEN(p->n_fds * sizeof(int)),
            .cmsg_level = SOL_SOCKET,
            .cmsg_type = SCM_RIGHTS,
        };
        for (size_t i = 0; i < p->n_fds; i++)
            memcpy(CMSG_DATA(&control.header) + i * sizeof(int), &fd, sizeof(fd));
    }
    fuzz_check(sendmsg(fd, &mh, MSG_NOSIGNAL) == (ssize_t)p->data.size, "%s", strerror(errno));
}

static uint32_t word(Span data, size_t i)
{
    uint32_t n;

    memcpy(&n, data.data + i * sizeof(n), sizeof(n));
    return n;
}

/* The order of the words in a packet is that of struct Message, then the size of the text. */
static bool is_message(const Packet *p)
{
    return p->n_fds <= MESSAGE_FDS_MAX && p->data.size >= HEADER_SIZE && word(p->data, 0) >= 1 &&
           word(p->data, 0) <= MESSAGE_TYPE_LAST_ && word(p->data, 4) == p->data.size - HEADER_SIZE &&
           p->data.size - HEADER_SIZE < MESSAGE_TEXT_MAX &&
           !memchr(p->data.data + HEADER_SIZE, '\0', p->data.size - HEADER_SIZE);
}

static void check_message(const Message *m, const Packet *p)
{
    fuzz_check(m->type == word(p->data, 0) && m->generation == word(p->data, 1) &&
                   m->seat == word(p->data, 2) && (uint32_t)m->pid == word(p->data, 3),
               "another header");
    fuzz_check(strlen(m->text) == p->data.size - HEADER_SIZE &&
                   memcmp(m->text, p->data.data + HEADER_SIZE, strlen(m->text)) == 0,
               "another text");
    fuzz_check(m->n_fds == p->n_fds, "%zu descriptors, not %zu", m->n_fds, p->n_fds);
    for (size_t i = 0; i < m->n_fds; i++)
        fuzz_check(fcntl(m->fds[i], F_GETFD) == FD_CLOEXEC, "descriptor %d", m->fds[i]);
}

static void send_on(const Message *m, const Packet *p)
{
    int ends[2];
    Message got;

    fuzz_check(channel_new_pair(ends) == 0, "%s", strerror(errno));
    fuzz_check(channel_send(ends[0], m) == 0, "%s", strerror(errno));
    fuzz_check(channel_receive(ends[1], &got) == 0, "%s", strerror(errno));
    check_message(&got, p);
    message_close_fds(&got);
    close(ends[0]);
    close(ends[1]);
}

static void check_received(int r, Message *m, const Packet *p)
{
    if (is_message(p)) {
        fuzz_check(r == 0, "%d", r);
        check_message(m, p);
        send_on(m, p);
        message_close_fds(m);
        return;
    }
    /* An empty packet before the end of file cannot be told from it. */
    fuzz_check(r == -EPROTO || (r == CHANNEL_E_EOF && p->close && p->data.size == 0 && p->n_fds == 0), "%d",
               r);
    fuzz_check(m->n_fds == 0, "%zu descriptors are kept", m->n_fds);
}

static void run(const Packet *p)
{
    int lowest = lowest_free_fd(), ends[2], r;
    Message m;

    fuzz_check(channel_new_pair(ends) == 0, "%s", strerror(errno));
    send_packet(ends[0], p);
    if (p->close)
        close(ends[0]);
    r = channel_receive(ends[1], &m);
    check_received(r, &m, p);
    /* The packet had descriptors of the end that is closed: Linux may let it go a little later (its collector of
     * sockets in flight). */
    if (p->close)
        (void)poll(&(struct pollfd){.fd = ends[1], .events = POLLIN}, 1, PATIENCE_MSEC);
    r = channel_receive(ends[1], &m);
    fuzz_check(r == (p->close ? CHANNEL_E_EOF : -EAGAIN), "%d behind the packet", r);
    if (!p->close)
        close(ends[0]);
    close(ends[1]);
    fuzz_check(lowest_free_fd() == lowest, "a descriptor is left open");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size >= 2)
        run(&(Packet){
            .n_fds = MIN(data[0], (uint8_t)FDS_SENT_MAX),
            .close = data[1] & 1,
            .data = {(const char *)data + 2, size - 2},
        });
    return 0;
}
