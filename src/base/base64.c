/* SPDX-License-Identifier: MIT */
/* Base64. */
#include "base/base64.h"

#include <string.h>

static int digit_value(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c ? strchr(digits, c) : NULL;

    return at ? (int)(at - digits) : -1;
}

size_t base64_decode(Span s, char *to, size_t size)
{
    unsigned bits = 0, n_bits = 0;
    size_t n = 0;

    for (size_t i = 0; i < s.size && n < size; i++) {
        int value = digit_value(s.data[i]);

        if (value < 0)
            break;
        bits = bits << 6 | (unsigned)value;
        n_bits += 6;
        if (n_bits < 8)
            continue;
        n_bits -= 8;
        to[n++] = (char)(bits >> n_bits);
    }
    return n;
}
