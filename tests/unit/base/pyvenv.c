/* SPDX-License-Identifier: MIT */
/* Tests of base/pyvenv. */
#include "base/pyvenv.h"

#include "base/cleanup.h"
#include "tap.h"

#include <stdio.h>
#include <sys/stat.h>

static void test_parse(void)
{
    static const struct {
        const char *text;
        const char *version; /* NULL: none */
    } cases[] = {
        {"home = /usr/bin\nversion = 3.11.2\n", "3.11"},
        {"version=3.13.0", "3.13"},
        {"home = /usr/bin\r\nVersion = 3.12.1\r\n", "3.12"},
        {"implementation = CPython\nversion_info = 3.11.2.final.0\n", "3.11"},
        {"version_info = 3.14\n", "3.14"},
        {"  version\t=\t3.9\n", "3.9"},
        {"prompt = version = 2.7\nversion = 3.11.0\n", "3.11"},
        {"", NULL},
        {"home = /usr/bin\n", NULL},
        {"version = three\n", NULL},
        {"version = 3\n", NULL},
        {"version = 3.\n", NULL},
        {"version\n", NULL},
        {"versions = 3.11\n", NULL},
        {"version = 3.1111111111111111111\n", NULL},
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        char version[PYVENV_VERSION_MAX] = "untouched";
        int r = pyvenv_parse(cases[i].text, version);

        is_int(r, cases[i].version ? 0 : PYVENV_E_NO_VERSION);
        is_string(version, cases[i].version ? cases[i].version : "untouched");
    }
}

static void test_read(void)
{
    char directory[] = "/tmp/pyvenv-test-XXXXXX", path[64], version[PYVENV_VERSION_MAX];
    FILE *f;

    ok(mkdtemp(directory));
    is_int(pyvenv_read(directory, version), -ENOENT);
    (void)snprintf(path, sizeof path, "%s/pyvenv.cfg", directory);
    f = fopen(path, "we");
    ok(f && fputs("version = 3.11.2\n", f) >= 0 && fclose(f) == 0);
    is_int(pyvenv_read(directory, version), 0);
    is_string(version, "3.11");
    (void)remove(path);
    (void)remove(directory);
}

int main(void)
{
    test_parse();
    test_read();
    return tap_done();
}
