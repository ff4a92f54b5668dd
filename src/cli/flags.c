/* SPDX-License-Identifier: MIT */
/* The flags of `cgunicorn serve` and what becomes of their arguments. */
#include "cli/flags.h"

#include "base/cleanup.h"
#include "config/config.h"

#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

const Flag flags[] = {
    {'b', "bind", "socket.listen", FLAG_ADDRESS, "ADDRESS",
     "PORT, HOST:PORT, [IPV6]:PORT or unix:PATH; repeatable"},
    {'w', "workers", "workers.count", FLAG_VALUE, "N", "worker processes"},
    {0, "threads", "workers.threads", FLAG_VALUE, "N", "requests at a time in the application of one worker"},
    {'k', "worker-class", "workers.class", FLAG_VALUE, "CLASS", "threads or gevent"},
    {0, "preload", "workers.preload", FLAG_YES, NULL, "import the application before the workers are forked"},
    {'t', "timeout", "timeouts.request", FLAG_VALUE, "TIME", "longest time of a request in the application"},
    {0, "graceful-timeout", "timeouts.graceful", FLAG_VALUE, "TIME",
     "for running requests at stop and reload"},
    {0, "keep-alive", "timeouts.keepalive", FLAG_VALUE, "TIME", "longest idle time between two requests"},
    {0, "worker-connections", "limits.connections", FLAG_VALUE, "N", "connections of one worker"},
    {0, "limit-request-line", "limits.request_line", FLAG_VALUE, "SIZE", "longest request line"},
    {0, "limit-request-fields", "limits.fields", FLAG_VALUE, "N", "most header fields of a request"},
    {0, "limit-request-field_size", "limits.field_size", FLAG_VALUE, "SIZE", "longest header field"},
    {0, "reload", "develop.reload", FLAG_YES, NULL, "reload when a source file changes; for development"},
    {0, "reload-extra-file", "develop.watch", FLAG_PATH, "PATH",
     "or this file, directory or pattern; repeatable"},
    {0, "chdir", "app.chdir", FLAG_PATH, "DIR", "working directory of the application"},
    {0, "pythonpath", "app.pythonpath", FLAG_COMMAS, "DIR,...", "directories for the front of sys.path"},
    {'e', "env", "app.environment", FLAG_VALUE, "NAME=VALUE", "for os.environ; repeatable"},
    {0, "access-logfile", "log.access", FLAG_ACCESS, "FILE",
     "access log: a file, journal, off, or - for stdout"},
    {0, "access-logformat", "log.access_format", FLAG_VALUE, "FORMAT", "of its lines, with gunicorn's atoms"},
    {0, "log-level", "log.level", FLAG_VALUE, "LEVEL", "debug, info, warning, error or critical"},
    {0, "forwarded-allow-ips", "proxy.trusted", FLAG_TRUSTED, "PEER,...",
     "peers whose X-Forwarded-* are believed"},
};
const size_t n_flags = ELEMENTSOF(flags);

static bool is_list(const char *setting, size_t key_size)
{
    char name[64];

    for (size_t i = 0; i < config_n_options; i++) {
        const ConfigOption *o = &config_options[i];
        int n = snprintf(name, sizeof(name), "%s.%s", o->section, o->key);

        if ((size_t)n == key_size && strncmp(name, setting, key_size) == 0)
            return strcmp(o->type, "list") == 0 || strcmp(o->type, "lines") == 0;
    }
    return false;
}

/* '-' and '_' are the same in a key. */
static void unify_key(char *setting, size_t key_size)
{
    for (size_t i = 0; i < key_size; i++)
        if (setting[i] == '-')
            setting[i] = '_';
}

int flags_override(char ***overrides, const char *setting)
{
    _cleanup_free_ char *s = strdup(setting);
    size_t key_size;

    if (!s)
        return -ENOMEM;
    key_size = strcspn(s, "=");
    unify_key(s, key_size);
    for (char **o = *overrides; o && *o; o++) {
        char *joined;

        if (strncmp(*o, s, key_size) != 0 || (*o)[key_size] != '=')
            continue;
        if (!is_list(s, key_size) || s[key_size] == '\0')
            joined = TAKE_PTR(s);
        else if (asprintf(&joined, "%s\n%s", *o, s + key_size + 1) < 0)
            return -ENOMEM;
        free(*o);
        *o = joined;
        return 0;
    }
    return strv_append(overrides, s, strlen(s));
}

