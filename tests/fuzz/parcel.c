/* SPDX-License-Identifier: MIT */
/* Target: a packet from whoever writes to the queue of the workers. Input: an octet of which two bits each
 * say what the first three descriptors are (none, a connection, a file, a pipe), then the packet. It is
 * refused and leaves no descriptor behind, or it can be sent on and arrives the same. */
#include "ipc/parcel.h"
#include "base/cleanup.h"
#include "fuzz.h"
#include "ipc/channel.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define FILE_SIZE 100
#define FDS_MAX 3

/* The lowest descriptor that is free: one that is left open changes it. */
static int lowest_free_fd(void)
{
    int fd = dup(STDERR_FILENO);

    fuzz_check(fd >= 0, "%s", strerror(errno));
    close(fd);
    return fd;
}

static int new_fd(unsigned kind)
{
    int ends[2], fd = -EBADF;

    if (kind == 1 && socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0)
        fd = ends[0];
    else if (kind == 3 && pipe2(ends, O_NONBLOCK) == 0)
        fd = ends[0];
    if (fd >= 0) {
        close(ends[1]);
        return fd;
    }
    fd = memfd_create("fuzz", 0);
    fuzz_check(fd >= 0 && ftruncate(fd, FILE_SIZE) == 0, "%s", strerror(errno));
    return fd;
}

static void send_packet(int queue, unsigned kinds, const uint8_t *data, size_t size)
{
    union {
        struct cmsghdr header;
        char data[CMSG_SPACE(FDS_MAX * sizeof(int))];
    } control = {0};
    struct iovec iov = {(void *)(uintptr_t)data, size};
    struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};
    int fds[FDS_MAX];
    size_t n = 0;

    for (; n < FDS_MAX && (kinds & 3) != 0; kinds >>= 2)
        fds[n++] = new_fd(kinds & 3);
    if (n > 0) {
        mh.msg_control = &control;
        mh.msg_controllen = CMSG_SPACE(n * sizeof(int));
        control.header = (struct cmsghdr){
            .cmsg_len = CMSG_LEN(n * sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
        memcpy(CMSG_DATA(&control.header), fds, n * sizeof(int));
    }
    fuzz_check(sendmsg(queue, &mh, MSG_NOSIGNAL) == (ssize_t)size, "%s", strerror(errno));
    while (n > 0)
        close(fds[--n]);
}

static void check_same(const Parcel *a, const Parcel *b)
{
    fuzz_check(a->flags == b->flags && a->listener == b->listener && a->deadline_usec == b->deadline_usec &&
                   a->started_usec == b->started_usec && a->ready_usec == b->ready_usec &&
                   a->request_id == b->request_id && a->body_file_size == b->body_file_size,
               "another header");
    fuzz_check(strcmp(a->address, b->address) == 0 && strcmp(a->port, b->port) == 0 &&
                   strcmp(a->server_address, b->server_address) == 0 &&
                   strcmp(a->server_port, b->server_port) == 0,
               "other addresses");
    fuzz_check(span_equal(buffer_span(&a->in), buffer_span(&b->in)) &&
                   span_equal(buffer_span(&a->body), buffer_span(&b->body)),
               "other octets");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int lowest = lowest_free_fd(), queue[2];
    Parcel p, again;
    usec_t ready;

    if (size == 0)
        return 0;
    fuzz_check(channel_new_pair(queue) == 0, "%s", strerror(errno));
    send_packet(queue[0], data[0], data + 1, size - 1);
    fuzz_check(parcel_peek(queue[1], &ready) == 0, "nothing there");
    if (parcel_receive(queue[1], &p) == 0) {
        fuzz_check(p.ready_usec == ready, "another time");
        fuzz_check(parcel_send(queue[0], &p) == 0, "%s", strerror(errno));
        fuzz_check(parcel_receive(queue[1], &again) == 0, "can't be received again");
        check_same(&p, &again);
        parcel_deinit(&again);
    }
    parcel_deinit(&p);
    fuzz_check(parcel_receive(queue[1], &p) == -EAGAIN, "something behind the packet");
    close(queue[0]);
    close(queue[1]);
    fuzz_check(lowest_free_fd() == lowest, "a descriptor is left open");
    return 0;
}
