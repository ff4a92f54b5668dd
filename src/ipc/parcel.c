/* SPDX-License-Identifier: MIT */
/* Connections in packets. */
#include "ipc/parcel.h"

#include "base/cleanup.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>

#define FDS_MAX 3 /* the connection, the memfd, the file of the body */
#define LOOKS_MAX 8

typedef struct Wire {
    uint32_t format;
    uint32_t flags;
    uint32_t listener;
    uint32_t unused;
    uint64_t deadline_usec;
    uint64_t started_usec;
    uint64_t ready_usec;
    uint64_t request_id;
    uint64_t in_size;
    uint64_t body_size; /* in memory */
    uint64_t body_file_size;
    char address[INET6_ADDRSTRLEN];
    char port[6];
    char server_address[INET6_ADDRSTRLEN];
    char server_port[6];
} Wire;

_Static_assert(sizeof(Wire) == 16 + 7 * 8 + 2 * (INET6_ADDRSTRLEN + 6), "no octets between the members");

typedef union Control {
    struct cmsghdr header; /* for its alignment */
    char data[CMSG_SPACE(FDS_MAX * sizeof(int))];
} Control;

/* --- sending --- */

static int write_octets(int fd, const Buffer *b)
{
    Span left = buffer_span(b);

    while (left.size > 0) {
        ssize_t n = write(fd, left.data, left.size);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        left = (Span){left.data + n, left.size - (size_t)n};
    }
    return 0;
}

static int octets_to_memfd(const Parcel *p, int *ret)
{
    _cleanup_close_ int fd = memfd_create("cgunicorn-request", MFD_CLOEXEC);
    int r = fd < 0 ? -errno : write_octets(fd, &p->in);

    if (r == 0)
        r = write_octets(fd, &p->body);
    if (r == 0)
        *ret = TAKE_FD(fd);
    return r;
}

static int send_packet(int queue, struct iovec *iov, size_t n_iov, const int *fds, size_t n_fds)
{
    Control control = {0};
    struct msghdr mh = {
        .msg_iov = iov,
        .msg_iovlen = n_iov,
        .msg_control = control.data,
        .msg_controllen = CMSG_SPACE(n_fds * sizeof(int)),
    };

    control.header = (struct cmsghdr){
        .cmsg_len = CMSG_LEN(n_fds * sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(&control.header), fds, n_fds * sizeof(int));
    while (sendmsg(queue, &mh, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        if (errno != EINTR)
            return -errno;
    return 0;
}

int parcel_send(int queue, const Parcel *p)
{
    _cleanup_close_ int memory = -EBADF;
    Wire wire = {
        .format = PARCEL_FORMAT,
        .flags = p->flags,
        .listener = p->listener,
        .deadline_usec = p->deadline_usec,
        .started_usec = p->started_usec,
        .ready_usec = p->ready_usec,
        .request_id = p->request_id,
        .in_size = buffer_size(&p->in),
        .body_size = buffer_size(&p->body),
        .body_file_size = p->body_file_size,
    };
    struct iovec iov[] = {{&wire, sizeof wire},
                          {buffer_head(&p->in), buffer_size(&p->in)},
                          {buffer_head(&p->body), buffer_size(&p->body)}};
    bool is_inline = wire.in_size + wire.body_size <= PARCEL_INLINE_MAX;
    size_t n_fds = 0;
    int fds[FDS_MAX], r;

    memcpy(wire.address, p->address, sizeof wire.address);
    memcpy(wire.port, p->port, sizeof wire.port);
    memcpy(wire.server_address, p->server_address, sizeof wire.server_address);
    memcpy(wire.server_port, p->server_port, sizeof wire.server_port);
    fds[n_fds++] = p->fd;
    if (!is_inline) {
        r = octets_to_memfd(p, &memory);
        if (r < 0)
            return r;
        fds[n_fds++] = memory;
    }
    if (p->body_file_size > 0)
        fds[n_fds++] = p->body_fd;
    return send_packet(queue, iov, is_inline ? ELEMENTSOF(iov) : 1, fds, n_fds);
}

/* --- what is believed --- */

static bool is_address(const char *s, size_t size)
{
    struct in6_addr any;

    if (!memchr(s, '\0', size))
        return false;
    return !*s || inet_pton(AF_INET, s, &any) == 1 || inet_pton(AF_INET6, s, &any) == 1;
}

static bool is_port(const char *s, size_t size)
{
    return memchr(s, '\0', size) && strspn(s, "0123456789") == strlen(s);
}

static bool wire_is_valid(const Wire *w)
{
    bool is_ready = w->flags & PARCEL_READY, has_body = w->flags & PARCEL_HAS_BODY;

    return w->format == PARCEL_FORMAT && w->unused == 0 && (w->flags & ~(uint32_t)PARCEL_FLAGS_) == 0 &&
           w->in_size <= PTRDIFF_MAX / 2 && w->body_size <= PTRDIFF_MAX / 2 &&
           w->body_file_size <= INT64_MAX && is_ready == (w->ready_usec > 0) &&
           is_ready != (w->deadline_usec > 0) && (w->in_size > 0 || !is_ready) && (is_ready || !has_body) &&
           (has_body || w->body_size + w->body_file_size == 0) && is_address(w->address, sizeof w->address) &&
           is_port(w->port, sizeof w->port) && is_address(w->server_address, sizeof w->server_address) &&
           is_port(w->server_port, sizeof w->server_port);
}

static bool is_connection(int fd)
{
    int type = 0, domain = 0, listens = 1, flags = fcntl(fd, F_GETFL);
    socklen_t size = sizeof type;

    return flags >= 0 && (flags & O_NONBLOCK) != 0 &&
           getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 &&
           getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 &&
           getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) == 0 && type == SOCK_STREAM &&
           !listens && (domain == AF_INET || domain == AF_INET6 || domain == AF_UNIX);
}

static bool is_file_of(int fd, uint64_t size)
{
    struct stat st;

    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size >= 0 && (uint64_t)st.st_size >= size;
}

/* --- receiving --- */

/* What recvmsg(2) gave; its descriptors are owned. */
typedef struct Packet {
    Wire wire;
    size_t size;
    bool is_long; /* more than there was room for */
    bool is_cut;  /* not all of its descriptors */
    size_t n_fds;
    int fds[FDS_MAX]; /* the first ones are those that there are, the others -EBADF */
} Packet;

static const Packet no_packet = {.fds = {-EBADF, -EBADF, -EBADF}};

static void packet_close(Packet *p)
{
    for (size_t i = 0; i < FDS_MAX; i++)
        closep(&p->fds[i]);
    *p = no_packet;
}

static bool has_room_for_fds(int fd)
{
    int spare[FDS_MAX], n = 0;
    bool has_room;

    while (n < FDS_MAX && (spare[n] = fcntl(fd, F_DUPFD_CLOEXEC, 3)) >= 0)
        n++;
    has_room = n == FDS_MAX;
    while (n > 0)
        close(spare[--n]);
    return has_room;
}

static size_t take_fds(struct msghdr *mh, int fds[static FDS_MAX])
{
    size_t n_fds = 0;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c; c = CMSG_NXTHDR(mh, c))
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
            size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

            memcpy(fds + n_fds, CMSG_DATA(c), n * sizeof(int)); /* the buffer has room for no more */
            n_fds += n;
        }
    return n_fds;
}

