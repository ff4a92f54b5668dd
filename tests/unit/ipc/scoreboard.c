/* SPDX-License-Identifier: MIT */
/* Unit tests of ipc/scoreboard. */
#include "ipc/scoreboard.h"

#include "tap.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/mman.h>
#include <sys/wait.h>

static void test_sizes(void)
{
    Scoreboard *s = NULL;

    is_int(scoreboard_new(0, 1, &s), -EINVAL);
    is_int(scoreboard_new(1, 0, &s), -EINVAL);
    is_int(scoreboard_new(UINT_MAX, UINT_MAX, &s), -EINVAL);
    is_int(scoreboard_map(-1, 1, 1, &s), -EBADF);
    ok(!s && !scoreboard_free(NULL));
}

static void test_seals(const Scoreboard *s)
{
    _cleanup_close_ int fd = memfd_create("unsealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    Scoreboard *map = NULL;

    ok((fcntl(s->fd, F_GETFD) & FD_CLOEXEC) != 0);
    ok(ftruncate(s->fd, 0) < 0 && ftruncate(s->fd, 1 << 20) < 0, "the size can't change");
    ok(fcntl(s->fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE) < 0, "no more seals");
    is_int(scoreboard_map(s->fd, 4, 2, &map), -EPROTO);
    is_int(scoreboard_map(s->fd, 3, 3, &map), -EPROTO);
    ok(ftruncate(fd, (off_t)s->map_size) == 0);
    is_int(scoreboard_map(fd, 3, 2, &map), -EPROTO);
    ok(!map);
}

static void test_layout(const Scoreboard *s)
{
    bool aligned = true, zero = true;

    for (unsigned i = 0; i < s->n_seats; i++) {
        aligned &= (uintptr_t)&s->seats[i] % 64 == 0;
        zero &= s->seats[i].requests == 0 && s->seats[i].connections == 0;
        for (unsigned k = 0; k < s->n_slots; k++) {
            ScoreboardSlot *slot = scoreboard_slot(s, i, k);

            aligned &= (uintptr_t)slot % 64 == 0;
            zero &= slot->started_usec == 0 && slot->request[0] == '\0';
            slot->started_usec = 100 + 10 * i + k;
        }
    }
    ok(aligned, "each on cache lines of its own");
    ok(zero);
    ok((char *)scoreboard_slot(s, 2, 1) + sizeof(ScoreboardSlot) == (char *)s->seats + s->map_size,
       "the last slot ends the map");
}

static void test_sharing(const Scoreboard *s)
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        _cleanup_(scoreboard_freep) Scoreboard *map = NULL;

        if (scoreboard_map(s->fd, 3, 2, &map) < 0 || map->fd >= 0 ||
            scoreboard_slot(map, 1, 1)->started_usec != 111)
            _exit(1);
        map->seats[2].requests = 77;
        strcpy(scoreboard_slot(map, 2, 0)->request, "GET / HTTP/1.1");
        scoreboard_slot(map, 2, 0)->started_usec = 5;
        _exit(0);
    }
    ok(waitpid(pid, &status, 0) == pid && status == 0, "the other process sees what was written here");
    ok(s->seats[2].requests == 77 && scoreboard_slot(s, 2, 0)->started_usec == 5);
    is_string(scoreboard_slot(s, 2, 0)->request, "GET / HTTP/1.1");
}

int main(void)
{
    _cleanup_(scoreboard_freep) Scoreboard *s = NULL;

    test_sizes();
    is_int(scoreboard_new(3, 2, &s), 0);
    if (!s)
        return 99;
    ok(s->n_seats == 3 && s->n_slots == 2);
    test_seals(s);
    test_layout(s);
    test_sharing(s);
    return tap_done();
}
