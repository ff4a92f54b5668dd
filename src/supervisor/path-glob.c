/* SPDX-License-Identifier: MIT */
/* Patterns of absolute paths, compared name by name. */
#include "supervisor/path-glob.h"

#include "base/span.h"

#include <fnmatch.h>
#include <limits.h>
#include <string.h>

/* Takes the first name off; size 0: there is none. */
static Span next_name(const char **path)
{
    const char *name = *path + strspn(*path, "/");
    size_t n = strcspn(name, "/");

    *path = name + n;
    return (Span){name, n};
}

static bool name_matches(Span pattern, Span name)
{
    char p[NAME_MAX + 1], s[NAME_MAX + 1];

    if (pattern.size >= sizeof(p) || name.size >= sizeof(s))
        return false;
    memcpy(p, pattern.data, pattern.size);
    memcpy(s, name.data, name.size);
    p[pattern.size] = s[name.size] = '\0';
    return fnmatch(p, s, FNM_PERIOD) == 0;
}

/* if_short: the result where the path ends before the pattern does. */
static bool match(const char *pattern, const char *path, bool if_short)
{
    for (;;) {
        const char *here = pattern;
        Span wanted = next_name(&pattern), name;
        bool is_deep = wanted.size == 2 && memcmp(wanted.data, "**", 2) == 0;

        if (is_deep && match(pattern, path, if_short))
            return true;
        name = next_name(&path);
        if (name.size == 0)
            return wanted.size == 0 || if_short;
        if (is_deep ? name.data[0] == '.' : wanted.size == 0 || !name_matches(wanted, name))
            return false;
        if (is_deep)
            pattern = here;
    }
}

bool path_glob_matches(const char *pattern, const char *path)
{
    return match(pattern, path, false);
}

bool path_glob_may_match_in(const char *pattern, const char *directory)
{
    return match(pattern, directory, true);
}