static int read_octets(int fd, uint64_t offset, size_t n, Buffer *to)
{
    int r = n > 0 ? buffer_reserve(to, n) : 0;

    while (r == 0 && n > 0) {
        ssize_t k = pread(fd, buffer_tail(to), n, (off_t)offset);

        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            return k < 0 ? -errno : -EPROTO;
        to->end += (size_t)k;
        offset += (size_t)k;
        n -= (size_t)k;
    }
    return r;
}

/* octets: behind the header, `size` of them. */
static int take_octets(const Wire *w, const char *octets, size_t size, int memory, Parcel *ret)
{
    size_t in_size = (size_t)w->in_size, body_size = (size_t)w->body_size;
    int r;

    if (memory < 0) {
        if (size != in_size + body_size)
            return -EPROTO;
        r = in_size > 0 ? buffer_append(&ret->in, octets, in_size) : 0;
        return r == 0 && body_size > 0 ? buffer_append(&ret->body, octets + in_size, body_size) : r;
    }
    if (size != 0 || !is_file_of(memory, w->in_size + w->body_size))
        return -EPROTO;
    r = read_octets(memory, 0, in_size, &ret->in);
    return r == 0 ? read_octets(memory, in_size, body_size, &ret->body) : r;
}

/* Where it is cut, the first descriptor to be received is the connection's. */
static int decode(Packet *p, const char *octets, Parcel *ret)
{
    const Wire *w = &p->wire;
    bool is_inline = w->in_size <= PARCEL_INLINE_MAX && w->in_size + w->body_size <= PARCEL_INLINE_MAX;
    size_t n_expected = 1 + !is_inline + (w->body_file_size > 0);
    bool is_cut = p->is_cut && p->n_fds < n_expected;
    int r;

    if (p->n_fds == 0)
        return is_cut ? -EMFILE : -EPROTO;
    if ((p->n_fds != n_expected && !is_cut) || !is_connection(p->fds[0]))
        return -EPROTO;
    if (!is_cut && w->body_file_size > 0 && !is_file_of(p->fds[p->n_fds - 1], w->body_file_size))
        return -EPROTO;
    ret->flags = w->flags;
    ret->listener = w->listener;
    ret->deadline_usec = w->deadline_usec;
    ret->started_usec = w->started_usec;
    ret->ready_usec = w->ready_usec;
    ret->request_id = w->request_id;
    ret->body_file_size = w->body_file_size;
    memcpy(ret->address, w->address, sizeof ret->address);
    memcpy(ret->port, w->port, sizeof ret->port);
    memcpy(ret->server_address, w->server_address, sizeof ret->server_address);
    memcpy(ret->server_port, w->server_port, sizeof ret->server_port);
    ret->fd = TAKE_FD(p->fds[0]);
    if (is_cut)
        return PARCEL_E_CUT;
    if (w->body_file_size > 0)
        ret->body_fd = TAKE_FD(p->fds[p->n_fds - 1]);
    r = take_octets(w, octets, p->size - sizeof *w, is_inline ? -EBADF : p->fds[1], ret);
    return r < 0 && r != -EPROTO ? PARCEL_E_CUT : r;
}

