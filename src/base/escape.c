/* SPDX-License-Identifier: MIT */
/* Bytes from a client made fit for a log line: what a terminal or a parser of logs could take for something
 * else is written in hexadecimal. */
#include "base/escape.h"

#include <assert.h>

/* Writes one octet escaped, without NUL; returns how many characters. */
static size_t escape_octet(char to[static 4], unsigned char c)
{
    static const char digits[] = "0123456789abcdef";

    if (c >= 0x20 && c <= 0x7e && c != '"' && c != '\\') {
        to[0] = (char)c;
        return 1;
    }
    to[0] = '\\';
    if (c == '"' || c == '\\') {
        to[1] = (char)c;
        return 2;
    }
    to[1] = 'x';
    to[2] = digits[c >> 4];
    to[3] = digits[c & 15];
    return 4;
}

size_t escape_bytes(char *to, size_t size, Span s)
{
    size_t n = 0, cut = 0; /* cut: where "..." and NUL still fit */

    assert(size >= 4);
    for (size_t i = 0; i < s.size; i++) {
        char octet[4];
        size_t k = escape_octet(octet, (unsigned char)s.data[i]);

        if (n + k >= size) {
            memcpy(to + cut, "...", 4);
            return cut + 3;
        }
        memcpy(to + n, octet, k);
        n += k;
        if (n + 4 <= size)
            cut = n;
    }
    to[n] = '\0';
    return n;
}
