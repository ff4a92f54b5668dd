/* SPDX-License-Identifier: MIT */
/* `cgunicorn serve`: as a service of systemd (SITE), or in the foreground. */
#include "cli/serve.h"

#include "base/cleanup.h"
#include "cli/flags.h"
#include "cli/site.h"
#include "config/config.h"
#include "supervisor/supervisor.h"

#include <stdio.h>
#include <string.h>

enum {
    FIRST_FLAG = 0x100, /* above all letters */
    FLAG_SET = FIRST_FLAG + 0x100,
    FLAGS_MAX = 32,
    FLAGS_OWN = 4, /* --config, --name, --set, --help */
};

typedef struct Command {
    char *site;
    char *config_path;
    char *name;
    char **overrides;
    bool binds;  /* -b */
    bool is_app; /* module:callable was given */
} Command;

static void command_deinit(Command *c)
{
    free(c->site);
    free(c->config_path);
    free(c->name);
    strv_free(c->overrides);
}

static void print_flag(char letter, const char *name, const char *argument, const char *doc)
{
    char left[64];

    (void)snprintf(left, sizeof(left), "%c%c%s--%s%s%s", letter ? '-' : ' ', letter ? letter : ' ',
                   letter ? ", " : "  ", name, argument ? " " : "", argument ? argument : "");
    printf("  %-36s %s\n", left, doc);
}

static int print_help(void)
{
    printf("Usage: cgunicorn serve SITE\n"
           "       cgunicorn serve [-c FILE.ini] [FLAG]... [module:callable]\n\n"
           "The first is for systemd, which passes the sockets. The second serves in the foreground, by "
           "default at\n"
           "http://127.0.0.1:8000. SIGHUP loads configuration and code anew, SIGTERM finishes what runs and "
           "ends.\n\n");
    print_flag('c', "config", "FILE", "the site's INI file");
    print_flag('n', "name", "SITE", "name for logs and process titles");
    for (size_t i = 0; i < n_flags; i++)
        print_flag(flags[i].letter, flags[i].name, flags[i].argument, flags[i].doc);
    print_flag(0, "set", "SECTION.KEY=VALUE",
               "any key of cgunicorn.ini(5), see `cgunicorn options`; repeatable");
    return EXIT_OK;
}

static int misuse(const char *what, const char *about)
{
    fprintf(stderr, "cgunicorn serve: %s%s\nTry 'cgunicorn serve --help'.\n", what, about);
    return EXIT_USAGE;
}

static int out_of_memory(void)
{
    fprintf(stderr, "cgunicorn serve: %s\n", strerror(ENOMEM));
    return EXIT_OS;
}

/* getopt's own form of the flags. */
static void fill_options(struct option options[static FLAGS_MAX], char letters[static 2 * FLAGS_MAX])
{
    size_t n = 0;

    letters += sprintf(letters, ":c:n:h");
    options[n++] = (struct option){"config", required_argument, NULL, 'c'};
    options[n++] = (struct option){"name", required_argument, NULL, 'n'};
    options[n++] = (struct option){"help", no_argument, NULL, 'h'};
    options[n++] = (struct option){"set", required_argument, NULL, FLAG_SET};
    for (size_t i = 0; i < n_flags; i++) {
        int takes = flags[i].argument ? required_argument : no_argument;

        options[n++] = (struct option){flags[i].name, takes, NULL, FIRST_FLAG + (int)i};
        if (flags[i].letter)
            letters += sprintf(letters, "%c%s", flags[i].letter, flags[i].argument ? ":" : "");
    }
    options[n] = (struct option){0};
}

static const Flag *find_flag(int c)
{
    for (size_t i = 0; i < n_flags; i++)
        if (c == FIRST_FLAG + (int)i || (c != 0 && c == flags[i].letter))
            return &flags[i];
    return NULL;
}

/* -1: go on; else the exit status. */
static int set_string(char **to, const char *value)
{
    free(*to);
    *to = strdup(value);
    return *to ? -1 : out_of_memory();
}

static int take_flag(Command *command, int c)
{
    const Flag *flag = find_flag(c);
    int r;

    if (c == FLAG_SET)
        return flags_override(&command->overrides, optarg) < 0 ? out_of_memory() : -1;
    if (!flag)
        return misuse("internal error", "");
    command->binds |= flag->form == FLAG_ADDRESS;
    r = flags_apply(&command->overrides, flag, optarg);
    if (r == -ENOMEM)
        return out_of_memory();
    return r < 0 ? misuse("not a valid argument: ", optarg) : -1;
}

static int parse_flags(Command *command, int argc, char **argv)
{
    struct option options[FLAGS_MAX];
    char letters[2 * FLAGS_MAX];
    int status = -1;

    _Static_assert(sizeof(options) / sizeof(options[0]) > FLAGS_OWN, "room for getopt's end mark");
    fill_options(options, letters);
    while (status < 0) {
        int c = getopt_long(argc, argv, letters, options, NULL);

        if (c < 0)
            return -1;
        if (c == 'h')
            status = print_help();
        else if (c == 'c')
            status = set_string(&command->config_path, optarg);
        else if (c == 'n')
            status = set_string(&command->name, optarg);
        else if (c == ':')
            status = misuse("an argument is missing: ", argv[optind - 1]);
        else if (c == '?')
            status = misuse("unknown flag: ", argv[optind - 1]);
        else
            status = take_flag(command, c);
    }
    return status;
}

/* A site's name has neither ':' nor '.' nor '_', a module most often has. With -c it can only be a module. */
static int take_argument(Command *command, const char *argument)
{
    _cleanup_free_ char *setting = NULL;

    if (!command->config_path && config_site_name_is_valid(argument))
        return set_string(&command->site, argument);
    if (asprintf(&setting, "app.module=%s", argument) < 0 || flags_override(&command->overrides, setting) < 0)
        return out_of_memory();
    command->is_app = true;
    return -1;
}

/* What the site is called, and where its file is. */
static int settle_names(Command *command)
{
    if (command->name && !config_site_name_is_valid(command->name))
        return misuse("not a site's name ([a-z][a-z0-9-]{0,20}): ", command->name);
    if (command->site)
        command->config_path = site_path(command->site);
    if (!command->name && command->site)
        command->name = strdup(command->site);
    else if (!command->name)
        command->name = command->config_path ? site_name(command->config_path) : strdup("");
    return command->name && (!command->site || command->config_path) ? -1 : out_of_memory();
}

static bool names_app(const Command *command)
{
    if (command->is_app || command->config_path || command->site)
        return true;
    for (char **o = command->overrides; o && *o; o++)
        if (strncmp(*o, "app.module=", strlen("app.module=")) == 0)
            return true;
    return false;
}

int serve_main(int argc, char **argv)
{
    _cleanup_(command_deinit) Command command = {0};
    SupervisorOptions options;
    int status = parse_flags(&command, argc, argv);

    if (status < 0 && argc > optind + 1)
        status = misuse("too many arguments: ", argv[optind + 1]);
    if (status < 0 && argc > optind)
        status = take_argument(&command, argv[optind]);
    if (status < 0 && !names_app(&command))
        status = misuse("name a SITE, or an application as module:callable", "");
    if (status < 0)
        status = settle_names(&command);
    if (status >= 0)
        return status;
    options = (SupervisorOptions){
        .site = command.name,
        .config_path = command.config_path,
        .overrides = command.overrides,
        .may_bind = !command.site || command.binds,
    };
    return supervisor_run(&options);
}
