/* SPDX-License-Identifier: MIT */
/* Which paths a pattern means. */
#include "supervisor/path-glob.h"

#include "base/cleanup.h"
#include "tap.h"

static const struct {
    const char *pattern, *path;
    bool matches, below;
} cases[] = {
    {"/a/b.html", "/a/b.html", true, true},
    {"/a/b.html", "/a/b.htm", false, false},
    {"/a/b.html", "/a/b.html/c", false, false},
    {"/a/b.html", "/a", false, true},
    {"/a/b.html", "/", false, true},
    {"/a/b.html", "/b", false, false},
    {"/a/*.html", "/a/b.html", true, true},
    {"/a/*.html", "/a/b/c.html", false, false},
    {"/a/*.html", "/a/.b.html", false, false},
    {"/a/.*.html", "/a/.b.html", true, true},
    {"/a/*/c", "/a/b/c", true, true},
    {"/a/*/c", "/a/b", false, true},
    {"/a/[bc]?", "/a/bx", true, true},
    {"/a/**", "/a/b", true, true},
    {"/a/**", "/a/b/c/d", true, true},
    {"/a/**", "/a/b/.c/d", false, false},
    {"/a/**", "/ab", false, false},
    {"/a/**/*.html", "/a/b.html", true, true},
    {"/a/**/*.html", "/a/b/c/d.html", true, true},
    {"/a/**/*.html", "/a/b/c/d.txt", false, true},
    {"/a/**/*.html", "/a/.git/d.html", false, false},
    {"/a/**/b/**/c", "/a/x/b/y/b/z/c", true, true},
    {"/a/**/b/**/c", "/a/x/y/z/c", false, true},
    {"/a//b/", "/a/b", true, true},
    {"/**", "/a", true, true},
};

int main(void)
{
    static char name[300];

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        ok(path_glob_matches(cases[i].pattern, cases[i].path) == cases[i].matches, "%s %s", cases[i].pattern,
           cases[i].path);
        ok(path_glob_may_match_in(cases[i].pattern, cases[i].path) == cases[i].below, "%s in %s",
           cases[i].pattern, cases[i].path);
    }
    memset(name, 'a', sizeof(name) - 1);
    name[0] = '/';
    ok(!path_glob_matches(name, name)); /* longer than any name */
    return tap_done();
}
