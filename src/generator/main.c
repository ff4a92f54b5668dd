/* SPDX-License-Identifier: MIT */
/* The systemd generator (systemd.generator(7)): turns what a site's INI file says about sockets, users and
 * timeouts into drop-ins of its units. Runs at boot and at each daemon-reload, before anything else: talks to
 * nobody, and whatever is wrong with one site neither fails nor holds up another. */
#include "base/buffer.h"
#include "base/fd.h"
#include "config/config.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>

#define SUFFIX ".ini"
#define KMSG_MAX 900 /* the kernel refuses longer records than about 1000 octets */

/* What units/cgunicorn@.service has, and how much longer than the site's own time it must be: the supervisor
 * ends first. */
#define TIMEOUT_START_USEC (90 * USEC_PER_SEC)
#define TIMEOUT_START_MARGIN_USEC (30 * USEC_PER_SEC)
#define TIMEOUT_STOP_USEC (40 * USEC_PER_SEC)
#define TIMEOUT_STOP_MARGIN_USEC (10 * USEC_PER_SEC)

typedef struct Generator {
    const char *sites;  /* the directory of the INI files */
    const char *output; /* the directory for units of normal priority */
    int log_fd;         /* of /dev/kmsg, negative: stderr */
} Generator;

__attribute__((__format__(__printf__, 2, 3))) static void report(const Generator *g, const char *format, ...)
{
    char line[KMSG_MAX];
    int n = snprintf(line, sizeof(line), "<%d>cgunicorn-generator[%d]: ", LOG_WARNING, getpid());
    const char *message = line + n;
    va_list ap;

    va_start(ap, format);
    vsnprintf(line + n, sizeof(line) - (size_t)n, format, ap);
    va_end(ap);
    if (g->log_fd < 0 || fd_write_all(g->log_fd, line, strlen(line)) < 0)
        fprintf(stderr, "cgunicorn-generator: %s\n", message);
}

/* Adds "key=value". In a unit file '%' begins a specifier, and a '\' at the end of a line joins the next one,
 * which nothing prevents: -EINVAL. Quotes have no meaning in the settings that are written here. */
static int add_setting(Buffer *to, const char *key, const char *value)
{
    size_t n = strlen(value);
    int r;

    if (n > 0 && value[n - 1] == '\\')
        return -EINVAL;
    r = buffer_printf(to, "%s=", key);
    for (const char *p = value; r == 0 && *p; p++)
        r = *p == '%' ? buffer_append(to, "%%", 2) : buffer_append(to, p, 1);
    return r == 0 ? buffer_append(to, "\n", 1) : r;
}

static int add_timeout(Buffer *to, const char *key, usec_t needed, usec_t margin, usec_t installed)
{
    char value[FORMAT_VALUE_MAX];

    if (needed + margin <= installed)
        return 0;
    return add_setting(to, key, format_duration(value, needed + margin));
}

/* Text stays empty where the unit as installed is right. */
static int describe_socket(const Config *c, Buffer *to)
{
    int r = 0;

    if (c->socket_listen)
        r = add_setting(to, "ListenStream", ""); /* an empty one takes back those of the template */
    for (size_t i = 0; r == 0 && i < strv_length(c->socket_listen); i++)
        r = add_setting(to, "ListenStream", c->socket_listen[i]);
    if (r == 0 && c->socket_group)
        r = add_setting(to, "SocketGroup", c->socket_group);
    if (r == 0 && c->socket_mode)
        r = add_setting(to, "SocketMode", c->socket_mode);
    return r;
}

static int describe_service(const Config *c, Buffer *to)
{
    int r = 0;

    if (c->service_user) {
        r = add_setting(to, "DynamicUser", "no");
        if (r == 0)
            r = add_setting(to, "User", c->service_user);
    }
    if (r == 0 && c->service_group)
        r = add_setting(to, "Group", c->service_group);
    if (r == 0 && c->service_environment_file)
        r = add_setting(to, "EnvironmentFile", c->service_environment_file);
    if (r == 0)
        r = add_timeout(to, "TimeoutStartSec", c->timeouts_load, TIMEOUT_START_MARGIN_USEC,
                        TIMEOUT_START_USEC);
    if (r == 0)
        r = add_timeout(to, "TimeoutStopSec", c->timeouts_graceful, TIMEOUT_STOP_MARGIN_USEC,
                        TIMEOUT_STOP_USEC);
    return r;
}

