/* SPDX-License-Identifier: MIT */
/* From the name of a file, as an application gives it, to its descriptor. */
#include "worker/file-roots.h"

#include "base/beneath.h"
#include "base/sandbox.h"
#include "http/target.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>

typedef struct FileRoot {
    FileNaming naming;
    Span prefix; /* of names, without a slash at its end; borrowed */
    int directory;
} FileRoot;

struct FileRoots {
    size_t n;
    FileRoot roots[];
};

FileRoots *file_roots_free(FileRoots *f)
{
    for (size_t i = 0; f && i < f->n; i++)
        closep(&f->roots[i].directory);
    free(f);
    return NULL;
}

static int root_open(FileRoot *root, const char *word, char **ret_error)
{
    const char *equals = strstr(word, "=/"), *path = equals ? equals + 1 : word;
    size_t size = equals ? (size_t)(equals - word) : strlen(word);
    int r;

    while (size > 0 && word[size - 1] == '/')
        size--;
    *root = (FileRoot){
        .naming = equals ? FILE_BY_URI : FILE_BY_PATH,
        .prefix = {word, size},
        .directory = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC),
    };
    if (root->directory >= 0)
        return 0;
    r = -errno;
    if (asprintf(ret_error, "app.sendfile_roots: cannot open the directory %s: %s%s", path, strerror(-r),
                 sandbox_hint(path)) < 0)
        *ret_error = NULL;
    return r;
}

int file_roots_new(char *const *words, FileRoots **ret, char **ret_error)
{
    _cleanup_(file_roots_freep) FileRoots *f = NULL;
    size_t n = 0;

    while (words && words[n])
        n++;
    f = calloc(1, sizeof(*f) + n * sizeof(f->roots[0]));
    if (!f)
        return -ENOMEM;
    for (; f->n < n; f->n++) {
        int r = root_open(&f->roots[f->n], words[f->n], ret_error);

        if (r < 0)
            return r;
    }
    *ret = TAKE_PTR(f);
    return 0;
}

static bool is_below(Span name, Span prefix)
{
    return name.size > prefix.size && name.data[prefix.size] == '/' &&
           span_equal((Span){name.data, prefix.size}, prefix);
}

/* The innermost root that the name is below. */
static const FileRoot *find_root(const FileRoots *f, FileNaming naming, Span name)
{
    const FileRoot *found = NULL;

    for (size_t i = 0; i < f->n; i++) {
        const FileRoot *root = &f->roots[i];

        if (root->naming == naming && is_below(name, root->prefix) &&
            (!found || root->prefix.size > found->prefix.size))
            found = root;
    }
    return found;
}

/* What nginx answers where it can't open a file of an internal location. */
static unsigned status_of(int r, const char **ret_reason)
{
    switch (r) {
    case BENEATH_E_OUTSIDE:
        *ret_reason = "it leads out of its root";
        return 403;
    case BENEATH_E_NOT_REGULAR:
        *ret_reason = "it is not a regular file";
        return 403;
    case -ENOENT:
    case -ENOTDIR:
    case -ENAMETOOLONG:
        *ret_reason = strerror(-r);
        return 404;
    case -EACCES:
    case -EPERM:
    case -ELOOP:
    case -ENXIO: /* a socket has come in its place */
        *ret_reason = strerror(-r);
        return 403;
    default:
        *ret_reason = strerror(-r);
        return 500;
    }
}

unsigned file_roots_open(const FileRoots *f, FileNaming naming, Span name, int *ret_fd, struct stat *ret_stat,
                         const char **ret_reason)
{
    char decoded[PATH_MAX];
    const FileRoot *root;
    int r;

    if (name.size >= sizeof(decoded))
        return status_of(-ENAMETOOLONG, ret_reason);
    if (naming == FILE_BY_URI) {
        const char *query = name.size > 0 ? memchr(name.data, '?', name.size) : NULL;

        name.size = query ? (size_t)(query - name.data) : name.size;
        name = (Span){decoded, target_decode_path(name, decoded)};
    }
    root = find_root(f, naming, name);
    if (!root || memchr(name.data, '\0', name.size)) {
        *ret_reason = root ? "it has a NUL in it" : "it is not below one of app.sendfile_roots";
        return 403;
    }
    r = beneath_open(root->directory, (Span){name.data + root->prefix.size, name.size - root->prefix.size},
                     ret_fd, ret_stat);
    return r == 0 ? 0 : status_of(r, ret_reason);
}
