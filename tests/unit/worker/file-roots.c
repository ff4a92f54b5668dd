/* SPDX-License-Identifier: MIT */
/* Tests of worker/file-roots: which root a name is below, and what becomes of names that are below none. What is
 * followed on the way from a root is base/beneath's. */
#include "worker/file-roots.h"

#include "tap.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>

static char top[] = "/tmp/file-roots-test-XXXXXX";

static char *path_of(const char *name)
{
    static char path[256];

    snprintf(path, sizeof(path), "%s%s", top, name);
    return path;
}

static void write_file(const char *name, const char *text)
{
    _cleanup_close_ int fd = open(path_of(name), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

    if (fd < 0 || write(fd, text, strlen(text)) < 0)
        abort();
}

static void make_tree(void)
{
    if (!mkdtemp(top) || mkdir(path_of("/a"), 0755) < 0 || mkdir(path_of("/a/in"), 0755) < 0 ||
        mkdir(path_of("/b"), 0755) < 0 || mkdir(path_of("/b/in"), 0755) < 0)
        abort();
    write_file("/a/f", "a");
    write_file("/a/x y?%", "blank");
    write_file("/a/in/f", "a/in");
    write_file("/b/f", "b");
    write_file("/b/in/f", "b/in");
    write_file("/ab", "ab");
}

static void check(const FileRoots *f, FileNaming naming, Span name, unsigned status, const char *expected)
{
    _cleanup_close_ int fd = -EBADF;
    const char *reason = "";
    char text[16] = "";
    struct stat st;
    unsigned got = file_roots_open(f, naming, name, &fd, &st, &reason);

    if (got == 0 && read(fd, text, sizeof(text) - 1) < 0)
        abort();
    tap_report(got == status && strcmp(got ? reason : text, expected) == 0, "%.*s: %u %s", (int)name.size,
               name.data, got, got ? reason : text);
}

#define OUTSIDE "it is not below one of app.sendfile_roots"

static void test_paths(const FileRoots *f)
{
    static char long_name[PATH_MAX + 1];

    check(f, FILE_BY_PATH, span_of(path_of("/a/f")), 0, "a");
    check(f, FILE_BY_PATH, span_of(path_of("/a//in/../in/f")), 0, "a/in");
    check(f, FILE_BY_PATH, span_of(path_of("/a/x y?%")), 0, "blank");
    check(f, FILE_BY_PATH, span_of(path_of("/a/../b/f")), 403, "it leads out of its root");
    check(f, FILE_BY_PATH, span_of(path_of("/a/in")), 403, "it is not a regular file");
    check(f, FILE_BY_PATH, span_of(path_of("/a/")), 403, "it is not a regular file");
    check(f, FILE_BY_PATH, span_of(path_of("/a")), 403, OUTSIDE);
    check(f, FILE_BY_PATH, span_of(path_of("/ab")), 403, OUTSIDE);
    check(f, FILE_BY_PATH, span_of(path_of("/b/f")), 403, OUTSIDE);
    check(f, FILE_BY_PATH, span_of("/etc/passwd"), 403, OUTSIDE);
    check(f, FILE_BY_PATH, span_of("f"), 403, OUTSIDE);
    check(f, FILE_BY_PATH, span_of(""), 403, OUTSIDE);
    check(f, FILE_BY_PATH, span_of("/u/f"), 403, OUTSIDE);
    check(f, FILE_BY_PATH, span_of(path_of("/a/none")), 404, "No such file or directory");
    check(f, FILE_BY_PATH, span_of(path_of("/a/f/g")), 404, "Not a directory");
    memset(long_name, 'a', PATH_MAX);
    check(f, FILE_BY_PATH, span_of(long_name), 404, "File name too long");
}

static void test_uris(const FileRoots *f)
{
    check(f, FILE_BY_URI, SPAN_LITERAL("/u/f"), 0, "b");
    check(f, FILE_BY_URI, SPAN_LITERAL("/u/f?g=h"), 0, "b");
    check(f, FILE_BY_URI, SPAN_LITERAL("/%75/%66"), 0, "b");
    check(f, FILE_BY_URI, SPAN_LITERAL("/u/in/f"), 0, "a/in");
    check(f, FILE_BY_URI, SPAN_LITERAL("/u/inn/../in/f"), 404, "No such file or directory");
    check(f, FILE_BY_URI, SPAN_LITERAL("/u/in%2ff"), 0, "a/in");
    check(f, FILE_BY_URI, SPAN_LITERAL("/v/x%20y%3f%25"), 0, "blank");
    check(f, FILE_BY_URI, SPAN_LITERAL("/u/%2e%2e/a/f"), 403, "it leads out of its root");
    check(f, FILE_BY_URI, SPAN_LITERAL("/u/f%00.pdf"), 403, "it has a NUL in it");
    check(f, FILE_BY_URI, SPAN_LITERAL("/u"), 403, OUTSIDE);
    check(f, FILE_BY_URI, SPAN_LITERAL("/uu/f"), 403, OUTSIDE);
    check(f, FILE_BY_URI, SPAN_LITERAL("u/f"), 403, OUTSIDE);
    check(f, FILE_BY_URI, SPAN_LITERAL(""), 403, OUTSIDE);
    check(f, FILE_BY_URI, SPAN_LITERAL("?"), 403, OUTSIDE);
    check(f, FILE_BY_URI, span_of(path_of("/a/f")), 403, OUTSIDE);
}

/* What the names of the roots mean later changes nothing. */
static void test_swap(const FileRoots *f)
{
    char from[256];

    snprintf(from, sizeof(from), "%s", path_of("/a"));
    if (rename(from, path_of("/c")) < 0 || symlink("/etc", from) < 0)
        abort();
    check(f, FILE_BY_PATH, span_of(path_of("/a/f")), 0, "a");
    check(f, FILE_BY_PATH, span_of(path_of("/a/passwd")), 404, "No such file or directory");
    if (unlink(from) < 0 || rename(path_of("/c"), from) < 0)
        abort();
}

static FileRoots *roots_of(char **words)
{
    _cleanup_free_ char *error = NULL;
    FileRoots *f = NULL;

    is_int(file_roots_new(words, &f, &error), 0);
    return f;
}

static void test_new(void)
{
    char missing[300], file[300];
    char *words[][2] = {{missing}, {file}};
    const char *const reasons[] = {"No such file or directory", "Not a directory"};
    FileRoots *f = NULL;

    snprintf(missing, sizeof(missing), "/u/=%s", path_of("/none"));
    snprintf(file, sizeof(file), "%s", path_of("/ab"));
    for (size_t i = 0; i < ELEMENTSOF(words); i++) {
        _cleanup_free_ char *error = NULL;

        ok(file_roots_new(words[i], &f, &error) < 0 && !f);
        ok(error && strstr(error, i == 0 ? path_of("/none: ") : path_of("/ab: ")) &&
               strstr(error, reasons[i]) && strstr(error, "app.sendfile_roots"),
           "%s", error);
    }
    f = roots_of(NULL);
    check(f, FILE_BY_PATH, SPAN_LITERAL("/etc/passwd"), 403, OUTSIDE);
    file_roots_free(f);
    f = roots_of((char *[]){(char *)"/", NULL});
    check(f, FILE_BY_PATH, span_of(path_of("/b/f")), 0, "b");
    file_roots_free(f);
}

static void remove_tree(void)
{
    static const char *const names[] = {"/a/f",    "/a/x y?%", "/a/in/f", "/a/in", "/a", "/b/f",
                                        "/b/in/f", "/b/in",    "/b",      "/ab",   ""};

    for (size_t i = 0; i < ELEMENTSOF(names); i++)
        if (remove(path_of(names[i])) < 0)
            perror(names[i]);
}

int main(void)
{
    char words[4][300];
    FileRoots *f;

    make_tree();
    snprintf(words[0], sizeof(words[0]), "%s/", path_of("/a"));
    snprintf(words[1], sizeof(words[1]), "/u/=%s", path_of("/b"));
    snprintf(words[2], sizeof(words[2]), "/u/in=%s", path_of("/a/in"));
    snprintf(words[3], sizeof(words[3]), "/v=%s", path_of("/a"));
    f = roots_of((char *[]){words[0], words[1], words[2], words[3], NULL});
    test_paths(f);
    test_uris(f);
    test_swap(f);
    file_roots_free(f);
    test_new();
    remove_tree();
    return tap_done();
}
