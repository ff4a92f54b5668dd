/* SPDX-License-Identifier: MIT */
/* The flags of `cgunicorn serve`: gunicorn's names for keys of the configuration, which they override. */
#pragma once

#include "base/strv.h"

#include <getopt.h>
#include <stddef.h>

/* What a flag's argument becomes. */
typedef enum FlagForm {
    FLAG_VALUE,   /* itself */
    FLAG_YES,     /* no argument: "yes" */
    FLAG_COMMAS,  /* a list whose items commas separate */
    FLAG_PATH,    /* an absolute path */
    FLAG_ADDRESS, /* an address of socket.listen; a host's name is resolved */
    FLAG_ACCESS,  /* "-" is stdout */
    FLAG_TRUSTED, /* FLAG_COMMAS; "*" is every peer */
} FlagForm;

typedef struct Flag {
    char letter; /* 0: none */
    const char *name;
    const char *key; /* section.key */
    FlagForm form;
    const char *argument; /* for the help; NULL: takes none */
    const char *doc;
} Flag;

extern const Flag flags[];
extern const size_t n_flags;

/* Notes section.key=value for config_parse(): a list gets one more line, anything else the new value. 0 or
 * -ENOMEM. */
int flags_override(char ***overrides, const char *setting);

/* Notes the flag. 0, -EINVAL (its argument is wrong) or other negative errno. */
int flags_apply(char ***overrides, const Flag *flag, const char *argument);
