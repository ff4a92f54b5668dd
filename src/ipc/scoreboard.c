/* SPDX-License-Identifier: MIT */
/* The memory of the scoreboard: the seats, then the slots, each on cache lines of its own. */
#include "ipc/scoreboard.h"

#include <fcntl.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW)

static bool layout(unsigned n_seats, unsigned n_slots, size_t *ret_slots_offset, size_t *ret_size)
{
    size_t slots;

    return n_seats > 0 && n_slots > 0 &&
           !__builtin_mul_overflow((size_t)n_seats, sizeof(ScoreboardSeat), ret_slots_offset) &&
           !__builtin_mul_overflow((size_t)n_seats, (size_t)n_slots, &slots) &&
           !__builtin_mul_overflow(slots, sizeof(ScoreboardSlot), &slots) &&
           !__builtin_add_overflow(slots, *ret_slots_offset, ret_size) && *ret_size <= PTRDIFF_MAX;
}

int scoreboard_map(int fd, unsigned n_seats, unsigned n_slots, Scoreboard **ret)
{
    _cleanup_free_ Scoreboard *s = NULL;
    size_t slots_offset, size;
    struct stat st;
    char *map;
    int seals;

    if (!layout(n_seats, n_slots, &slots_offset, &size))
        return -EINVAL;
    if (fstat(fd, &st) < 0)
        return -errno;
    /* Who maps a file that another process may cut dies by SIGBUS one day: mmap(2). */
    seals = fcntl(fd, F_GET_SEALS);
    if (st.st_size < 0 || (size_t)st.st_size != size || seals < 0 || (seals & SEALS) != SEALS)
        return -EPROTO;
    s = malloc(sizeof(*s));
    if (!s)
        return -ENOMEM;
    map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED)
        return -errno;
    *s = (Scoreboard){
        .n_seats = n_seats,
        .n_slots = n_slots,
        .seats = (ScoreboardSeat *)map,
        .slots = (ScoreboardSlot *)(map + slots_offset),
        .map_size = size,
        .fd = -EBADF,
    };
    *ret = TAKE_PTR(s);
    return 0;
}

int scoreboard_new(unsigned n_seats, unsigned n_slots, Scoreboard **ret)
{
    _cleanup_close_ int fd = -EBADF;
    size_t slots_offset, size;
    int r;

    if (!layout(n_seats, n_slots, &slots_offset, &size))
        return -EINVAL;
    fd = memfd_create("cgunicorn-scoreboard", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return -errno;
    if (ftruncate(fd, (off_t)size) < 0 || fcntl(fd, F_ADD_SEALS, SEALS) < 0)
        return -errno;
    r = scoreboard_map(fd, n_seats, n_slots, ret);
    if (r < 0)
        return r;
    (*ret)->fd = TAKE_FD(fd);
    return 0;
}

Scoreboard *scoreboard_free(Scoreboard *s)
{
    if (!s)
        return NULL;
    munmap(s->seats, s->map_size);
    closep(&s->fd);
    free(s);
    return NULL;
}
