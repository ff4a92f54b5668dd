/* SPDX-License-Identifier: MIT */
/* Target: a chunked body, as octets from a client. However it is cut into pieces, the verdict and the body
 * are the same, and they are those of a second decoder, which reads whole lines. */
#include "http/chunked.h"
#include "base/cleanup.h"
#include "fuzz.h"

#include <ctype.h>

/* Under the limit of extensions and trailers together, which the second decoder does not count. */
#define INPUT_MAX (16 * 1024)

/* --- the decoder in pieces --- */

typedef struct Decoded {
    int status;
    size_t consumed;
    char *body;
    size_t body_size;
    const char *reason;
} Decoded;

/* One piece, until nothing of it is left or the verdict is there. */
static void decode_piece(ChunkedDecoder *d, Decoded *to, Span piece, const HttpLimits *limits)
{
    _cleanup_free_ char *copy = fuzz_copy(piece.data, piece.size);

    for (size_t from = 0, n; from < piece.size && to->status == HTTP_E_MORE; from += n) {
        Span body;

        to->status = chunked_decode(d, copy + from, piece.size - from, limits, &n, &body);
        fuzz_check(n > 0 && n <= piece.size - from, "%zu of %zu", n, piece.size - from);
        fuzz_check(body.size == 0 || (body.data >= copy + from && body.data + body.size <= copy + from + n),
                   "a run outside of what was consumed");
        if (body.size > 0)
            memcpy(to->body + to->body_size, body.data, body.size);
        to->body_size += body.size;
        to->consumed += n;
    }
}

/* piece 0: pieces of a length that the input decides. */
static Decoded decode(Span input, size_t piece, const HttpLimits *limits)
{
    FuzzRandom random = fuzz_random_new(input.data, input.size);
    Decoded to = {.status = HTTP_E_MORE, .body = fuzz_copy(input.data, input.size)};
    ChunkedDecoder d = {0};

    while (to.consumed < input.size && to.status == HTTP_E_MORE) {
        size_t left = input.size - to.consumed;
        size_t n = piece > 0 ? piece : fuzz_random_next(&random, 9);

        decode_piece(&d, &to, (Span){input.data + to.consumed, MIN(n, left)}, limits);
    }
    fuzz_check(d.total == to.body_size && d.total <= limits->body, "%zu octets", to.body_size);
    to.reason = to.status >= 400 ? d.reason : "";
    return to;
}

/* --- the second decoder --- */

typedef enum Reading { COMPLETE, CUT, MALFORMED } Reading;

/* A line without its CRLF. */
static Reading take_line(Span *rest, Span *ret)
{
    const char *cr = rest->size > 0 ? memchr(rest->data, '\r', rest->size) : NULL;

    if (!cr || cr + 1 == rest->data + rest->size)
        return CUT;
    *ret = (Span){rest->data, (size_t)(cr - rest->data)};
    *rest = (Span){cr + 2, rest->size - ret->size - 2};
    return cr[1] == '\n' ? COMPLETE : MALFORMED;
}

static bool is_token_octet(char c)
{
    return isalnum((unsigned char)c) || (c && strchr("!#$%&'*+-.^_`|~", c));
}

static bool is_value_octet(char c)
{
    return !iscntrl((unsigned char)c) || c == '\t';
}

static size_t blanks(const char *s)
{
    return strspn(s, " \t");
}

static size_t token(const char *s)
{
    size_t n = 0;

    while (is_token_octet(s[n]))
        n++;
    return n;
}

/* Length of a quoted-string (RFC 9110 §5.6.4), or 0. */
static size_t quoted_string(const char *s)
{
    size_t n = 1;

    if (s[0] != '"')
        return 0;
    for (; s[n] != '"'; n++) {
        if (s[n] == '\\')
            n++;
        if (!is_value_octet(s[n]))
            return 0;
    }
    return n + 1;
}

