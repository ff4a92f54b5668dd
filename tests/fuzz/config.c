/* SPDX-License-Identifier: MIT */
/* Target: a site's INI file; behind a NUL, overrides of the command line, each ended by one. What is accepted
 * is formatted and read back as the same; what is refused has errors that each say where. */
#include "config/config.h"
#include "base/cleanup.h"
#include "config/value.h"
#include "fuzz.h"

#include <ctype.h>

#define FILENAME "site.ini"
#define OVERRIDES_MAX 8

/* A line of the errors: "site.ini:LINE: …", "site.ini: …" or "--set section.key: …". */
static void check_error(Span line, size_t n_lines)
{
    static const Span override = SPAN_LITERAL("--set "), file = SPAN_LITERAL(FILENAME ":");
    const char *after;
    char *end;
    unsigned long number;

    for (size_t i = 0; i < line.size; i++)
        fuzz_check(!iscntrl((unsigned char)line.data[i]), "a control octet in \"%.*s\"", (int)line.size,
                   line.data);
    if (line.size > override.size && memcmp(line.data, override.data, override.size) == 0)
        return;
    fuzz_check(line.size > file.size && memcmp(line.data, file.data, file.size) == 0, "\"%.*s\"",
               (int)line.size, line.data);
    after = line.data + file.size;
    if (*after == ' ')
        return;
    number = strtoul(after, &end, 10);
    fuzz_check(isdigit((unsigned char)*after) && end[0] == ':' && end[1] == ' ', "\"%.*s\"", (int)line.size,
               line.data);
    fuzz_check(number > 0 && number <= n_lines, "line %lu of %zu", number, n_lines);
}

static void check_errors(const char *errors, Span file)
{
    Span rest = span_of(errors), line;
    size_t n_lines = 1;

    for (size_t i = 0; i < file.size; i++)
        n_lines += file.data[i] == '\n';
    while (fuzz_take(&rest, '\n', &line))
        check_error(line, n_lines);
}

static void check_round_trip(const Config *c, bool all)
{
    _cleanup_free_ char *text = NULL, *again = NULL, *error = NULL;
    _cleanup_(config_freep) Config *copy = NULL;
    int r;

    fuzz_check(config_format(c, all, &text) == 0, "no memory");
    r = config_parse(text, strlen(text), FILENAME, NULL, &copy, &error);
    fuzz_check(r == 0, "%s\nin\n%s", error ? error : "", text);
    fuzz_check(config_format(copy, all, &again) == 0, "no memory");
    fuzz_check(strcmp(text, again) == 0, "%s\nand then\n%s", text, again);
    for (size_t i = 0; i < config_n_options; i++)
        fuzz_check(value_equal(c, copy, &config_options[i]), "%s in\n%s", config_options[i].key, text);
}

static void run(Span file, char *const *overrides)
{
    _cleanup_free_ char *copy = fuzz_copy(file.data, file.size), *error = NULL;
    _cleanup_(config_freep) Config *c = NULL;
    int r = config_parse(copy, file.size, FILENAME, overrides, &c, &error);

    fuzz_check(r == 0 || r == CONFIG_E_INVALID, "%d", r);
    if (r != 0) {
        fuzz_check(error && *error, "no error");
        check_errors(error, file);
        return;
    }
    check_round_trip(c, false);
    check_round_trip(c, true);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Span rest = {(const char *)data, size}, file = {NULL, 0}, override;
    char *overrides[OVERRIDES_MAX + 1] = {NULL};

    if (size == 0)
        return 0;
    fuzz_take(&rest, '\0', &file);
    for (size_t n = 0; n < OVERRIDES_MAX && fuzz_take(&rest, '\0', &override);)
        if (override.size > 0)
            overrides[n++] = strndup(override.data, override.size);
    run(file, overrides);
    for (size_t i = 0; overrides[i]; i++)
        free(overrides[i]);
    return 0;
}
