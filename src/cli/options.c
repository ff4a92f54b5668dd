/* SPDX-License-Identifier: MIT */
/* The table of options for people: what conf/example.ini is made of and cgunicorn.ini(5) is checked against. */
#include "cli/options.h"

#include "base/cleanup.h"
#include "config/config.h"
#include "supervisor/supervisor.h"

#include <stdio.h>
#include <string.h>

#define WIDTH 100 /* of lines of text */

static const struct {
    const char *section;
    const char *text;
} introductions[] = {
    {"app", "What to run. The application is imported as the site's user, who must be able to read it."},
    {"workers",
     "How many requests run at a time: count × threads. Start with as many processes as the machine has "
     "cores; add threads where requests wait for databases and other servers."},
    {"reload", "How new code proves itself, and takes over from the old."},
    {"timeouts",
     "Units: ms, s (without one: seconds), min, h, d; also together, as in 1min 30s. Those of clients cost "
     "the application nothing: it is called when a request is here as a whole (but see request.buffering)."},
    {"limits",
     "Sizes are in octets; K, M, G and T are powers of 1024. A request over a limit is refused, its "
     "connection is closed."},
    {"request", "How a request reaches the application."},
    {"proxy", "For a site behind nginx, HAProxy or another proxy."},
    {"log", "Messages go to the journal: journalctl -u cgunicorn@SITE. The site may write files below "
            "/var/log/cgunicorn/SITE."},
    {"develop", "Not for sites that others can reach."},
    {"service",
     "Read by systemd (the generator) at boot and at systemctl daemon-reload; then restart the site."},
    {"socket", "Likewise; then restart the site's socket: systemctl restart cgunicorn@SITE.socket."},
};

/* What an option without a default may look like. */
static const struct {
    const char *section;
    const char *key;
    const char *value;
} examples[] = {
    {"app", "module", " shop.wsgi:application"},
    {"app", "virtualenv", " /srv/shop/venv"},
    {"app", "python", " /srv/shop/venv/bin/python"},
    {"app", "chdir", " /srv/shop"},
    {"app", "pythonpath", " /srv/shop/lib /srv/shop/vendor"},
    {"app", "environment", "\n#    DJANGO_SETTINGS_MODULE=shop.settings\n#    TZ=Europe/Berlin"},
    {"app", "sendfile_roots", " /srv/shop/media /protected=/srv/shop/media"},
    {"app", "hooks", " shop.hooks"},
    {"reload", "check_path", " /health"},
    {"proxy", "forwarder_headers", " SCRIPT_NAME REMOTE_USER"},
    {"proxy", "protocol", " 127.0.0.1:8000"},
    {"develop", "watch", " templates/**/*.html"},
    {"service", "user", " shop"},
    {"service", "group", " shop"},
    {"service", "environment_file", " /etc/cgunicorn/shop.env"},
    {"socket", "listen", " 127.0.0.1:8000 [::1]:8000"},
    {"socket", "group", " www-data"},
    {"socket", "mode", " 0660"},
};

/* Text in lines that begin with the prefix and break at blanks. */
static void print_wrapped(const char *prefix, const char *text)
{
    size_t column = 0;

    while (*text) {
        size_t n = strcspn(text, " ");

        if (column > 0 && column + 1 + n > WIDTH) {
            putchar('\n');
            column = 0;
        }
        printf("%s%.*s", column == 0 ? prefix : " ", (int)n, text);
        column += (column == 0 ? strlen(prefix) : 1) + n;
        text += n;
        text += strspn(text, " ");
    }
    putchar('\n');
}

/* A row a key: what `cgunicorn options | grep` and tests/lint/check-options see; columns are parted by two
 * blanks. */
static void print_table(void)
{
    char range[CONFIG_RANGE_MAX];

    printf("%-24s  %-8s  %-13s  %s\n", "KEY", "TYPE", "VALUES", "DEFAULT");
    for (size_t i = 0; i < config_n_options; i++) {
        const ConfigOption *o = &config_options[i];
        int width = printf("%s.%s", o->section, o->key);

        config_option_range(o, range);
        printf("%*s  %-8s  %-13s  %s\n", width < 24 ? 24 - width : 0, "", o->type, *range ? range : "any",
               *o->default_value ? o->default_value : "none");
        print_wrapped("    ", o->doc);
    }
}

static const char *introduction(const char *section)
{
    for (size_t i = 0; i < ELEMENTSOF(introductions); i++)
        if (strcmp(introductions[i].section, section) == 0)
            return introductions[i].text;
    return "";
}

static const char *example(const ConfigOption *o)
{
    for (size_t i = 0; i < ELEMENTSOF(examples); i++)
        if (strcmp(examples[i].section, o->section) == 0 && strcmp(examples[i].key, o->key) == 0)
            return examples[i].value;
    return "";
}

static void print_ini_option(const ConfigOption *o)
{
    char range[CONFIG_RANGE_MAX];

    print_wrapped("# ", o->doc);
    if (*config_option_range(o, range))
        printf("# Values: %s\n", range);
    if (*o->default_value)
        printf("#%s = %s\n\n", o->key, o->default_value);
    else
        printf("# Default: none; for example:\n#%s =%s\n\n", o->key, example(o));
}

static void print_ini(void)
{
    const char *section = "";

    printf("# A site of cgunicorn: copy this file to /etc/cgunicorn/SITE.ini (SITE: a lower-case letter and "
           "up to 20 of\n"
           "# a-z, 0-9 and -), set app.module, and as root:\n#\n"
           "#     cgunicorn check SITE\n"
           "#     systemctl daemon-reload\n"
           "#     systemctl enable --now cgunicorn@SITE.socket\n#\n"
           "# Lines that begin with # are comments, and so is what follows \" ;\" in any line. An indented "
           "line continues\n"
           "# the value of the line above. Nothing is quoted. - and _ are the same in a key. All keys but "
           "app.module may\n"
           "# be left out; those below that have a default are shown with it. See cgunicorn.ini(5).\n\n");
    for (size_t i = 0; i < config_n_options; i++) {
        const ConfigOption *o = &config_options[i];

        if (strcmp(o->section, section) != 0) {
            section = o->section;
            printf("[%s]\n", section);
            print_wrapped("# ", introduction(section));
            putchar('\n');
        }
        print_ini_option(o);
    }
}

int options_main(int argc, char **argv)
{
    bool ini = argc == 2 && strcmp(argv[1], "--ini") == 0;

    if (argc > 1 && !ini) {
        fprintf(stderr, "usage: cgunicorn options [--ini]\n");
        return EXIT_USAGE;
    }
    if (ini)
        print_ini();
    else
        print_table();
    return fflush(stdout) == 0 ? EXIT_OK : EXIT_OS;
}