/* SourcePath= makes systemctl say when the INI file is newer than what systemd has read. */
static int write_drop_in(const Generator *g, const char *site, const char *type, const char *section,
                         Span settings)
{
    _cleanup_(buffer_deinit) Buffer text = {0};
    _cleanup_close_ int fd = -EBADF;
    char path[PATH_MAX], source[PATH_MAX];
    int r;

    if (settings.size == 0)
        return 0;
    snprintf(source, sizeof(source), "%s/%s" SUFFIX, g->sites, site);
    snprintf(path, sizeof(path), "%s/cgunicorn@%s.%s.d", g->output, site, type);
    r = buffer_append_string(&text, "# Written by cgunicorn-generator at each daemon-reload.\n[Unit]\n");
    if (r == 0)
        r = add_setting(&text, "SourcePath", source);
    if (r == 0)
        r = buffer_printf(&text, "\n[%s]\n", section);
    if (r == 0)
        r = buffer_append(&text, settings.data, settings.size);
    if (r < 0)
        return r;
    if (mkdir(path, 0755) < 0 && errno != EEXIST)
        return -errno;
    strncat(path, "/50-cgunicorn.conf", sizeof(path) - strlen(path) - 1);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        return -errno;
    return fd_write_all(fd, buffer_head(&text), buffer_size(&text));
}

static int write_units(const Generator *g, const char *site, const Config *c)
{
    _cleanup_(buffer_deinit) Buffer socket = {0};
    _cleanup_(buffer_deinit) Buffer service = {0};
    int r = describe_socket(c, &socket);

    if (r == 0)
        r = describe_service(c, &service);
    if (r == 0)
        r = write_drop_in(g, site, "socket", "Socket", buffer_span(&socket));
    if (r == 0)
        r = write_drop_in(g, site, "service", "Service", buffer_span(&service));
    return r;
}

static int load_config(const char *path, Config **ret, char **ret_error)
{
    _cleanup_free_ char *data = NULL;
    size_t size;
    int r = config_read_file(path, &data, &size, ret_error);

    return r == 0 ? config_parse(data, size, path, NULL, ret, ret_error) : r;
}

static void generate_site(const Generator *g, const char *filename)
{
    _cleanup_(config_freep) Config *c = NULL;
    _cleanup_free_ char *error = NULL;
    char path[PATH_MAX], site[NAME_MAX + 1];
    int r;

    snprintf(path, sizeof(path), "%s/%s", g->sites, filename);
    snprintf(site, sizeof(site), "%.*s", (int)(strlen(filename) - strlen(SUFFIX)), filename);
    if (!config_site_name_is_valid(site)) {
        report(g, "%s: skipped, a site is named by a lower-case letter and up to 20 of a-z, 0-9 and -", path);
        return;
    }
    r = load_config(path, &c, &error);
    if (r == CONFIG_E_INVALID) {
        report(g, "skipped, %.*s", (int)strcspn(error, "\n"), error); /* `cgunicorn check` shows them all */
        return;
    }
    if (r == 0)
        r = write_units(g, site, c);
    if (r == -EINVAL)
        report(g, "%s: skipped, a value that ends in a backslash cannot stand in a unit file", path);
    else if (r < 0)
        report(g, "%s: skipped, %s", path, strerror(-r));
}

static int is_ini(const struct dirent *entry)
{
    size_t n = strlen(entry->d_name);

    return entry->d_name[0] != '.' && n > strlen(SUFFIX) &&
           strcmp(entry->d_name + n - strlen(SUFFIX), SUFFIX) == 0;
}

static void generate(const Generator *g)
{
    struct dirent **entries;
    int n = scandir(g->sites, &entries, is_ini, alphasort);

    if (n < 0) {
        if (errno != ENOENT)
            report(g, "%s: %s", g->sites, strerror(errno));
        return;
    }
    for (int i = 0; i < n; i++) {
        generate_site(g, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
}

int main(int argc, char **argv)
{
    const char *directory = secure_getenv("CGUNICORN_SITES_DIRECTORY");
    Generator g = {.sites = directory ? directory : SITES_DIRECTORY, .log_fd = -EBADF};

    if (argc != 2 && argc != 4) {
        fprintf(stderr, "usage: %s NORMAL-DIRECTORY [EARLY-DIRECTORY LATE-DIRECTORY]\n", argv[0]);
        return EXIT_FAILURE;
    }
    g.output = argv[1];
    if (!directory) /* not a dry run */
        g.log_fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC | O_NOCTTY);
    generate(&g);
    if (g.log_fd >= 0)
        close(g.log_fd);
    return EXIT_SUCCESS;
}
