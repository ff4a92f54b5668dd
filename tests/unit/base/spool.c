/* SPDX-License-Identifier: MIT */
/* Unit tests of base/spool. */
#include "base/spool.h"

#include "base/cleanup.h"
#include "tap.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static char directory[] = "/tmp/cgunicorn-spool.XXXXXX";

static bool peek_is(const Spool *s, uint64_t offset, size_t n, const char *expected)
{
    char got[64];
    ssize_t k = spool_peek(s, offset, got, n);

    return k == (ssize_t)strlen(expected) && memcmp(got, expected, (size_t)k) == 0;
}

static void test_crossing(void)
{
    Spool s;
    struct stat st;

    spool_init(&s, 8, 100, directory);
    is_int(spool_size(&s), 0);
    is_int(spool_append(&s, "", 0), 0);
    ok(s.fd < 0 && !s.memory.data, "nothing is taken before the first append");
    is_int(spool_append(&s, "01234", 5), 0);
    is_int(spool_append(&s, "567", 3), 0);
    ok(s.fd < 0, "memory_max octets are held in memory");
    is_int(spool_append(&s, "89", 2), 0);
    ok(s.fd >= 0, "one more goes to a file");
    ok(fcntl(s.fd, F_GETFD) & FD_CLOEXEC);
    ok(fstat(s.fd, &st) == 0 && st.st_nlink == 0 && (st.st_mode & 0777) == 0600, "unlinked, mode 0600");
    is_int(spool_append(&s, "abc", 3), 0);
    is_int(spool_size(&s), 13);
    ok(peek_is(&s, 0, 64, "0123456789abc"));
    ok(peek_is(&s, 3, 7, "3456789"), "across the border");
    ok(peek_is(&s, 8, 2, "89"), "file only");
    ok(peek_is(&s, 12, 9, "c"));
    ok(peek_is(&s, 13, 9, "") && peek_is(&s, UINT64_MAX, 9, ""), "at and past the end");
    ok(peek_is(&s, 0, 0, ""));
    spool_consume(&s, 2);
    ok(peek_is(&s, 0, 64, "23456789abc"));
    spool_consume(&s, 7);
    ok(peek_is(&s, 0, 64, "9abc") && peek_is(&s, 1, 2, "ab"), "the memory's part is consumed");
    is_int(spool_append(&s, "d", 1), 0);
    ok(s.fd >= 0 && buffer_size(&s.memory) == 0, "nothing is added to the memory while the file is there");
    ok(peek_is(&s, 0, 64, "9abcd"));
    spool_consume(&s, 5);
    ok(s.fd < 0 && spool_size(&s) == 0, "no file once it is empty");
    is_int(spool_append(&s, "new", 3), 0);
    ok(s.fd < 0 && peek_is(&s, 0, 64, "new"));
    spool_deinit(&s);
}

static void test_size_max(void)
{
    Spool s;

    spool_init(&s, 4, 10, directory);
    is_int(spool_append(&s, "0123456789a", 11), SPOOL_E_FULL);
    is_int(spool_size(&s), 0);
    is_int(spool_append(&s, "012345678", 9), 0);
    is_int(spool_append(&s, "9a", 2), SPOOL_E_FULL);
    is_int(spool_append(&s, "9", 1), 0);
    is_int(spool_append(&s, "a", 1), SPOOL_E_FULL);
    is_int(spool_append(&s, "", 0), 0);
    spool_consume(&s, 1);
    is_int(spool_append(&s, "a", 1), 0);
    ok(peek_is(&s, 0, 64, "123456789a"), "size_max is of what is held at one time");
    spool_deinit(&s);

    spool_init(&s, 4, 0, directory);
    is_int(spool_append(&s, "x", 1), SPOOL_E_FULL);
    ok(!spool_reserve(&s, 1));
    spool_deinit(&s);

    spool_init(&s, 4, UINT64_MAX, directory);
    is_int(spool_append(&s, "no limit", 8), 0);
    ok(peek_is(&s, 0, 64, "no limit"));
    spool_deinit(&s);
}

static void test_reserve(void)
{
    Spool s;
    char *to;

    spool_init(&s, 8, 100, directory);
    ok(!spool_reserve(&s, 9), "more than memory_max");
    to = spool_reserve(&s, 8);
    ok(to != NULL);
    memcpy(to, "abcdef", 6);
    spool_commit(&s, 6);
    ok(peek_is(&s, 0, 64, "abcdef"));
    ok(!spool_reserve(&s, 3));
    to = spool_reserve(&s, 2);
    ok(to != NULL);
    spool_commit(&s, 0);
    spool_append(&s, "ghi", 3);
    spool_consume(&s, 6);
    ok(!spool_reserve(&s, 1), "not while the file is there");
    spool_deinit(&s);
}

