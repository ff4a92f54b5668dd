/* SPDX-License-Identifier: MIT */
/* Requests and what becomes of them, from tests/http/ *.http (README.md there tells how they are written); each is
 * fed whole, octet by octet, and split at each point, without a memory of lines and with that of all requests before;
 * then mutated at random, where all that can be said is that the splits and the memory make no difference, and
 * (compare, by the digest of what becomes of the mutants) that the version of llhttp makes none. What is about whole
 * servers alone (< ~ \w \e) is skipped. */
#include "base/cleanup.h"
#include "base/parse.h"
#include "feed.h"
#include "http/known-lines.h"
#include "tap.h"

#include <assert.h>
#include <glob.h>
#include <inttypes.h>
#include <llhttp.h>
#include <stdlib.h>

typedef struct Case {
    char title[256];
    char *input;
    size_t size;
    HttpLimits limits;
    bool has_own_limits;
    KnownLines *known; /* of all cases, or of this one where it has limits of its own */
    char *expected;    /* lines that begin with '=' or '!' */
} Case;

/* --- tables --- */

static void push(Case *c, char octet)
{
    char *input = realloc(c->input, c->size + 1);

    assert(input);
    c->input = input;
    c->input[c->size++] = octet;
}

static const char *push_escape(Case *c, const char *s);

static void push_text(Case *c, const char *s, const char *end)
{
    while (s < end) {
        if (*s == '\\')
            s = push_escape(c, s + 1);
        else
            push(c, *s++);
    }
}

/* s: after the backslash. Returns what follows. */
static const char *push_escape(Case *c, const char *s)
{
    static const char names[] = "rnt\\", octets[] = "\r\n\t\\";
    const char *name = strchr(names, *s), *end;
    char *text;
    unsigned long n;

    if (*s == 'w' || *s == 'e')
        return s + 1;
    if (*s == 'x') {
        char hex[3] = {s[1], s[2], '\0'};

        push(c, (char)strtoul(hex, NULL, 16));
        return s + 3;
    }
    if (*s == '{') {
        n = strtoul(s + 1, &text, 10);
        end = strchr(text, '}');
        assert(*text == ':' && end);
        while (n-- > 0)
            push_text(c, text + 1, end);
        return end + 1;
    }
    assert(name && *s);
    push(c, octets[name - names]);
    return s + 1;
}

static void set_limits(Case *c, char *words)
{
    HttpLimits *l = &c->limits;

    c->has_own_limits = true;
    for (char *word = strtok(words, " \n"); word; word = strtok(NULL, " \n")) {
        char *equals = strchr(word, '=');
        uint64_t n;

        if (strcmp(word, "ambiguous") == 0)
            continue;
        assert(equals && parse_uint64(equals + 1, &n) == 0);
        *equals = '\0';
        if (strcmp(word, "line") == 0)
            l->request_line = n;
        else if (strcmp(word, "field") == 0)
            l->field_size = n;
        else if (strcmp(word, "fields") == 0)
            l->fields = (unsigned)n;
        else if (strcmp(word, "head") == 0)
            l->head = n;
        else if (strcmp(word, "body") == 0)
            l->body = n;
        else
            assert(!"unknown limit");
    }
}

static void case_reset(Case *c)
{
    free(c->input);
    free(c->expected);
    *c = (Case){
        .limits = {
            .request_line = 8190, .field_size = 8190, .head = 65536, .fields = 100, .body = UINT64_MAX}};
}

static void add_expected(Case *c, const char *line)
{
    size_t old = c->expected ? strlen(c->expected) : 0;
    char *expected = realloc(c->expected, old + strlen(line) + 1);

    assert(expected);
    strcpy(expected + old, line);
    c->expected = expected;
}

/* Reads the next case; false at the end. */
static bool case_read(FILE *from, Case *c)
{
    _cleanup_free_ char *line = NULL;
    size_t capacity = 0;
    ssize_t n;

    case_reset(c);
    while ((n = getline(&line, &capacity, from)) > 0) {
        if (line[0] == '\n' && c->expected)
            return true;
        if (line[0] == '#')
            snprintf(c->title, sizeof(c->title), "%.*s", (int)strcspn(line + 2, "\n"), line + 2);
        else if (line[0] == '@')
            set_limits(c, line + 1);
        else if (line[0] == '=' || line[0] == '!')
            add_expected(c, line);
        else if (line[0] != '<' && line[0] != '~')
            push_text(c, line, line + strcspn(line, "\n"));
    }
    return c->expected;
}

/* --- checks --- */

static bool says(const char *text, const char *line, size_t size)
{
    for (; *text; text = strchrnul(text, '\n') + 1)
        if (strncmp(text, line, size) == 0 && text[size] == '\n')
            return true;
    return false;
}

static bool as_expected(const Case *c, const char *text)
{
    for (const char *line = c->expected; *line; line += strcspn(line, "\n") + 1)
        if (says(text, line + 2, strcspn(line + 2, "\n")) != (*line == '=')) {
            printf("# %.*s\n", (int)strcspn(line, "\n"), line);
            return false;
        }
    return true;
}

static bool same_with(KnownLines *known, const Case *c, Span input, const char *whole, const size_t *cuts,
                      size_t n_cuts)
{
    HttpLimits limits = c->limits;
    _cleanup_free_ char *text = (limits.known = known, feed(input, &limits, cuts, n_cuts));

    if (strcmp(text, whole) == 0)
        return true;
    printf("# with %s memory and %zu cuts, the first at %zu:\n%s# whole:\n%s", known ? "a" : "no", n_cuts,
           n_cuts > 0 ? cuts[0] : 0, text, whole);
    return false;
}

