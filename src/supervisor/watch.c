/* SPDX-License-Identifier: MIT */
/* Watched directories, what counts in them, and the pause before a change is told. */
#include "supervisor/watch.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "supervisor/path-glob.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#define QUIET_USEC (150 * USEC_PER_MSEC)
#define LATEST_USEC (2 * USEC_PER_SEC)
#define ACCURACY_USEC (10 * USEC_PER_MSEC)
#define DIRECTORIES_MAX 8192

#define EVENTS                                                                                              \
    (IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE_SELF | IN_MOVE_SELF | \
     IN_ONLYDIR | IN_EXCL_UNLINK)

typedef enum DirectoryKind {
    DIRECTORY_OF_PATTERN, /* only patterns count */
    DIRECTORY_GUESSED,    /* made beside modules: perhaps a package that nobody has imported yet */
    DIRECTORY_OF_MODULES,
} DirectoryKind;

struct WatchedDirectory {
    Watch *watch;
    sd_event_source *source;
    DirectoryKind kind;
    WatchedDirectory *next;
    char path[];
};

static const struct timespec ever = {0};

static void watch_subdirectory(const WatchedDirectory *d, const char *name, const char *path, bool is_new,
                               const struct timespec *since);

/* --- what counts --- */

static bool is_module(const char *name)
{
    const char *dot = strrchr(name, '.');

    return name[0] != '.' && dot && (strcmp(dot, ".py") == 0 || strcmp(dot, ".so") == 0);
}

static bool may_be_package(const char *name)
{
    return !strpbrk(name, ".- ") && strcmp(name, "__pycache__") != 0;
}

static bool counts(const WatchedDirectory *d, const char *name, const char *path)
{
    if (d->kind != DIRECTORY_OF_PATTERN && is_module(name))
        return true;
    for (char **p = d->watch->patterns; p && *p; p++)
        if (path_glob_matches(*p, path))
            return true;
    return false;
}

static bool may_count_in(const Watch *w, const char *path)
{
    for (char **p = w->patterns; p && *p; p++)
        if (path_glob_may_match_in(*p, path))
            return true;
    return false;
}

/* Editors write in bursts, checkouts of versions more so. */
static void note_change(Watch *w, const char *path)
{
    usec_t now = clock_now_usec();

    if (w->latest_usec == 0) {
        w->latest_usec = now + LATEST_USEC;
        w->changed = strdup(path);
    }
    (void)sd_event_source_set_time(w->timer, MIN(now + QUIET_USEC, w->latest_usec));
    (void)sd_event_source_set_enabled(w->timer, SD_EVENT_ONESHOT);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
    Watch *w = userdata;
    _cleanup_free_ char *path = TAKE_PTR(w->changed);

    (void)source, (void)usec;
    w->latest_usec = 0;
    w->on_change(w->userdata, path ? path : "a source file");
    return 0;
}

/* --- directories --- */

static bool changed_since(const struct stat *st, const struct timespec *since)
{
    return st->st_ctim.tv_sec > since->tv_sec ||
           (st->st_ctim.tv_sec == since->tv_sec && st->st_ctim.tv_nsec >= since->tv_nsec);
}

/* What came before the directory was watched. */
static void look_into(WatchedDirectory *d, const struct timespec *since)
{
    DIR *dir = opendir(d->path);
    struct stat st;

    if (!dir)
        return;
    for (struct dirent *e; (e = readdir(dir));) {
        _cleanup_free_ char *path = NULL; /* not an array, as trees may be deep */

        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 ||
            asprintf(&path, "%s/%s", d->path, e->d_name) < 0 ||
            fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        if (S_ISDIR(st.st_mode))
            watch_subdirectory(d, e->d_name, path, d->kind == DIRECTORY_GUESSED, since);
        else if (changed_since(&st, since) && counts(d, e->d_name, path))
            note_change(d->watch, path);
    }
    closedir(dir);
}

/* With all below it, which may have moved along. */
static void forget(Watch *w, const char *path)
{
    size_t n = strlen(path);

    for (WatchedDirectory **at = &w->directories, *d; (d = *at);) {
        if (strncmp(d->path, path, n) != 0 || (d->path[n] != '\0' && d->path[n] != '/')) {
            at = &d->next;
            continue;
        }
        *at = d->next;
        w->n_directories--;
        sd_event_source_disable_unref(d->source);
        free(d);
    }
}

static int on_event(sd_event_source *source, const struct inotify_event *e, void *userdata)
{
    WatchedDirectory *d = userdata;
    char path[PATH_MAX];

    (void)source;
    if ((e->mask & (IN_IGNORED | IN_DELETE_SELF | IN_MOVE_SELF)) != 0) {
        if (d->kind != DIRECTORY_GUESSED)
            note_change(d->watch, d->path);
        (void)snprintf(path, sizeof(path), "%s", d->path);
        forget(d->watch, path);
    } else if ((e->mask & IN_Q_OVERFLOW) != 0)
        note_change(d->watch, d->path);
    else if (e->len == 0 || snprintf(path, sizeof(path), "%s/%s", d->path, e->name) >= (int)sizeof(path))
        return 0;
    else if ((e->mask & IN_ISDIR) == 0) {
        if (counts(d, e->name, path))
            note_change(d->watch, path);
    } else if ((e->mask & (IN_CREATE | IN_MOVED_TO)) != 0)
        watch_subdirectory(d, e->name, path, true, &ever);
    return 0;
}

static WatchedDirectory *find(const Watch *w, const char *path)
{
    for (WatchedDirectory *d = w->directories; d; d = d->next)
        if (strcmp(d->path, path) == 0)
            return d;
    return NULL;
}