static void test_memory_retention(void)
{
    _cleanup_free_ char *data = calloc(1, 200000);
    Spool s;

    spool_init(&s, 150000, 1000000, directory);
    spool_append(&s, data, 60000);
    spool_clear(&s);
    ok(s.memory.capacity >= 60000 && spool_size(&s) == 0, "64 KiB are kept");
    spool_append(&s, data, 150000);
    spool_append(&s, data, 1000);
    ok(s.fd >= 0);
    spool_clear(&s);
    ok(s.memory.capacity == 0 && s.fd < 0 && spool_size(&s) == 0, "more is not, nor is the file");
    spool_deinit(&s);
}

typedef struct LongUse {
    Spool spool;
    unsigned seed;
    uint64_t in, out; /* octets so far; each is its number modulo 251 */
    bool good;
} LongUse;

static void put_some(LongUse *u)
{
    size_t n = (size_t)rand_r(&u->seed) % 300;
    char piece[300];
    int r;

    for (size_t i = 0; i < n; i++)
        piece[i] = (char)((u->in + i) % 251);
    r = spool_append(&u->spool, piece, n);
    u->good &= r == (u->in + n - u->out > 1000 ? SPOOL_E_FULL : 0);
    u->in += r == 0 ? n : 0;
}

/* By spool_peek() or from the file; leaves one octet, so that the spool is never empty. */
static void take_some(LongUse *u)
{
    size_t n = (size_t)rand_r(&u->seed) % 300;
    char piece[300];
    uint64_t offset;
    ssize_t k;

    if (buffer_size(&u->spool.memory) == 0 && u->spool.fd >= 0 && rand_r(&u->seed) % 2) {
        uint64_t held = spool_file_piece(&u->spool, &offset);

        u->good &= held > 0;
        k = pread(u->spool.fd, piece, MIN(n, (size_t)held), (off_t)offset);
        u->good &= k == (ssize_t)MIN(n, (size_t)held);
    } else {
        k = spool_peek(&u->spool, 0, piece, n);
        u->good &= k == (ssize_t)MIN((uint64_t)n, u->in - u->out);
    }
    if (k > 0 && k == (ssize_t)(u->in - u->out))
        k--;
    for (ssize_t i = 0; i < k; i++)
        u->good &= piece[i] == (char)(u->out++ % 251);
    spool_consume(&u->spool, (uint64_t)k);
    u->good &= spool_size(&u->spool) == u->in - u->out;
}

static void test_budget(void)
{
    static const char data[20000];
    SpoolBudget budget = {.left = 200000};
    Spool first, second;

    spool_init(&first, 90000, 200000, directory);
    spool_init(&second, 90000, 200000, directory);
    first.budget = second.budget = &budget;
    for (int i = 0; i < 4; i++)
        is_int(spool_append(&first, data, sizeof(data)), 0);
    ok(first.fd < 0 && budget.left == 200000 - (int64_t)first.memory.capacity,
       "what the memory takes is charged");
    is_int(spool_append(&second, data, 10), 0);
    ok(second.fd < 0, "there is some left");
    while (budget.left >= 20000) /* buffers grow faster than what they hold */
        budget.left -= 10000;
    ok(!spool_reserve(&second, 20000), "no room to receive into");
    is_int(spool_append(&second, data, 20000), 0);
    ok(second.fd >= 0 && spool_size(&second) == 20010, "to the file, far below memory_max");
    is_int(spool_append(&first, data, 5000), 0);
    ok(first.fd < 0, "memory that is there already costs nothing");
    spool_deinit(&second);
    spool_clear(&first);
    ok(first.n_charged == first.memory.capacity, "what is kept stays charged");
    budget.left = 0;
    spool_deinit(&first);
    ok(budget.left >= 0 && first.n_charged == 0, "what is freed is given back");
}

