/* SPDX-License-Identifier: MIT */
/* The byte queue that continues in a file. What is held at one time does not exceed size_max, so the file is written in
 * a circle of that size, and takes no more room however long the queue is in use. */
#include "base/spool.h"

#include "base/cleanup.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MEMORY_KEPT_MAX ((size_t)64 * 1024)

void spool_init(Spool *s, size_t memory_max, uint64_t size_max, const char *directory)
{
    *s = (Spool){.fd = -EBADF, .memory_max = memory_max, .size_max = size_max, .directory = directory};
    buffer_init(&s->memory);
}

static bool spool_can_pay(const Spool *s, size_t n)
{
    return !s->budget || atomic_load_explicit(&s->budget->left, memory_order_relaxed) >= (int64_t)n;
}

/* Memory that is here already costs nothing more; what is lent has the size that it has. */
static bool spool_may_take(const Spool *s, size_t n)
{
    return n <= buffer_room(&s->memory) || (!s->owner && spool_can_pay(s, n));
}

bool spool_may_hold(const Spool *s, size_t n)
{
    return s->fd < 0 && n <= s->memory_max && n <= s->size_max &&
           (n <= s->n_charged || spool_can_pay(s, n - s->n_charged));
}

/* The memory has got larger or smaller. */
static void spool_settle(Spool *s)
{
    if (!s->budget || s->memory.capacity == s->n_charged)
        return;
    atomic_fetch_add_explicit(&s->budget->left, (int64_t)s->n_charged - (int64_t)s->memory.capacity,
                              memory_order_relaxed);
    s->n_charged = s->memory.capacity;
}

static void spool_close_file(Spool *s)
{
    closep(&s->fd);
    s->fd = -EBADF;
    s->file_start = s->file_end = 0;
}

void spool_deinit(Spool *s)
{
    assert(!s->owner);
    spool_close_file(s);
    buffer_deinit(&s->memory);
    spool_settle(s);
}

void spool_clear(Spool *s)
{
    assert(!s->owner);
    if (s->fd >= 0)
        spool_close_file(s);
    if (s->memory.capacity > MEMORY_KEPT_MAX)
        buffer_deinit(&s->memory);
    else
        buffer_clear(&s->memory);
    spool_settle(s);
}

void spool_adopt(Spool *s, Buffer *memory, int fd, uint64_t size)
{
    Buffer own = s->memory;

    assert(!s->owner && spool_size(s) == 0 && buffer_size(memory) + size <= s->size_max);
    s->memory = *memory;
    *memory = own;
    spool_settle(s);
    s->fd = fd;
    s->file_end = size;
}

void spool_lend(Spool *s, void *owner, char *memory, size_t n)
{
    size_t held = buffer_size(&s->memory);

    assert(owner && !s->owner && s->fd < 0 && held <= n);
    if (held > 0)
        memcpy(memory, buffer_head(&s->memory), held);
    buffer_deinit(&s->memory);
    s->memory = (Buffer){.data = memory, .end = held, .capacity = n};
    s->owner = owner;
    spool_settle(s);
}

void *spool_take_back(Spool *s)
{
    void *owner = s->owner;

    if (owner)
        buffer_init(&s->memory);
    s->owner = NULL;
    spool_clear(s);
    return owner;
}

uint64_t spool_size(const Spool *s)
{
    return buffer_size(&s->memory) + (s->file_end - s->file_start);
}

static int open_named(const char *directory)
{
    char path[PATH_MAX];
    int fd;

    if (snprintf(path, sizeof(path), "%s/cgunicorn.XXXXXX", directory) >= (int)sizeof(path))
        return -ENAMETOOLONG;
    fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0)
        return -errno;
    unlink(path);
    return fd;
}

static int open_unlinked(const char *directory)
{
    int fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC | O_EXCL, 0600);

    if (fd >= 0)
        return fd;
    /* open(2), O_TMPFILE: EOPNOTSUPP where the file system has none, EISDIR or ENOENT where the kernel has
     * none. */
    if (errno == EOPNOTSUPP || errno == EISDIR || errno == ENOENT)
        return open_named(directory);
    return -errno;
}

/* How many of n bytes from there on, counted as file_start is, are contiguous in the file. */
static size_t bytes_in_file(const Spool *s, uint64_t at, size_t n)
{
    return (size_t)MIN((uint64_t)n, s->size_max - at % s->size_max);
}

static int spool_write(Spool *s, const char *data, size_t n)
{
    uint64_t at = s->file_end;

    if (s->fd < 0) {
        int r = open_unlinked(s->directory);

        if (r < 0)
            return r;
        s->fd = r;
    }
    while (n > 0) {
        ssize_t k = pwrite(s->fd, data, bytes_in_file(s, at, n), (off_t)(at % s->size_max));

        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            return -errno;
        data += k;
        n -= (size_t)k;
        at += (size_t)k;
    }
    s->file_end = at;
    return 0;
}

int spool_append(Spool *s, const void *data, size_t n)
{
    uint64_t held = spool_size(s);
    int r;

    if (n == 0)
        return 0;
    if (n > s->size_max - held)
        return SPOOL_E_FULL;
    if (s->fd < 0 && held + n <= s->memory_max && spool_may_take(s, n)) {
        r = buffer_append(&s->memory, data, n);
        spool_settle(s);
        return r;
    }
    r = spool_write(s, data, n);
    if (r < 0 && s->file_start == s->file_end)
        spool_close_file(s);
    return r;
}

char *spool_reserve(Spool *s, size_t n)
{
    uint64_t held = spool_size(s);
    int r;

    if (s->fd >= 0 || n > s->size_max - held || held + n > s->memory_max || !spool_may_take(s, n))
        return NULL;
    r = buffer_reserve(&s->memory, n);
    spool_settle(s);
    return r < 0 ? NULL : buffer_tail(&s->memory);
}

void spool_commit(Spool *s, size_t n)
{
    assert(s->fd < 0 && n <= buffer_room(&s->memory));
    s->memory.end += n;
}

static ssize_t spool_read(const Spool *s, uint64_t at, char *to, size_t n)
{
    size_t done = 0;

    n = (size_t)MIN((uint64_t)n, s->file_end - at);
    while (done < n) {
        ssize_t k = pread(s->fd, to + done, bytes_in_file(s, at, n - done), (off_t)(at % s->size_max));

        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            return -errno;
        if (k == 0)
            return -EIO; /* nobody else has the file */
        done += (size_t)k;
        at += (size_t)k;
    }
    return (ssize_t)done;
}

ssize_t spool_peek(const Spool *s, uint64_t offset, void *to, size_t n)
{
    size_t in_memory = buffer_size(&s->memory), head = 0;
    ssize_t k;

    if (offset >= spool_size(s))
        return 0;
    n = MIN(n, (size_t)SSIZE_MAX);
    if (offset < in_memory) {
        head = MIN(n, in_memory - (size_t)offset);
        memcpy(to, buffer_head(&s->memory) + offset, head);
        offset = in_memory;
    }
    if (head == n || s->fd < 0)
        return (ssize_t)head;
    k = spool_read(s, s->file_start + (offset - in_memory), (char *)to + head, n - head);
    return k < 0 ? k : (ssize_t)head + k;
}

void spool_consume(Spool *s, uint64_t n)
{
    size_t from_memory = (size_t)MIN(n, (uint64_t)buffer_size(&s->memory));

    assert(n <= spool_size(s));
    buffer_consume(&s->memory, from_memory);
    if (s->fd < 0)
        return;
    s->file_start += n - from_memory;
    if (s->file_start == s->file_end)
        spool_close_file(s); /* back to memory, and the disk's room is free */
}
