/* SPDX-License-Identifier: MIT */
/* What the unit's sandbox means for paths. */
#include "base/sandbox.h"

#include "base/cleanup.h"

#include <string.h>

const char *sandbox_hint(const char *path)
{
    static const char *const hidden[] = {"/home/", "/root/", "/run/user/"};

    for (size_t i = 0; i < ELEMENTSOF(hidden); i++)
        if (strncmp(path, hidden[i], strlen(hidden[i])) == 0)
            return " (the unit hides this directory: see ProtectHome= in systemd.exec(5))";
    return "";
}