/* Memory of somebody else's: what was held moves there, nothing is freed, and it ends where it ends. */
static void test_lent(void)
{
    SpoolBudget budget = {.left = 100};
    char memory[80], owner;
    Spool s;

    spool_init(&s, 90, 200, directory);
    s.budget = &budget;
    ok(spool_may_hold(&s, 90) && !spool_may_hold(&s, 91), "up to memory_max");
    budget.left = 70;
    ok(!spool_may_hold(&s, 80), "and up to the budget");
    budget.left = 100;
    is_int(spool_append(&s, "held", 4), 0);
    spool_lend(&s, &owner, memory, sizeof memory);
    ok(s.memory.data == memory && peek_is(&s, 0, 64, "held"), "what was held is there");
    is_int(budget.left, 100 - (long)sizeof memory);
    ok(spool_may_hold(&s, 80) && !spool_reserve(&s, 77), "what is charged already is there to be held");
    memcpy(spool_reserve(&s, 5), " more", 5);
    spool_commit(&s, 5);
    is_int(spool_append(&s, " and", 4), 0);
    ok(peek_is(&s, 0, 64, "held more and") && !memcmp(memory, "held more and", 13));
    is_int(spool_append(&s, (char[70]){0}, 70), 0);
    ok(s.fd >= 0 && spool_size(&s) == 83, "what it has no room for goes to a file");
    ok(spool_take_back(&s) == &owner, "the owner gets it back");
    ok(spool_size(&s) == 0 && !s.memory.data && s.fd < 0, "and the spool is empty");
    is_int(budget.left, 100);
    ok(!spool_take_back(&s), "nothing is lent");
    spool_deinit(&s);
}

static void test_long_use(void)
{
    LongUse u = {.seed = 1, .good = true};
    bool bounded = true;
    struct stat st;

    spool_init(&u.spool, 100, 1000, directory);
    for (int i = 0; i < 20000; i++) {
        put_some(&u);
        take_some(&u);
        bounded &= u.spool.fd < 0 || (fstat(u.spool.fd, &st) == 0 && st.st_size <= 1000);
    }
    ok(u.good && u.out > 100000, "%llu octets come out as they went in", (unsigned long long)u.out);
    ok(bounded && u.spool.file_end > 100000, "through a file of at most size_max");
    spool_deinit(&u.spool);
}

static void test_errors(void)
{
    struct rlimit saved, small = {0};
    char data[4096] = {0};
    Spool s;

    spool_init(&s, 4, 100000, "/nonexistent");
    is_int(spool_append(&s, "1234", 4), 0);
    is_int(spool_append(&s, "5", 1), -ENOENT);
    ok(peek_is(&s, 0, 64, "1234"), "what was held is still held");
    spool_deinit(&s);

    /* setrlimit(2): beyond RLIMIT_FSIZE, SIGXFSZ or, where that is ignored, EFBIG. */
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &saved);
    small = saved;
    small.rlim_cur = 6000;
    setrlimit(RLIMIT_FSIZE, &small);
    spool_init(&s, 4, 100000, directory);
    is_int(spool_append(&s, "1234", 4), 0);
    is_int(spool_append(&s, data, sizeof(data)), 0);
    is_int(spool_append(&s, data, sizeof(data)), -EFBIG);
    is_int(spool_size(&s), 4 + sizeof(data));
    is_int(spool_append(&s, data, 6000 - sizeof(data)), 0);
    is_int(spool_append(&s, data, 1), -EFBIG);
    ok(spool_peek(&s, 6003, data, 9) == 1, "6004 octets are held");
    spool_clear(&s);
    small.rlim_cur = 0;
    setrlimit(RLIMIT_FSIZE, &small);
    is_int(spool_append(&s, "12345", 5), -EFBIG);
    ok(s.fd < 0 && spool_size(&s) == 0, "no file stays after a first append that failed");
    setrlimit(RLIMIT_FSIZE, &saved);
    spool_deinit(&s);
}

/* ENOSPC of a real file system: a tmpfs of two pages, in a mount namespace of our own. */
static void test_no_space(void)
{
    char data[5000] = {0};
    Spool s;

    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("tmpfs", directory, "tmpfs", 0, "size=8k") < 0) {
        tap_report(true, "a full file system # SKIP mounting is not permitted");
        return;
    }
    spool_init(&s, 4, 100000, directory);
    is_int(spool_append(&s, data, 5000), 0);
    is_int(spool_append(&s, data, 5000), -ENOSPC);
    is_int(spool_size(&s), 5000);
    spool_consume(&s, 5000);
    is_int(spool_append(&s, data, 5000), 0);
    spool_deinit(&s);
    ok(umount(directory) == 0, "nothing holds the file system");
}

int main(void)
{
    if (!mkdtemp(directory))
        return 99;
    test_crossing();
    test_size_max();
    test_reserve();
    test_memory_retention();
    test_budget();
    test_lent();
    test_long_use();
    test_errors();
    test_no_space();
    ok(rmdir(directory) == 0, "no file is left");
    return tap_done();
}
