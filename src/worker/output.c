/* SPDX-License-Identifier: MIT */
/* What is still to be sent on a connection. */
#include "worker/output.h"

#include "base/cleanup.h"

#include <assert.h>
#include <errno.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define SLICE_BYTES ((size_t)1024 * 1024)
#define FILE_SLICE_BYTES ((size_t)256 * 1024)
#define FILE_PIECE_BYTES ((size_t)64 * 1024)

void output_init(Output *o, size_t memory_max, uint64_t file_max, const char *directory)
{
    o->high_water = memory_max > UINT64_MAX - file_max ? UINT64_MAX : memory_max + file_max;
    spool_init(&o->spool, memory_max, o->high_water, directory);
    buffer_init(&o->overflow);
    o->file_fd = -EBADF;
    o->file_offset = o->file_size = o->n_sent = 0;
    o->n_arrived = 0;
    o->is_lagging = false;
}

static void output_close_file(Output *o)
{
    closep(&o->file_fd);
    o->file_fd = -EBADF;
    o->file_size = 0;
}

void output_deinit(Output *o)
{
    spool_deinit(&o->spool);
    buffer_deinit(&o->overflow);
    output_close_file(o);
}

void output_clear(Output *o)
{
    spool_clear(&o->spool);
    buffer_clear(&o->overflow);
    output_close_file(o);
    o->is_lagging = false;
}

bool output_is_empty(const Output *o)
{
    return spool_size(&o->spool) == 0 && buffer_size(&o->overflow) == 0 && o->file_size == 0;
}

bool output_is_behind(const Output *o)
{
    return buffer_size(&o->overflow) > 0;
}

bool output_has_caught_up(const Output *o)
{
    return buffer_size(&o->overflow) == 0 && spool_size(&o->spool) <= o->high_water / 2;
}

bool output_is_simple(const Output *o)
{
    return o->spool.fd < 0 && buffer_size(&o->overflow) == 0 && o->file_size == 0;
}

Buffer *output_memory(Output *o)
{
    assert(output_is_simple(o));
    return &o->spool.memory;
}

static int output_queue_one(Output *o, const char *data, size_t size)
{
    int r;

    if (size == 0)
        return 0;
    assert(o->file_size == 0);
    if (buffer_size(&o->overflow) == 0) {
        r = spool_append(&o->spool, data, size);
        if (r == 0 || r == -ENOMEM)
            return r;
    }
    return buffer_append(&o->overflow, data, size);
}

int output_queue(Output *o, const struct iovec *iov, int n)
{
    char *to = NULL;
    size_t size = 0;

    for (int i = 0; i < n; i++)
        size += iov[i].iov_len;
    if (output_is_simple(o))
        to = spool_reserve(&o->spool, size);
    if (to) { /* by far the most: without a look at each piece */
        for (int i = 0; i < n; i++)
            if (iov[i].iov_len > 0) /* a pointer to nothing may be NULL */
                to = mempcpy(to, iov[i].iov_base, iov[i].iov_len);
        spool_commit(&o->spool, size);
        return 0;
    }
    for (int i = 0; i < n; i++) {
        int r = output_queue_one(o, iov[i].iov_base, iov[i].iov_len);
        if (r < 0)
            return r;
    }
    return 0;
}

/* Sends, EINTR aside. Returns the number of bytes taken (0: would block) or negative errno. */
static ssize_t send_vector(int socket, struct iovec *iov, int n, bool ends)
{
    struct msghdr m = {.msg_iov = iov, .msg_iovlen = (size_t)n};
    const int flags = MSG_NOSIGNAL | MSG_DONTWAIT | (ends ? MSG_MORE : 0);
    ssize_t sent;

    do
        sent = n == 1 ? send(socket, iov->iov_base, iov->iov_len, flags) : sendmsg(socket, &m, flags);
    while (sent < 0 && errno == EINTR);
    if (sent >= 0)
        return sent;
    return errno == EAGAIN || errno == ENOBUFS ? 0 : -errno;
}

int output_send(Output *o, int socket, const struct iovec *iov, int n)
{
    struct iovec all[OUTPUT_IOV_MAX + 1];
    ssize_t sent;
    size_t done;
    int r;

    assert(n <= OUTPUT_IOV_MAX);
    if (!output_is_simple(o)) {
        r = output_queue(o, iov, n);
        return r < 0 ? r : output_flush(o, socket, false);
    }
    all[0] = (struct iovec){buffer_head(&o->spool.memory), buffer_size(&o->spool.memory)};
    for (int i = 0; i < n; i++)
        all[i + 1] = iov[i];
    sent = send_vector(socket, all, n + 1, false);
    if (sent < 0)
        return (int)sent;
    o->n_sent += (uint64_t)sent;

    done = MIN((size_t)sent, all[0].iov_len);
    spool_consume(&o->spool, done);
    sent -= (ssize_t)done;
    for (int i = 0; i < n; i++) {
        done = MIN((size_t)sent, iov[i].iov_len);
        r = output_queue_one(o, (const char *)iov[i].iov_base + done, iov[i].iov_len - done);
        if (r < 0)
            return r;
        sent -= (ssize_t)done;
    }
    if (!output_is_empty(o))
        return OUTPUT_E_PENDING;
    o->is_lagging = false;
    return 0;
}

