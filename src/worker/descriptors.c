/* SPDX-License-Identifier: MIT */
/* A set of descriptors, as bits. */
#include "worker/descriptors.h"

#include "base/log.h"
#include "base/message-ids.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <unistd.h>

#define BITS 64

int descriptors_init(Descriptors *d)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return -errno;
    d->n_words = (size_t)limit.rlim_cur / BITS + 1;
    d->bits = calloc(d->n_words, sizeof *d->bits);
    return d->bits ? 0 : -ENOMEM;
}

void descriptors_deinit(Descriptors *d)
{
    free(d->bits);
}

static uint64_t *word_of(const Descriptors *d, int fd)
{
    size_t i = (size_t)fd / BITS;

    return fd >= 0 && i < d->n_words ? &d->bits[i] : NULL; /* the application may have raised the limit */
}

static uint64_t bit_of(int fd)
{
    return UINT64_C(1) << (unsigned)fd % BITS;
}

void descriptors_add(Descriptors *d, int fd)
{
    uint64_t *word = word_of(d, fd);

    if (!word)
        return;
    if (*word & bit_of(fd))
        descriptors_give_up();
    *word |= bit_of(fd);
}

void descriptors_remove(Descriptors *d, int fd)
{
    uint64_t *word = word_of(d, fd);

    if (word)
        *word &= ~bit_of(fd);
}

void descriptors_close(const Descriptors *d)
{
    for (size_t i = 0; i < d->n_words; i++)
        for (uint64_t left = d->bits[i]; left; left &= left - 1)
            close((int)(i * BITS) + __builtin_ctzll(left));
}

void descriptors_replace(const Descriptors *d, int by)
{
    for (size_t i = 0; i < d->n_words; i++)
        for (uint64_t left = d->bits[i]; left; left &= left - 1)
            (void)dup3(by, (int)(i * BITS) + __builtin_ctzll(left), O_CLOEXEC);
}

bool descriptors_is_lost(int error)
{
    return error == EBADF || error == ENOTSOCK || error == ENOENT || error == EEXIST || error == EPERM;
}

void descriptors_give_up(void)
{
    log_full(LOG_ERR, MESSAGE_DESCRIPTOR_LOST, NULL,
             "The application has closed a file descriptor that is the server's: this worker can't go on");
    _exit(EX_SOFTWARE);
}
