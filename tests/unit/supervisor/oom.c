/* SPDX-License-Identifier: MIT */
/* Kills for want of memory, read from a file in the place of the kernel's. */
#include "supervisor/oom.h"

#include "tap.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char path[] = "/tmp/oom-test-XXXXXX";

static void write_events(const char *text)
{
    FILE *f = fopen(path, "w");

    ok(f && fputs(text, f) >= 0 && fclose(f) == 0);
}

static void test_counter(void)
{
    Oom o;

    write_events("low 0\nhigh 7\nmax 3\noom 2\noom_kill 2\noom_group_kill 9\n");
    oom_init(&o, path);
    ok(!oom_has_killed(&o), "what was before does not count");
    write_events("low 0\nhigh 8\nmax 4\noom 4\noom_kill 2\noom_group_kill 10\n");
    ok(!oom_has_killed(&o), "nor do the other counters");
    write_events("low 0\nhigh 8\nmax 4\noom 4\noom_kill 3\noom_group_kill 10\n");
    ok(oom_has_killed(&o));
    ok(!oom_has_killed(&o), "once");
    write_events("oom_kill nonsense\n");
    ok(!oom_has_killed(&o));
    oom_deinit(&o);
}

static void test_no_file(void)
{
    Oom o;

    oom_init(&o, "/nonexistent/memory.events");
    ok(o.fd < 0 && !oom_has_killed(&o));
    oom_deinit(&o);
    oom_init(&o, NULL);
    ok(!oom_has_killed(&o), "the own cgroup, if it has a counter");
    oom_deinit(&o);
}

int main(void)
{
    close(mkstemp(path));
    test_counter();
    test_no_file();
    unlink(path);
    return tap_done();
}
