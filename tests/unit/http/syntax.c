/* SPDX-License-Identifier: MIT */
/* The scans that look at many octets at a time find what one at a time would: each octet at each place of runs of each
 * length, with octets around that must not matter. */
#include "http/syntax.h"

#include "tap.h"

#define SIZE_MAX_ 40
#define MARGIN 16

typedef size_t (*Scan)(const char *data, size_t from, size_t to);

static size_t naive_end(const char *data, size_t from, size_t to, unsigned classes)
{
    while (from < to && octet_classes[(uint8_t)data[from]] & classes)
        from++;
    return from;
}

/* Number of wrong answers. */
static unsigned check_scan(Scan scan, unsigned classes, char usual)
{
    char text[SIZE_MAX_ + 2 * MARGIN];
    unsigned n_wrong = 0;

    for (size_t size = 0; size <= SIZE_MAX_; size++)
        for (size_t at = MARGIN; at < MARGIN + size; at++)
            for (unsigned octet = 0; octet < 256; octet++) {
                memset(text, '\0', sizeof text);
                memset(text + MARGIN, usual, size);
                text[at] = (char)octet;
                n_wrong +=
                    scan(text, MARGIN, MARGIN + size) != naive_end(text, MARGIN, MARGIN + size, classes);
            }
    return n_wrong;
}

static size_t token_end(const char *data, size_t from, size_t to)
{
    return span_is_token((Span){data + from, to - from}) ? to : naive_end(data, from, to, OCTET_TOKEN);
}

static void test_token_is(void)
{
    static const char lower[] = "x-forwarded-protocol-2";
    char text[sizeof lower];

    for (size_t size = 1; size < sizeof lower; size++) {
        unsigned n_wrong = 0;

        for (size_t at = 0; at < size; at++)
            for (unsigned octet = '!'; octet <= '~'; octet++) {
                bool is_same = octet == (unsigned char)lower[at] ||
                               (octet >= 'A' && octet <= 'Z' && octet + 32 == (unsigned char)lower[at]);

                memcpy(text, lower, sizeof lower);
                text[at] = (char)octet;
                if (octet_is((char)octet, OCTET_TOKEN))
                    n_wrong += token_is((Span){text, size}, (Span){lower, size}) != is_same;
            }
        is_int(n_wrong, 0);
    }
    ok(!token_is(SPAN_LITERAL("te"), SPAN_LITERAL("ted")));
}

int main(void)
{
    is_int(check_scan(octets_value_end, OCTET_VALUE, 'v'), 0);
    is_int(check_scan(octets_token_end, OCTET_TOKEN, 'T'), 0);
    is_int(check_scan(octets_token_end, OCTET_TOKEN, '_'), 0);
    is_int(check_scan(token_end, OCTET_TOKEN, '-'), 0);
    ok(!span_is_token((Span){"", 0}));
    test_token_is();
    return tap_done();
}