static int add(Watch *w, const char *path, WatchedDirectory **ret)
{
    size_t size = strlen(path) + 1;
    WatchedDirectory *d;
    int r;

    if (w->n_directories == DIRECTORIES_MAX)
        return -ENOSPC;
    d = calloc(1, sizeof(*d) + size);
    if (!d)
        return -ENOMEM;
    memcpy(d->path, path, size);
    d->watch = w;
    r = sd_event_add_inotify(w->event, &d->source, path, EVENTS, on_event, d);
    if (r < 0) {
        free(d);
        return r;
    }
    d->next = w->directories;
    w->directories = d;
    w->n_directories++;
    *ret = d;
    return 0;
}

/* Modules come from archives as well, and sys.path names what does not exist. */
static void explain(Watch *w, const char *path, int r)
{
    if (r == -ENOENT || r == -ENOTDIR || w->has_warned)
        return;
    w->has_warned = true;
    log_warning("develop.reload: changes in %s, and perhaps in other directories, are not noticed: %s", path,
                r == -ENOSPC   ? "too many directories; see fs.inotify.max_user_watches in inotify(7)"
                : r == -EMFILE ? "too many watchers; see fs.inotify.max_user_instances in inotify(7)"
                               : strerror(-r));
}

/* 0 or negative errno. */
static int watch(Watch *w, const char *path, DirectoryKind kind, const struct timespec *since)
{
    WatchedDirectory *d = find(w, path);
    int r = 0;

    if (d && d->kind >= kind)
        return 0;
    if (!d)
        r = add(w, path, &d);
    if (r < 0) {
        explain(w, path, r);
        return r;
    }
    d->kind = kind;
    look_into(d, since);
    return 0;
}

/* is_new: it came since the one above is watched. */
static void watch_subdirectory(const WatchedDirectory *d, const char *name, const char *path, bool is_new,
                               const struct timespec *since)
{
    if (is_new && d->kind != DIRECTORY_OF_PATTERN && may_be_package(name))
        (void)watch(d->watch, path, DIRECTORY_GUESSED, since);
    else if (may_count_in(d->watch, path))
        (void)watch(d->watch, path, DIRECTORY_OF_PATTERN, since);
}

void watch_add_modules(Watch *w, const char *directories)
{
    char path[PATH_MAX];

    while (w->event && *directories) {
        size_t n = strcspn(directories, "\n");

        if (*directories == '/' && n < sizeof(path)) {
            memcpy(path, directories, n);
            path[n] = '\0';
            (void)watch(w, path, DIRECTORY_OF_MODULES, &w->since);
        }
        directories += n + (directories[n] == '\n');
    }
}

/* --- develop.watch --- */

/* As an absolute pattern; a directory means all that is in it. */
static int add_pattern(Watch *w, const char *directory, const char *item)
{
    _cleanup_free_ char *path = NULL, *pattern = NULL;
    struct stat st;
    size_t n = strlen(item);

    while (n > 1 && item[n - 1] == '/')
        n--;
    if (asprintf(&path, "%s%s%.*s", *item == '/' ? "" : directory, *item == '/' ? "" : "/", (int)n, item) < 0)
        return -ENOMEM;
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode) && asprintf(&pattern, "%s/**", path) < 0)
        return -ENOMEM;
    if (!pattern)
        pattern = TAKE_PTR(path);
    return strv_append(&w->patterns, pattern, strlen(pattern));
}

/* From the last directory above all wildcards on. */
static void watch_pattern(Watch *w, const char *pattern)
{
    _cleanup_free_ char *base = strndup(pattern, strcspn(pattern, "*?["));
    char *slash = base ? strrchr(base, '/') : NULL;
    int r;

    if (!slash)
        return;
    *slash = '\0';
    r = watch(w, *base ? base : "/", DIRECTORY_OF_PATTERN, &w->since);
    if (r == -ENOENT || r == -ENOTDIR)
        log_warning("develop.watch: cannot watch %s: %s", base, strerror(-r));
}

static int set_patterns(Watch *w, const Config *c)
{
    _cleanup_free_ char *directory = c->app_chdir ? strdup(c->app_chdir) : getcwd(NULL, 0);
    int r = directory ? 0 : -ENOMEM;

    strv_free(w->patterns);
    w->patterns = NULL;
    for (char **item = c->develop_watch; r == 0 && item && *item; item++)
        r = add_pattern(w, directory, *item);
    for (char **p = w->patterns; r == 0 && p && *p; p++)
        watch_pattern(w, *p);
    return r;
}

/* --- begin and end --- */

static int begin(Watch *w, sd_event *event)
{
    int r = sd_event_add_time(event, &w->timer, CLOCK_MONOTONIC, 0, ACCURACY_USEC, on_timer, w);

    if (r >= 0)
        r = sd_event_source_set_enabled(w->timer, SD_EVENT_OFF);
    if (r >= 0)
        w->event = event;
    return r;
}

void watch_begin(Watch *w, sd_event *event, const Config *config, WatchHandler on_change, void *userdata)
{
    int r;

    if (!config->develop_reload) {
        watch_deinit(w);
        return;
    }
    w->on_change = on_change;
    w->userdata = userdata;
    (void)clock_gettime(CLOCK_REALTIME_COARSE, &w->since); /* which stamps files, too */
    r = w->event ? 0 : begin(w, event);
    if (r >= 0)
        r = set_patterns(w, config);
    if (r < 0)
        log_warning("develop.reload: cannot watch files: %s", strerror(-r));
}

void watch_deinit(Watch *w)
{
    forget(w, "");
    sd_event_source_disable_unref(w->timer);
    strv_free(w->patterns);
    free(w->changed);
    *w = (Watch){0};
}
