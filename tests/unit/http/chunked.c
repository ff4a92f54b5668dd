/* SPDX-License-Identifier: MIT */
/* How the decoder hands out a body; what it accepts is in tables/. */
#include "http/chunked.h"

#include "tap.h"

static const HttpLimits limits = {
    .request_line = 8190, .field_size = 8190, .head = 65536, .fields = 100, .body = 1000};

static void check_runs(void)
{
    const char *data = "3\r\nabc\r\n2;x\r\nde\r\n0\r\nT: u\r\n\r\nGET";
    ChunkedDecoder d = {0};
    size_t used;
    Span body;

    is_int(chunked_decode(&d, data, strlen(data), &limits, &used, &body), HTTP_E_MORE);
    is_int(used, 6);
    ok(body.data == data + 3 && body.size == 3, "the run lies within the data");
    data += used;
    is_int(chunked_decode(&d, data, strlen(data), &limits, &used, &body), HTTP_E_MORE);
    ok(span_equal(body, SPAN_LITERAL("de")));
    data += used;
    is_int(chunked_decode(&d, data, strlen(data), &limits, &used, &body), 0);
    is_int(body.size, 0);
    is_string(data + used, "GET");
    is_int(d.total, 5);
    is_int(chunked_decode(&d, data + used, 3, &limits, &used, &body), 0);
    is_int(used, 0);
}

static void check_cut_run(void)
{
    ChunkedDecoder d = {0};
    size_t used;
    Span body;

    is_int(chunked_decode(&d, "ffff", 4, &limits, &used, &body), HTTP_E_MORE);
    is_int(used, 4);
    is_int(chunked_decode(&d, "\r", 1, &limits, &used, &body), 413);
    ok(d.reason && *d.reason, "a reason is given");

    d = (ChunkedDecoder){0};
    is_int(chunked_decode(&d, "5\r\nab", 5, &limits, &used, &body), HTTP_E_MORE);
    ok(used == 5 && span_equal(body, SPAN_LITERAL("ab")));
    is_int(chunked_decode(&d, "", 0, &limits, &used, &body), HTTP_E_MORE);
    ok(used == 0 && body.size == 0, "nothing in, nothing out");
    is_int(chunked_decode(&d, "cde\r", 4, &limits, &used, &body), HTTP_E_MORE);
    ok(used == 3 && span_equal(body, SPAN_LITERAL("cde")));
    is_int(chunked_decode(&d, "\rX", 2, &limits, &used, &body), 400);
}

int main(void)
{
    check_runs();
    check_cut_run();
    return tap_done();
}
