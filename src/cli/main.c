/* SPDX-License-Identifier: MIT */
/* The command line: one verb, one module. */
#include "base/title.h"
#include "cli/check.h"
#include "cli/options.h"
#include "cli/serve.h"
#include "cli/wait.h"
#include "supervisor/supervisor.h"

#include "base/cleanup.h"

#include <stdio.h>
#include <string.h>

static int help_main(int argc, char **argv);
static int version_main(int argc, char **argv);

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *usage;
    const char *doc;
} verbs[] = {
    {"serve", serve_main, "serve SITE", "serve a site on the sockets that systemd passes"},
    {"serve", serve_main, "serve [FLAG]... module:callable",
     "serve in the foreground, see `cgunicorn serve --help`"},
    {"check", check_main, "check SITE|FILE.ini", "check the configuration, and that the application loads"},
    {"options", options_main, "options", "list the keys of a site's INI file"},
    {"wait", wait_main, NULL, NULL}, /* for the unit */
    {"help", help_main, "help", "show this"},
    {"--help", help_main, NULL, NULL},
    {"-h", help_main, NULL, NULL},
    {"--version", version_main, "--version", "show the version"},
};

static int help_main(int argc, char **argv)
{
    (void)argc, (void)argv;
    printf("Usage: cgunicorn VERB ...\n\nServes Python web applications (WSGI), one site per INI file.\n\n");
    for (size_t i = 0; i < ELEMENTSOF(verbs); i++)
        if (verbs[i].usage)
            printf("  cgunicorn %-32s %s\n", verbs[i].usage, verbs[i].doc);
    printf("\nA site is " SITES_DIRECTORY
           "/SITE.ini\nStart it with: systemctl enable --now cgunicorn@SITE.socket\n"
           "Manuals: cgunicorn(8), cgunicorn.ini(5).\n");
    return EXIT_OK;
}

static int version_main(int argc, char **argv)
{
    (void)argc, (void)argv;
    printf("cgunicorn " PACKAGE_VERSION " (Python " PYTHON_MINOR ")\n");
    return EXIT_OK;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "cgunicorn: a verb is missing\nTry 'cgunicorn --help'.\n");
        return EXIT_USAGE;
    }
    title_init(argc, argv);
    for (size_t i = 0; i < ELEMENTSOF(verbs); i++)
        if (strcmp(argv[1], verbs[i].name) == 0)
            return verbs[i].run(argc - 1, argv + 1);
    fprintf(stderr, "cgunicorn: unknown verb: %s\nTry 'cgunicorn --help'.\n", argv[1]);
    return EXIT_USAGE;
}