/* recvmsg() returns 0 for an empty packet, too. */
static bool queue_is_shut(int queue)
{
    struct pollfd p = {.fd = queue, .events = POLLRDHUP};

    return poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP)) != 0;
}

static int packet_receive(int queue, int flags, char *octets, size_t room, Packet *ret)
{
    Control control;
    struct iovec iov[] = {{&ret->wire, sizeof ret->wire}, {octets, room}};
    struct msghdr mh = {
        .msg_iov = iov,
        .msg_iovlen = ELEMENTSOF(iov),
        .msg_control = control.data,
        .msg_controllen = CMSG_LEN(FDS_MAX * sizeof(int)), /* and no padding, where one more would fit */
    };
    ssize_t n;

    while ((n = recvmsg(queue, &mh, flags | MSG_CMSG_CLOEXEC | MSG_DONTWAIT)) < 0)
        if (errno != EINTR)
            return -errno;
    ret->size = (size_t)n;
    ret->is_long = mh.msg_flags & MSG_TRUNC;
    ret->is_cut = mh.msg_flags & MSG_CTRUNC;
    ret->n_fds = take_fds(&mh, ret->fds);
    return 0;
}

/* The descriptors of the first packet, which stays where it is: those of one that has left the queue can't be had
 * again. Where there is room for them, and they don't come, time after time, they never will, unix(7), and it is in the
 * way. */
static int packet_hold(int queue, Packet *ret)
{
    for (int n = 0;; n++) {
        int r = packet_receive(queue, MSG_PEEK, NULL, 0, ret);

        if (r < 0 || !ret->is_cut || ret->n_fds == FDS_MAX || n == LOOKS_MAX)
            return r;
        packet_close(ret);
        if (!has_room_for_fds(queue))
            return -EMFILE;
    }
}

/* Threads of the application took descriptors that had been free a moment before: then it has those that were held. Not
 * where another worker has meanwhile taken the packet that they are of. */
static void packet_complete(Packet *p, Packet *held)
{
    size_t n = held->n_fds;

    if (!p->is_cut || n <= p->n_fds || memcmp(&p->wire, &held->wire, sizeof p->wire) != 0)
        return;
    for (size_t i = 0; i < n; i++) {
        closep(&p->fds[i]);
        p->fds[i] = TAKE_FD(held->fds[i]);
    }
    p->n_fds = n;
    p->is_cut = held->is_cut;
}

int parcel_receive(int queue, Parcel *ret)
{
    char octets[PARCEL_INLINE_MAX];
    _cleanup_(packet_close) Packet held = no_packet, p = no_packet;
    int r = packet_hold(queue, &held);

    *ret = (Parcel){.fd = -EBADF, .body_fd = -EBADF};
    if (r == 0)
        r = packet_receive(queue, 0, octets, sizeof octets, &p);
    if (r < 0)
        return r;
    packet_complete(&p, &held);
    r = -EPROTO;
    if (!p.is_long && p.size >= sizeof p.wire && wire_is_valid(&p.wire))
        r = decode(&p, octets, ret);
    else if (p.size == 0 && p.n_fds == 0 && queue_is_shut(queue))
        r = -EPIPE;
    if (r < 0)
        parcel_deinit(ret);
    return r;
}

void parcel_deinit(Parcel *p)
{
    closep(&p->fd);
    closep(&p->body_fd);
    buffer_deinit(&p->in);
    buffer_deinit(&p->body);
    p->fd = p->body_fd = -EBADF;
}

/* Without room for them, the descriptors are not received. */
int parcel_peek(int queue, usec_t *ret_ready_usec)
{
    Wire wire = {0};
    ssize_t n;

    while ((n = recv(queue, &wire, sizeof wire, MSG_PEEK | MSG_DONTWAIT)) < 0)
        if (errno != EINTR)
            return -errno;
    *ret_ready_usec = (size_t)n == sizeof wire && wire_is_valid(&wire) ? wire.ready_usec : 0;
    return 0;
}
