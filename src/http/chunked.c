/* SPDX-License-Identifier: MIT */
/* The chunked decoder: framing one octet at a time, body octets in runs. A verdict depends on the octets up
 * to the one that decides it alone, so that no way of splitting the input changes it. */
#include "http/chunked.h"

#include "base/cleanup.h"
#include "http/syntax.h"

/* 16 digits are all of uint64_t; more could only be leading zeros. */
#define SIZE_DIGITS_MAX 16
/* Extensions and trailers carry nothing for this server (CVE-2024-22019, CVE-2023-39326). */
#define OVERHEAD_MAX (16 * 1024)

typedef enum State {
    CHUNK_SIZE = 0,
    EXTENSION_BEFORE,     /* blanks (BWS) that a ';' must follow */
    EXTENSION_NAME_START, /* BWS or the name */
    EXTENSION_NAME,
    EXTENSION_AFTER_NAME,  /* BWS that '=' or ';' must follow */
    EXTENSION_VALUE_START, /* BWS or the value */
    EXTENSION_TOKEN,
    EXTENSION_QUOTED,
    EXTENSION_QUOTED_PAIR,
    EXTENSION_AFTER_QUOTED,
    CHUNK_SIZE_LF,
    CHUNK_DATA,
    CHUNK_DATA_CR,
    CHUNK_DATA_LF,
    TRAILER_START,
    TRAILER_NAME,
    TRAILER_VALUE,
    TRAILER_LF,
    BODY_LF,
    DONE,
} State;

static int refuse(ChunkedDecoder *d, int status, const char *reason)
{
    d->reason = reason;
    return status;
}

static int go(ChunkedDecoder *d, State state)
{
    d->state = (int)state;
    return 0;
}