/* RFC 9112 §7.1.1; s is a string without NUL. */
static bool is_extensions(const char *s)
{
    while (*s) {
        size_t n;

        s += blanks(s);
        if (*s++ != ';')
            return false;
        s += blanks(s);
        n = token(s);
        if (n == 0)
            return false;
        s += n;
        if (s[blanks(s)] != '=')
            continue;
        s += blanks(s) + 1;
        s += blanks(s);
        n = *s == '"' ? quoted_string(s) : token(s);
        if (n == 0)
            return false;
        s += n;
    }
    return true;
}

static bool read_size_line(Span line, uint64_t *ret)
{
    _cleanup_free_ char *text = strndup(line.data, line.size);
    size_t n;

    fuzz_check(text, "no memory");
    n = strspn(text, "0123456789abcdefABCDEF");
    if (n == 0 || n > 16 || strlen(text) != line.size || !is_extensions(text + n))
        return false;
    *ret = strtoull(text, NULL, 16);
    return true;
}

static Reading read_trailers(Span *rest)
{
    Span line;

    for (;;) {
        Reading r = take_line(rest, &line);
        const char *colon;

        if (r != COMPLETE || line.size == 0)
            return r;
        colon = memchr(line.data, ':', line.size);
        if (!colon || colon == line.data)
            return MALFORMED;
        for (const char *p = line.data; p < line.data + line.size; p++)
            if (p < colon ? !is_token_octet(*p) : !is_value_octet(*p))
                return MALFORMED;
    }
}

static Reading read_chunked(Span input, uint64_t limit, Decoded *to)
{
    Span rest = input, line;
    Reading r;

    for (;;) {
        uint64_t size;

        r = take_line(&rest, &line);
        if (r != COMPLETE)
            return r;
        if (!read_size_line(line, &size) || size > limit - to->body_size)
            return MALFORMED;
        if (size == 0)
            break;
        if (rest.size < size)
            return CUT;
        memcpy(to->body + to->body_size, rest.data, size);
        to->body_size += size;
        rest = (Span){rest.data + size, rest.size - size};
        r = take_line(&rest, &line);
        if (r != COMPLETE || line.size > 0)
            return r == CUT ? CUT : MALFORMED;
    }
    r = read_trailers(&rest);
    to->consumed = input.size - rest.size;
    return r;
}

/* --- */

static void check_same(const Decoded *a, const Decoded *b)
{
    fuzz_check(a->status == b->status, "%d, %d in pieces", a->status, b->status);
    fuzz_check(a->consumed == b->consumed, "%zu, %zu in pieces", a->consumed, b->consumed);
    fuzz_check(a->body_size == b->body_size && memcmp(a->body, b->body, a->body_size) == 0, "bodies differ");
    fuzz_check(a->reason && b->reason && strcmp(a->reason, b->reason) == 0, "\"%s\", \"%s\" in pieces",
               a->reason, b->reason);
}

static void run(Span input, const HttpLimits *limits)
{
    Decoded whole = decode(input, input.size, limits), octets = decode(input, 1, limits);
    Decoded pieces = decode(input, 0, limits), second = {.body = fuzz_copy(input.data, input.size)};
    Reading reading = read_chunked(input, limits->body, &second);

    check_same(&whole, &octets);
    check_same(&whole, &pieces);
    fuzz_check((whole.status == 0) == (reading == COMPLETE), "%d (%s), second decoder: %d", whole.status,
               whole.reason, (int)reading);
    if (reading == MALFORMED)
        fuzz_check(whole.status == 400 || whole.status == 413, "%d", whole.status);
    if (whole.status == 0)
        fuzz_check(whole.consumed == second.consumed && whole.body_size == second.body_size &&
                       memcmp(whole.body, second.body, second.body_size) == 0,
                   "%zu octets of %zu, second decoder: %zu of %zu", whole.body_size, whole.consumed,
                   second.body_size, second.consumed);
    free(whole.body);
    free(octets.body);
    free(pieces.body);
    free(second.body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const HttpLimits limits[] = {{.body = UINT64_MAX}, {.body = 20}};

    if (size > 0 && size <= INPUT_MAX)
        for (size_t i = 0; i < ELEMENTSOF(limits); i++)
            run((Span){(const char *)data, size}, &limits[i]);
    return 0;
}
