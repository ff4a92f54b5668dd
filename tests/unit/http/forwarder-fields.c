/* SPDX-License-Identifier: MIT */
#include "http/forwarder-fields.h"

#include "base/cleanup.h"
#include "tap.h"

#include <stdlib.h>

static char *const reserved[] = {(char *)"SCRIPT_NAME", (char *)"Remote_User", NULL};

/* Names that come in, and those that stay; status: where names with '_' are refused. */
static const struct {
    bool is_trusted;
    const char *names, *left;
    int status;
} cases[] = {
    {true, "Host SCRIPT_NAME X-Y", "Host SCRIPT_NAME X-Y", 0},
    {true, "script_name REMOTE_user REMOTE_USER", "script_name REMOTE_user REMOTE_USER", 0},
    {true, "Script-Name Remote-User Remote-Use Remote-Users", "Remote-Use Remote-Users", 0},
    {true, "Script-Name SCRIPT_NAME script-name", "SCRIPT_NAME", 0},
    {true, "", "", 0},
    {false, "Host SCRIPT_NAME X-Y", "Host X-Y", 400},
    {false, "remote_user remote-user a", "a", 400},
    {false, "Host Remote-User X-Y", "Host X-Y", 0},
    {false, "Host X-Y", "Host X-Y", 0},
};

static size_t split(const char *names, Field to[static 8])
{
    size_t n = 0;

    for (const char *s = names; *s; s += *s == ' ') {
        to[n++] = (Field){.name = {s, strcspn(s, " ")}, .value = {"v", 1}};
        s += strcspn(s, " ");
    }
    return n;
}

static void join(const Request *r, char to[static 128])
{
    to[0] = '\0';
    for (size_t i = 0; i < r->n_fields; i++)
        sprintf(to + strlen(to), "%s%.*s", i > 0 ? " " : "", (int)r->fields[i].name.size,
                r->fields[i].name.data);
}

int main(void)
{
    HttpLimits limits = {.forwarder_fields = reserved};
    char left[128];

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        Field fields[8];
        Request r = {.fields = fields, .n_fields = split(cases[i].names, fields)};
        size_t n = r.n_fields;

        limits.refuses_ambiguous_names = false;
        is_int(forwarder_fields_admit(&r, &limits, cases[i].is_trusted), 0);
        join(&r, left);
        is_string(left, cases[i].left);
        is_int(r.n_fields + r.n_dropped_fields, n);
        ok((r.n_dropped_fields > 0) == (r.dropped_field.size > 0));

        limits.refuses_ambiguous_names = true;
        r = (Request){.fields = fields, .n_fields = split(cases[i].names, fields)};
        is_int(forwarder_fields_admit(&r, &limits, cases[i].is_trusted), cases[i].status);
        ok(!r.reason == (cases[i].status == 0));
    }
    return tap_done();
}