static bool same(const Case *c, Span input, const char *whole, const size_t *cuts, size_t n_cuts)
{
    return same_with(NULL, c, input, whole, cuts, n_cuts) &&
           same_with(c->known, c, input, whole, cuts, n_cuts);
}

/* The first time it learns lines, the second time it knows them. */
static bool memory_makes_no_difference(const Case *c, Span input, const char *whole)
{
    return same_with(c->known, c, input, whole, NULL, 0) && same_with(c->known, c, input, whole, NULL, 0);
}

/* The work is quadratic in the input. */
static size_t step_for(Span input)
{
    return input.size > 2048 ? 97 : 1;
}

static bool every_split_is_the_same(const Case *c, Span input, const char *whole)
{
    for (size_t cut = 1; cut < input.size; cut += step_for(input))
        if (!same(c, input, whole, &cut, 1))
            return false;
    return true;
}

static bool octet_by_octet_is_the_same(const Case *c, Span input, const char *whole)
{
    _cleanup_free_ size_t *cuts = calloc(input.size + 1, sizeof(*cuts));
    size_t n = 0;

    assert(cuts);
    for (size_t cut = 1; cut < input.size; cut += step_for(input))
        cuts[n++] = cut;
    return n == 0 || same(c, input, whole, cuts, n);
}

/* --- random inputs --- */

static uint64_t random_state = UINT64_C(0x9e3779b97f4a7c15); /* fixed: a failure can be repeated */

/* xorshift64* */
static size_t random_below(size_t n)
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return (size_t)((random_state * UINT64_C(2685821657736338717)) >> 33) % n;
}

/* Replaces, removes, repeats or inserts something, preferably something with a meaning. */
static void mutate(char *data, size_t *size)
{
    static const char octets[] = "\r\n\t :;,=\"\\#?*/%_0\0019aZ\x7f\x80";
    size_t at = random_below(*size), n = 1 + random_below(8);

    if (n > *size - at)
        n = *size - at;
    switch (random_below(4)) {
    case 0:
        data[at] = octets[random_below(sizeof(octets))];
        break;
    case 1:
        if (*size > n) {
            memmove(data + at, data + at + n, *size - at - n);
            *size -= n;
        }
        break;
    case 2:
        memmove(data + at + n, data + at, *size - at);
        *size += n;
        break;
    default:
        memmove(data + at + 1, data + at, *size - at);
        data[at] = octets[random_below(sizeof(octets))];
        *size += 1;
        break;
    }
}

/* FNV-1a */
static void digest_add(uint64_t *digest, const char *text)
{
    for (; *text; text++)
        *digest = (*digest ^ (uint8_t)*text) * UINT64_C(0x100000001b3);
}

static bool mutants_do_not_care_for_splits(const Case *c, uint64_t n_mutants, uint64_t *digest)
{
    if (c->size == 0 || c->size >= 2048)
        return true;
    for (uint64_t n = 0; n < n_mutants; n++) {
        size_t n_mutations = 1 + random_below(4), size = c->size, cuts[3];
        _cleanup_free_ char *data = malloc(size + 8 * n_mutations), *whole = NULL;
        Span input;

        assert(data);
        memcpy(data, c->input, size);
        for (size_t i = 0; i < n_mutations; i++)
            mutate(data, &size);
        input = (Span){data, size};
        cuts[0] = random_below(size + 1);
        cuts[1] = cuts[0] + random_below(size - cuts[0] + 1);
        cuts[2] = cuts[1] + random_below(size - cuts[1] + 1);
        whole = feed(input, &c->limits, NULL, 0);
        digest_add(digest, whole);
        if (!memory_makes_no_difference(c, input, whole) || !same(c, input, whole, cuts, 3) ||
            !octet_by_octet_is_the_same(c, input, whole))
            return false;
    }
    return true;
}

static void check(const Case *c, uint64_t n_mutants)
{
    uint64_t digest = UINT64_C(0xcbf29ce484222325);
    Span input = {c->input, c->size};
    _cleanup_free_ char *whole = feed(input, &c->limits, NULL, 0);
    bool good = as_expected(c, whole);

    if (!tap_report(good, "%s", c->title))
        printf("# got:\n%s", whole);
    tap_report(memory_makes_no_difference(c, input, whole), "%s: of known lines", c->title);
    tap_report(every_split_is_the_same(c, input, whole), "%s: split anywhere", c->title);
    tap_report(octet_by_octet_is_the_same(c, input, whole), "%s: octet by octet", c->title);
    good = mutants_do_not_care_for_splits(c, n_mutants, &digest);
    tap_report(good, "%s: mutants, %016" PRIx64, c->title, digest);
}

static void check_table(const char *path, KnownLines *known, uint64_t n_mutants)
{
    FILE *from = fopen(path, "re");
    Case c = {0};

    if (!from) {
        tap_report(false, "open %s", path);
        return;
    }
    printf("# %s\n", path);
    while (case_read(from, &c)) {
        KnownLines own = {0};

        c.known = c.has_own_limits ? &own : known;
        check(&c, n_mutants);
    }
    case_reset(&c);
    fclose(from);
}

/* One argument: how many mutants of each case. */
int main(int argc, char **argv)
{
    uint64_t n_mutants = 20;
    KnownLines known = {0};
    glob_t paths;
    int r = glob(TESTS_SRCDIR "/http/*.http", 0, NULL, &paths);

    assert(argc < 2 || parse_uint64(argv[1], &n_mutants) == 0);
    printf("# llhttp %d.%d.%d\n", LLHTTP_VERSION_MAJOR, LLHTTP_VERSION_MINOR, LLHTTP_VERSION_PATCH);
    if (ok(r == 0, "tables are found")) {
        for (size_t i = 0; i < paths.gl_pathc; i++)
            check_table(paths.gl_pathv[i], &known, n_mutants);
        globfree(&paths);
    }
    return tap_done();
}
