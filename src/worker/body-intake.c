/* SPDX-License-Identifier: MIT */
/* From the octets behind a head to those of its body. */
#include "worker/body-intake.h"

int body_take(Exchange *x, const HttpLimits *limits, size_t max, Span *ret)
{
    Span unread = body_unread(x);
    size_t size = MIN(max, unread.size), consumed;
    int r;

    if (x->request.chunked) {
        r = chunked_decode(&x->chunked, unread.data, size, limits, &consumed, ret);
    } else {
        uint64_t missing = body_missing(x);

        consumed = (size_t)MIN(missing, (uint64_t)size);
        *ret = (Span){unread.data, consumed};
        r = consumed == missing ? 0 : HTTP_E_MORE;
    }
    x->body_used += consumed;
    x->body_received += ret->size;
    return r;
}

void body_drop_taken(Exchange *x)
{
    Span unread = body_unread(x);

    if (x->body_used == 0)
        return;
    memmove(buffer_head(&x->in) + x->head_size, unread.data, unread.size);
    x->in.end -= x->body_used;
    x->body_used = 0;
}

/* Decodes ahead on a copy of the decoder. */
static bool chunks_are_here(const Exchange *x, const HttpLimits *limits)
{
    ChunkedDecoder d = x->chunked;
    Span unread = body_unread(x), piece;
    size_t consumed;
    int r;

    do {
        r = chunked_decode(&d, unread.data, unread.size, limits, &consumed, &piece);
        unread = (Span){unread.data + consumed, unread.size - consumed};
    } while (r == HTTP_E_MORE && unread.size > 0);
    return r == 0;
}

bool body_is_here(const Exchange *x, const HttpLimits *limits)
{
    if (!x->request.chunked)
        return body_unread(x).size >= body_missing(x);
    return !x->chunked.reason && chunks_are_here(x, limits);
}

bool body_skip(Exchange *x, const HttpLimits *limits)
{
    Span piece;

    if (!body_is_here(x, limits))
        return false;
    while (body_take(x, limits, SIZE_MAX, &piece) == HTTP_E_MORE)
        ;
    body_drop_taken(x);
    return true;
}

bool body_is_too_slow(const Exchange *x, const Config *config, usec_t elapsed)
{
    usec_t grace = config->timeouts_body;

    return elapsed > grace &&
           x->body_received < config->limits_body_rate * ((elapsed - grace) / USEC_PER_MSEC) / 1000;
}

int body_continue(Exchange *x)
{
    if (!x->request.expect_continue || body_unread(x).size > 0 || x->body_received > 0)
        return 0;
    x->request.expect_continue = false;
    return buffer_append_string(output_memory(&x->output), "HTTP/1.1 100 Continue\r\n\r\n");
}
