/* SPDX-License-Identifier: MIT */
/* The rules of single keys. */
#include "config/check.h"

#include "base/access-format.h"
#include "base/parse.h"
#include "base/proxy-headers.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <sys/un.h>

#define ADDRESS_MAX 64
#define USER_NAME_MAX 31 /* utmp's, which systemd keeps to */

/* What is wrong with the item, or NULL, or no_memory. */
typedef const char *(*CheckFunction)(const char *item, Span *ret_bad);

static const char no_memory[] = "cannot be checked";

static size_t identifier_length(const char *s)
{
    size_t n = 0;

    while (isalnum((unsigned char)s[n]) || s[n] == '_' || (unsigned char)s[n] >= 0x80)
        n++;
    return isdigit((unsigned char)s[0]) ? 0 : n;
}

/* "a" or "a.b.c"; returns what follows, or NULL. */
static const char *skip_dotted_name(const char *s)
{
    for (;;) {
        size_t n = identifier_length(s);

        if (n == 0)
            return NULL;
        if (s[n] != '.')
            return s + n;
        s += n + 1;
    }
}

static const char *check_module(const char *item, Span *ret_bad)
{
    const char *rest = skip_dotted_name(item);

    (void)ret_bad;
    if (rest && *rest == ':')
        rest = skip_dotted_name(rest + 1);
    if (rest && *rest == '(' && strchr(item, ':') && rest[strlen(rest) - 1] == ')')
        return NULL;
    if (rest && *rest == '\0')
        return NULL;
    return "is no application; write module:callable or module:factory(), for example shop.wsgi:application";
}

static const char *check_hooks(const char *item, Span *ret_bad)
{
    const char *rest = skip_dotted_name(item);

    (void)ret_bad;
    return rest && *rest == '\0' ? NULL : "is no module; write its dotted name, for example shop.hooks";
}

static const char *check_environment(const char *item, Span *ret_bad)
{
    size_t n = 0;

    while (isalnum((unsigned char)item[n]) || item[n] == '_')
        n++;
    if (n > 0 && !isdigit((unsigned char)item[0]) && item[n] == '=')
        return NULL;
    ret_bad->size = strcspn(item, "="); /* what is behind may be a secret */
    return "is no name of a variable; write one NAME=value a line, for example "
           "DJANGO_SETTINGS_MODULE=shop.settings";
}

static const char *check_sendfile_root(const char *item, Span *ret_bad)
{
    (void)ret_bad;
    if (item[0] == '/')
        return NULL;
    return "is no absolute path; write a directory (/srv/media) or a prefix of URIs and a directory "
           "(/protected=/srv/media)";
}

static bool is_network(const char *item)
{
    const char *slash = strchr(item, '/');
    size_t n = slash ? (size_t)(slash - item) : strlen(item);
    char address[ADDRESS_MAX], binary[sizeof(struct in6_addr)];
    uint64_t bits = 0;
    bool v4;

    if (n >= sizeof(address))
        return false;
    memcpy(address, item, n);
    address[n] = '\0';
    v4 = inet_pton(AF_INET, address, binary) == 1;
    if (!v4 && inet_pton(AF_INET6, address, binary) != 1)
        return false;
    return !slash || (parse_uint64(slash + 1, &bits) == 0 && bits <= (v4 ? 32 : 128));
}

static const char *check_trusted(const char *item, Span *ret_bad)
{
    (void)ret_bad;
    if (strcmp(item, "unix") == 0 || is_network(item))
        return NULL;
    return "is no peer; write addresses (10.0.0.1), networks (10.0.0.0/8) or unix, and 0.0.0.0/0 ::/0 for "
           "all";
}

static const char *check_proxy_header(const char *item, Span *ret_bad)
{
    (void)ret_bad;
    if (proxy_header_from_name(item) > 0)
        return NULL;
    return "is no such field; there are x-forwarded-for, x-forwarded-proto, x-forwarded-host, "
           "x-forwarded-port, x-forwarded-prefix, x-forwarded-ssl, x-forwarded-protocol and forwarded";
}