static int hex_value(char c)
{
    if (octet_is_digit(c))
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* After the size: its digits are complete. */
static int after_size(ChunkedDecoder *d, char octet, const HttpLimits *limits)
{
    if (d->n_digits == 0)
        return refuse(d, 400, "malformed chunk size");
    if (d->remaining > limits->body - d->total)
        return refuse(d, 413, "body too large");
    switch (octet) {
    case '\r':
        return go(d, CHUNK_SIZE_LF);
    case ';':
        return go(d, EXTENSION_NAME_START);
    case ' ':
    case '\t':
        return go(d, EXTENSION_BEFORE);
    default:
        return refuse(d, 400, "malformed chunk size");
    }
}

static int on_size(ChunkedDecoder *d, char octet, const HttpLimits *limits)
{
    int value = hex_value(octet);

    if (value < 0)
        return after_size(d, octet, limits);
    if (++d->n_digits > SIZE_DIGITS_MAX)
        return refuse(d, 400, "chunk size too long");
    d->remaining = d->remaining << 4 | (unsigned)value;
    return 0;
}

/* RFC 9112 §7.1.1: *( BWS ";" BWS token [ BWS "=" BWS ( token / quoted-string ) ] ) CRLF, so that a blank
 * needs something behind it. */
static int on_extension(ChunkedDecoder *d, char octet)
{
    State state = (State)d->state;
    bool blank = octet_is_blank(octet), token = octet_is(octet, OCTET_TOKEN);
    bool whole = state == EXTENSION_NAME || state == EXTENSION_TOKEN || state == EXTENSION_AFTER_QUOTED;
    bool value = state == EXTENSION_TOKEN || state == EXTENSION_AFTER_QUOTED || state == EXTENSION_BEFORE;

    if (state == EXTENSION_QUOTED_PAIR && octet_is(octet, OCTET_VALUE))
        return go(d, EXTENSION_QUOTED);
    if (state == EXTENSION_QUOTED && octet_is(octet, OCTET_VALUE))
        return go(d, octet == '"' ? EXTENSION_AFTER_QUOTED : octet == '\\' ? EXTENSION_QUOTED_PAIR : state);
    if (state == EXTENSION_QUOTED_PAIR || state == EXTENSION_QUOTED)
        return refuse(d, 400, "malformed chunk extension");

    if (token && (state == EXTENSION_NAME_START || state == EXTENSION_NAME))
        return go(d, EXTENSION_NAME);
    if (token && (state == EXTENSION_VALUE_START || state == EXTENSION_TOKEN))
        return go(d, EXTENSION_TOKEN);
    if (octet == '"' && state == EXTENSION_VALUE_START)
        return go(d, EXTENSION_QUOTED);
    if (octet == '=' && (state == EXTENSION_NAME || state == EXTENSION_AFTER_NAME))
        return go(d, EXTENSION_VALUE_START);
    if (octet == ';' && state != EXTENSION_NAME_START && state != EXTENSION_VALUE_START)
        return go(d, EXTENSION_NAME_START);
    if (octet == '\r' && whole)
        return go(d, CHUNK_SIZE_LF);
    if (blank)
        return go(d, state == EXTENSION_NAME ? EXTENSION_AFTER_NAME : value ? EXTENSION_BEFORE : state);
    return refuse(d, 400, "malformed chunk extension");
}

static int on_trailer(ChunkedDecoder *d, char octet)
{
    switch ((State)d->state) {
    case TRAILER_START:
        if (octet == '\r')
            return go(d, BODY_LF);
        if (octet_is(octet, OCTET_TOKEN))
            return go(d, TRAILER_NAME);
        break;
    case TRAILER_NAME:
        if (octet_is(octet, OCTET_TOKEN))
            return 0;
        if (octet == ':')
            return go(d, TRAILER_VALUE);
        break;
    default:
        if (octet_is(octet, OCTET_VALUE))
            return 0;
        if (octet == '\r')
            return go(d, TRAILER_LF);
        break;
    }
    return refuse(d, 400, "malformed trailer");
}

static int expect(ChunkedDecoder *d, char octet, char expected, State next)
{
    return octet == expected ? go(d, next) : refuse(d, 400, "malformed end of line in a chunked body");
}

/* The size line is complete. */
static int on_size_lf(ChunkedDecoder *d, char octet)
{
    d->n_digits = 0;
    return expect(d, octet, '\n', d->remaining > 0 ? CHUNK_DATA : TRAILER_START);
}

/* One octet that is not of the body. */
static int on_octet(ChunkedDecoder *d, char octet, const HttpLimits *limits)
{
    State state = (State)d->state;
    bool trailer = state >= TRAILER_START && state <= TRAILER_LF;

    if (state > CHUNK_SIZE && state < CHUNK_SIZE_LF && ++d->n_overhead > OVERHEAD_MAX)
        return refuse(d, 400, "chunk extensions too large");
    if (trailer && ++d->n_overhead > OVERHEAD_MAX)
        return refuse(d, 431, "trailers too large");

    switch (state) {
    case CHUNK_SIZE:
        return on_size(d, octet, limits);
    case CHUNK_SIZE_LF:
        return on_size_lf(d, octet);
    case CHUNK_DATA_CR:
        return expect(d, octet, '\r', CHUNK_DATA_LF);
    case CHUNK_DATA_LF:
        return expect(d, octet, '\n', CHUNK_SIZE);
    case TRAILER_LF:
        return expect(d, octet, '\n', TRAILER_START);
    case BODY_LF:
        return expect(d, octet, '\n', DONE);
    default:
        return trailer ? on_trailer(d, octet) : on_extension(d, octet);
    }
}

static void take_body(ChunkedDecoder *d, const char *data, size_t size, Span *ret_body)
{
    size_t n = d->remaining < size ? (size_t)d->remaining : size;

    *ret_body = (Span){data, n};
    d->remaining -= n;
    d->total += n;
    if (d->remaining == 0)
        d->state = CHUNK_DATA_CR;
}

int chunked_decode(ChunkedDecoder *d, const char *data, size_t size, const HttpLimits *limits,
                   size_t *ret_consumed, Span *ret_body)
{
    size_t n = 0;
    int r = 0;

    *ret_body = (Span){data, 0};
    while (r == 0 && n < size && d->state != DONE && d->state != CHUNK_DATA)
        r = on_octet(d, data[n++], limits);
    if (r == 0 && d->state == CHUNK_DATA && n < size) {
        take_body(d, data + n, size - n, ret_body);
        n += ret_body->size;
    }
    *ret_consumed = n;
    if (r != 0)
        return r;
    return d->state == DONE ? 0 : HTTP_E_MORE;
}
