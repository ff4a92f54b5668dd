/* SPDX-License-Identifier: MIT */
/* Unit tests of base/beneath: a tree with all that is to be followed, and all that is not. */
#include "base/beneath.h"

#include "base/cleanup.h"
#include "tap.h"

#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/un.h>

static char top[] = "/tmp/beneath-test-XXXXXX";
static int root = -EBADF;

static void check(int r)
{
    if (r < 0) {
        printf("Bail out! %s\n", strerror(errno));
        exit(99);
    }
}

static void write_file(const char *path, const char *text)
{
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

    check(fd);
    check(write(fd, text, strlen(text)) == (ssize_t)strlen(text) ? 0 : -1);
}

static void bind_socket(const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    strcpy(a.sun_path, path);
    check(bind(fd, (struct sockaddr *)&a, sizeof(a)));
}

/* top/outside is the file that must never be opened; the root is top/root. */
static void make_tree(void)
{
    check(mkdtemp(top) ? chdir(top) : -1);
    write_file("outside", "secret");
    check(mkdir("root", 0755));
    check(mkdir("root2", 0755));
    write_file("root2/f", "secret");
    root = open("root", O_PATH | O_DIRECTORY | O_CLOEXEC);
    check(root);
    check(chdir("root"));
    check(mkdir("d", 0755));
    check(mkdir("d/e", 0755));
    write_file("f", "top");
    write_file("d/e/f", "deep");
    check(mkfifo("fifo", 0644));
    bind_socket("socket");
    check(symlink("d/e/f", "link"));
    check(symlink("e", "d/elink"));
    check(symlink("../../f", "d/e/up"));
    check(symlink(".", "d/same"));
    check(symlink("loop", "loop"));
    check(symlink("../outside", "out"));
    check(symlink("d/../../outside", "out2"));
    check(symlink("..", "out3"));
    check(symlink("/", "slash"));
    check(symlink("/proc/self/fd/0", "magic"));
    check(symlink("fifo", "to-fifo"));
    check(symlink("f/", "to-slash"));
    write_file("hidden", "x");
    check(chmod("hidden", 0));
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

/* The text of the file, or what beneath_open() returned. */
static const char *read_below(const char *path, int *ret)
{
    static char text[16];
    _cleanup_close_ int fd = -EBADF;
    struct stat st;
    ssize_t n;

    *ret = beneath_open(root, span_of(path), &fd, &st);
    if (*ret != 0)
        return NULL;
    n = read(fd, text, sizeof(text) - 1);
    text[n < 0 ? 0 : n] = '\0';
    return st.st_size == n && fcntl(fd, F_GETFD) == FD_CLOEXEC ? text : "?";
}

static void opens(const char *path, const char *text)
{
    int r;
    const char *got = read_below(path, &r);

    tap_report(got && strcmp(got, text) == 0, "\"%s\" has \"%s\": %s, %d", path, text, got ? got : "-", r);
}

static void refuses(const char *path, int expected)
{
    int r;

    read_below(path, &r);
    tap_report(r == expected, "\"%s\": %d, expected %d", path, r, expected);
}

static void test_files(void)
{
    opens("f", "top");
    opens("/f", "top");
    opens("//d//./e/f", "deep");
    opens("d/e/../../f", "top");
    opens("d/e/up", "top");
    opens("link", "deep");
    opens("d/elink/f", "deep");
    opens("d/elink/up", "top");
    opens("d/elink/../../f", "top");
    opens("d/same/same/e/f", "deep");
}

static void test_outside(void)
{
    refuses("..", BENEATH_E_OUTSIDE);
    refuses("../outside", BENEATH_E_OUTSIDE);
    refuses("../root/f", BENEATH_E_OUTSIDE);
    refuses("../root2/f", BENEATH_E_OUTSIDE);
    refuses("d/../../outside", BENEATH_E_OUTSIDE);
    refuses("out", BENEATH_E_OUTSIDE);
    refuses("out2", BENEATH_E_OUTSIDE);
    refuses("out3/outside", BENEATH_E_OUTSIDE);
    refuses("out3/root/f", BENEATH_E_OUTSIDE);
    refuses("d/same/../../outside", BENEATH_E_OUTSIDE);
    refuses("slash/etc/passwd", BENEATH_E_OUTSIDE);
    refuses("slash/..", BENEATH_E_OUTSIDE);
    refuses("magic", BENEATH_E_OUTSIDE);
}

static void test_no_files(void)
{
    static char long_name[NAME_MAX + 2], long_path[PATH_MAX + 1];

    refuses("", BENEATH_E_NOT_REGULAR);
    refuses("/", BENEATH_E_NOT_REGULAR);
    refuses("d", BENEATH_E_NOT_REGULAR);
    refuses("d/e/", BENEATH_E_NOT_REGULAR);
    refuses("fifo", BENEATH_E_NOT_REGULAR);
    refuses("to-fifo", BENEATH_E_NOT_REGULAR);
    refuses("socket", BENEATH_E_NOT_REGULAR);
    refuses("nothing", -ENOENT);
    refuses("nothing/..", -ENOENT);
    refuses("f/", -ENOTDIR);
    refuses("f/..", -ENOTDIR);
    refuses("to-slash", -ENOTDIR);
    refuses("loop", -ELOOP);
    memset(long_name, 'a', NAME_MAX + 1);
    refuses(long_name, -ENAMETOOLONG);
    for (size_t i = 0; i < PATH_MAX; i++)
        long_path[i] = i % 2 ? '/' : '.';
    refuses(long_path, -ENAMETOOLONG);
    if (geteuid() != 0)
        refuses("hidden", -EACCES);
}

static void test_depth(void)
{
    char path[3 * 70 + 2] = "";

    for (int i = 0; i < 70; i++) {
        strcat(path, "x/");
        check(mkdir(path, 0755));
        if (i == 50)
            write_file("x/x/x/f", "3");
    }
    strcat(path, "f");
    write_file(path, "70");
    opens("x/x/x/f", "3");
    refuses(path, -ENAMETOOLONG);
}

/* While a directory goes out and in, and a file is a link to the outside by turns, nothing but what is below is
 * opened. */
static _Atomic bool is_over;

static void *move_about(void *unused)
{
    while (!is_over) {
        rename("d/e", "../moved");
        rename("../moved", "d/e");
        symlinkat("../outside", root, "turn");
        unlinkat(root, "turn", 0);
    }
    return unused;
}

static void test_races(void)
{
    unsigned n_deep = 0, n_bad = 0;
    pthread_t thread;

    check(-pthread_create(&thread, NULL, move_about, NULL));
    for (unsigned i = 0; i < 20000; i++) {
        int r;
        const char *text = read_below(i % 2 ? "turn" : "d/e/../../../outside", &r);

        n_bad += text != NULL;
        text = read_below("d/e/f", &r);
        n_deep += text != NULL;
        n_bad += text && strcmp(text, "deep") != 0;
    }
    is_over = true;
    pthread_join(thread, NULL);
    is_int(n_bad, 0);
    ok(n_deep > 0);
}

static void test_descriptors(void)
{
    int before = dup(0), after;

    close(before);
    refuses("d/e/nothing", -ENOENT);
    opens("d/elink/f", "deep");
    after = dup(0);
    close(after);
    is_int(after, before);
}

int main(void)
{
    make_tree();
    test_files();
    test_outside();
    test_no_files();
    test_depth();
    test_races();
    test_descriptors();
    close(root);
    nftw(top, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return tap_done();
}