void output_queue_file(Output *o, int fd, uint64_t offset, uint64_t size)
{
    assert(o->file_size == 0);
    output_close_file(o);
    o->file_fd = fd;
    o->file_offset = offset;
    o->file_size = size;
}

/* One piece of a file. 0: sent; OUTPUT_E_PENDING: not all of it; negative errno. Two copies, through memory that stays
 * in the processor's cache, are less work than sendfile(2), which handles each page of the file by itself
 * (tests/bench/README.md); and what was sent stays as it was, whoever writes to the file. */
static int send_piece(int socket, int fd, uint64_t *offset, uint64_t size, bool ends)
{
    char piece[FILE_PIECE_BYTES];
    ssize_t n, sent;

    do
        n = pread(fd, piece, MIN(size, (uint64_t)sizeof piece), (off_t)*offset);
    while (n < 0 && errno == EINTR);
    if (n <= 0)
        return n < 0 ? -errno : -ENODATA;
    sent = send_vector(socket, &(struct iovec){piece, (size_t)n}, 1, ends);
    if (sent < 0)
        return (int)sent;
    *offset += (uint64_t)sent;
    return sent < n ? OUTPUT_E_PENDING : 0;
}

/* One slice of it. Likewise. */
static int send_slice(int socket, int fd, uint64_t *offset, uint64_t size, bool ends)
{
    uint64_t end = *offset + MIN(size, (uint64_t)FILE_SLICE_BYTES);
    int r = 0;

    while (r == 0 && *offset < end)
        r = send_piece(socket, fd, offset, end - *offset, ends);
    return r;
}

/* One send from whatever is first in line. 0: sent some; OUTPUT_E_PENDING; negative errno. */
static int output_flush_some(Output *o, int socket, bool ends)
{
    Buffer *b = buffer_size(&o->spool.memory) > 0 ? &o->spool.memory : &o->overflow;
    struct iovec iov;
    uint64_t offset, start, n;
    ssize_t sent;
    int r;

    if (buffer_size(&o->spool.memory) == 0 && spool_size(&o->spool) > 0) {
        n = spool_file_piece(&o->spool, &start);
        offset = start;
        r = send_slice(socket, o->spool.fd, &offset, n, ends);
        spool_consume(&o->spool, offset - start);
        o->n_sent += offset - start;
        return r;
    }
    if (buffer_size(b) == 0) {
        offset = o->file_offset;
        r = send_slice(socket, o->file_fd, &o->file_offset, o->file_size, ends);
        o->file_size -= o->file_offset - offset;
        o->n_sent += o->file_offset - offset;
        return r;
    }
    iov = (struct iovec){buffer_head(b), MIN(buffer_size(b), SLICE_BYTES)};
    sent = send_vector(socket, &iov, 1, ends);
    if (sent <= 0)
        return sent == 0 ? OUTPUT_E_PENDING : (int)sent;
    buffer_consume(b, (size_t)sent);
    o->n_sent += (uint64_t)sent;
    return buffer_size(b) > 0 ? OUTPUT_E_PENDING : 0;
}

int output_flush(Output *o, int socket, bool ends)
{
    bool from_file;
    int r;

    while (!output_is_empty(o)) {
        from_file = buffer_size(&o->spool.memory) == 0 && buffer_size(&o->overflow) == 0;
        r = output_flush_some(o, socket, ends);
        if (r != 0)
            return r;
        if (from_file && !output_is_empty(o))
            return OUTPUT_E_PENDING;
    }
    output_close_file(o);
    o->is_lagging = false;
    return 0;
}

bool output_lags(Output *o, int socket, uint64_t least)
{
    bool has_lagged = o->is_lagging;
    int64_t before = o->n_arrived;
    int queued = 0;

    (void)ioctl(socket, SIOCOUTQ, &queued); /* tcp(7); on a Unix socket with the kernel's overhead, unix(7) */
    o->n_arrived = (int64_t)o->n_sent - queued;
    o->is_lagging = !output_is_empty(o);
    return has_lagged && o->is_lagging && o->n_arrived - before < (int64_t)least;
}