/* Names that a field with '-' has a meaning of its own by are not to be taken from it. */
static const char *check_forwarder_header(const char *item, Span *ret_bad)
{
    static const char *const taken[] = {"CONTENT_LENGTH", "CONTENT_TYPE", "TRANSFER_ENCODING"};

    (void)ret_bad;
    if (!strchr(item, '_') ||
        strspn(item, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") != strlen(item))
        return "is no name with '_'; write letters, digits and '_', for example SCRIPT_NAME; names with '-' "
               "need no permission";
    if (strcasecmp(item, "PATH_INFO") == 0)
        return "is not for proxies to set: it follows from the request's path and SCRIPT_NAME";
    if (strncasecmp(item, "X_FORWARDED_", strlen("X_FORWARDED_")) == 0)
        return "would hide the field of that name with '-', which proxy.headers is for";
    for (size_t i = 0; i < ELEMENTSOF(taken); i++)
        if (strcasecmp(item, taken[i]) == 0)
            return "would hide the field of that name with '-', which says what the body is";
    return NULL;
}

static const char *check_class(const char *item, Span *ret_bad)
{
    (void)ret_bad;
    if (strcmp(item, "threads") == 0 || strcmp(item, "gevent") == 0)
        return NULL;
    return "is no class of workers; write threads (gunicorn's sync and gthread) or gevent";
}

static const char *check_header_map(const char *item, Span *ret_bad)
{
    (void)ret_bad;
    if (strcmp(item, "drop") == 0 || strcmp(item, "refuse") == 0)
        return NULL;
    if (strcmp(item, "dangerous") == 0)
        return "is not offered: a client's X_User would become HTTP_X_USER, past a proxy that checks X-User; "
               "write drop or refuse, and name in proxy.forwarder_headers what your proxies set";
    return "is neither drop nor refuse";
}

/* Octets that a request line, or a field, is made of without any quoting. */
static bool is_visible(const char *s)
{
    while (*s > 0x20 && *s < 0x7f)
        s++;
    return *s == '\0';
}

static const char *check_path(const char *item, Span *ret_bad)
{
    (void)ret_bad;
    return item[0] == '/' && is_visible(item) ? NULL
                                              : "is no path; for example /health?full=1, other octets as %XX";
}

static const char *check_host(const char *item, Span *ret_bad)
{
    (void)ret_bad;
    return *item && is_visible(item) ? NULL : "is no host; for example www.example.org";
}

static const char *check_access(const char *item, Span *ret_bad)
{
    (void)ret_bad;
    if (strcmp(item, "off") == 0 || strcmp(item, "journal") == 0 || item[0] == '/')
        return NULL;
    return "is neither off, journal nor an absolute path, for example /var/log/shop/access.log";
}

static const char *check_access_format(const char *item, Span *ret_bad)
{
    _cleanup_(access_format_freep) AccessFormat *f = NULL;
    const char *bad = item;
    int r;

    if (*item == '\0')
        return "is no format; for example %(h)s \"%(r)s\" %(s)s";
    r = access_format_parse(item, &f, &bad);
    if (r != -EINVAL)
        return r == -ENOMEM ? no_memory : NULL;
    *ret_bad = span_of(bad);
    return "begins with no atom of the access log; atoms are %(h)s, %({name}i)s and others, and %% is a "
           "percent sign";
}

/* As systemd takes it in User= and Group=: a name or a number. */
static const char *check_user(const char *item, Span *ret_bad)
{
    size_t n = strlen(item);
    uint64_t id;

    (void)ret_bad;
    if (parse_uint64(item, &id) == 0 && id < UINT32_MAX)
        return NULL;
    if ((isalpha((unsigned char)item[0]) || item[0] == '_') && n <= USER_NAME_MAX &&
        strspn(item, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == n)
        return NULL;
    return "is no name of a user or group; for example www-data";
}

static bool is_port(const char *s)
{
    uint16_t port;

    return parse_port(span_of(s), &port) == 0 && port >= 1;
}

/* ADDRESS:PORT or [ADDRESS]:PORT. */
static bool is_endpoint(const char *item)
{
    const char *colon = strrchr(item, ':');
    char address[ADDRESS_MAX], binary[sizeof(struct in6_addr)];
    size_t n = colon ? (size_t)(colon - item) : 0;

    if (n == 0 || n >= sizeof(address) || !is_port(colon + 1))
        return false;
    memcpy(address, item, n);
    address[n] = '\0';
    if (address[0] != '[')
        return inet_pton(AF_INET, address, binary) == 1;
    if (address[n - 1] != ']')
        return false;
    address[n - 1] = '\0';
    return inet_pton(AF_INET6, address + 1, binary) == 1;
}

static const char *check_listen(const char *item, Span *ret_bad)
{
    (void)ret_bad;
    if (item[0] == '/')
        return strlen(item) < sizeof(((struct sockaddr_un *)NULL)->sun_path)
                   ? NULL
                   : "is too long for a Unix socket; 107 octets are the most";
    if (strncmp(item, "unix:", strlen("unix:")) == 0)
        return "is no address; write the path of a Unix socket without unix:";
    if (is_port(item) || is_endpoint(item))
        return NULL;
    return "is no address; write a port (8000), an IP address and a port (127.0.0.1:8000, [::1]:8000) or a "
           "path "
           "(/run/shop.sock)";
}

static const char *check_proxy_protocol(const char *item, Span *ret_bad)
{
    return strcmp(item, "all") == 0 ? NULL : check_listen(item, ret_bad);
}

static const char *check_mode(const char *item, Span *ret_bad)
{
    (void)ret_bad;
    if (*item && strspn(item, "01234567") == strlen(item) && strtoul(item, NULL, 8) <= 0777)
        return NULL;
    return "is no mode; write an octal number up to 0777, for example 0660";
}

static const struct {
    size_t offset;
    CheckFunction check;
} checks[] = {
    {offsetof(Config, app_module), check_module},
    {offsetof(Config, app_hooks), check_hooks},
    {offsetof(Config, app_environment), check_environment},
    {offsetof(Config, app_sendfile_roots), check_sendfile_root},
    {offsetof(Config, proxy_trusted), check_trusted},
    {offsetof(Config, proxy_headers), check_proxy_header},
    {offsetof(Config, proxy_forwarder_headers), check_forwarder_header},
    {offsetof(Config, workers_class), check_class},
    {offsetof(Config, request_header_map), check_header_map},
    {offsetof(Config, proxy_protocol), check_proxy_protocol},
    {offsetof(Config, reload_check_path), check_path},
    {offsetof(Config, reload_check_host), check_host},
    {offsetof(Config, log_access), check_access},
    {offsetof(Config, log_access_format), check_access_format},
    {offsetof(Config, service_user), check_user},
    {offsetof(Config, service_group), check_user},
    {offsetof(Config, socket_listen), check_listen},
    {offsetof(Config, socket_group), check_user},
    {offsetof(Config, socket_mode), check_mode},
};

int check_item(const ConfigOption *o, const char *item, const char **ret_wrong, Span *ret_bad)
{
    *ret_bad = span_of(item);
    *ret_wrong = NULL;
    if (o->type_id == CONFIG_PATH && item[0] != '/')
        *ret_wrong = "is no absolute path; for example /srv/shop";
    for (size_t i = 0; i < ELEMENTSOF(checks); i++)
        if (checks[i].offset == o->offset)
            *ret_wrong = checks[i].check(item, ret_bad);
    return *ret_wrong == no_memory ? -ENOMEM : 0;
}