static int absolute_path(const char *path, char **ret)
{
    _cleanup_free_ char *directory = NULL;

    if (*path == '/')
        return (*ret = strdup(path)) ? 0 : -ENOMEM;
    directory = realpath(".", NULL);
    if (!directory)
        return -errno;
    return asprintf(ret, strcmp(path, ".") == 0 ? "%s" : "%s/%s", directory, path) < 0 ? -ENOMEM : 0;
}

/* IPv4 where the name has such an address, as gunicorn does: "localhost" is the same on all machines then. */
static int look_up(const char *host, struct addrinfo **ret)
{
    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM};

    if (getaddrinfo(host, NULL, &hints, ret) == 0)
        return 0;
    hints.ai_family = AF_UNSPEC;
    return getaddrinfo(host, NULL, &hints, ret) == 0 ? 0 : -EINVAL;
}

/* "localhost:8000" → "127.0.0.1:8000": the configuration knows numbers alone, as systemd.socket(5) does. */
static int resolve(const char *address, const char *colon, char **ret)
{
    _cleanup_free_ char *host = strndup(address, (size_t)(colon - address));
    char number[64];
    struct addrinfo *found;
    int r;

    if (!host)
        return -ENOMEM;
    r = look_up(host, &found);
    if (r < 0)
        return r;
    r = getnameinfo(found->ai_addr, found->ai_addrlen, number, sizeof(number), NULL, 0, NI_NUMERICHOST);
    if (r == 0)
        r = asprintf(ret, found->ai_family == AF_INET6 ? "[%s]%s" : "%s%s", number, colon) < 0 ? -ENOMEM : 0;
    else
        r = -EINVAL;
    freeaddrinfo(found);
    return r;
}

static int normal_address(const char *address, char **ret)
{
    const char *colon = strrchr(address, ':');

    if (strncmp(address, "unix:", strlen("unix:")) == 0)
        return absolute_path(address + strlen("unix:"), ret);
    if (colon == address) /* ":8000": all addresses */
        address++;
    else if (*address != '/' && *address != '[' && colon)
        return resolve(address, colon, ret);
    return (*ret = strdup(address)) ? 0 : -ENOMEM;
}

static int split_commas(const char *list, char **ret)
{
    *ret = strdup(list);
    for (char *c = *ret; c && (c = strchr(c, ','));)
        *c = '\n';
    return *ret ? 0 : -ENOMEM;
}

static int convert(FlagForm form, const char *argument, char **ret)
{
    switch (form) {
    case FLAG_YES:
        argument = "yes";
        break;
    case FLAG_COMMAS:
        return split_commas(argument, ret);
    case FLAG_PATH:
        return absolute_path(argument, ret);
    case FLAG_ADDRESS:
        return normal_address(argument, ret);
    case FLAG_ACCESS:
        if (strcmp(argument, "-") == 0)
            argument = "/dev/stdout";
        else if (strcmp(argument, "off") != 0 && strcmp(argument, "journal") != 0)
            return absolute_path(argument, ret);
        break;
    case FLAG_TRUSTED:
        if (strcmp(argument, "*") != 0)
            return split_commas(argument, ret);
        argument = "0.0.0.0/0 ::/0 unix";
        break;
    case FLAG_VALUE:
        break;
    }
    return (*ret = strdup(argument)) ? 0 : -ENOMEM;
}

int flags_apply(char ***overrides, const Flag *flag, const char *argument)
{
    _cleanup_free_ char *value = NULL, *setting = NULL;
    int r = convert(flag->form, argument, &value);

    if (r < 0)
        return r;
    if (asprintf(&setting, "%s=%s", flag->key, value) < 0)
        return -ENOMEM;
    return flags_override(overrides, setting);
}
