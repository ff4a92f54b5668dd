/* SPDX-License-Identifier: MIT */
/* The examples of RFC 4648 §10, and what ends early. */
#include "base/base64.h"

#include "tap.h"

#include <string.h>

static void test_decode(void)
{
    static const struct {
        const char *text, *octets;
        size_t size;
    } cases[] = {
        {"", "", 10},
        {"Zg==", "f", 10},
        {"Zm8=", "fo", 10},
        {"Zm9v", "foo", 10},
        {"Zm9vYg==", "foob", 10},
        {"Zm9vYmE=", "fooba", 10},
        {"Zm9vYmFy", "foobar", 10},
        {"Zm9vYmFy", "foob", 4},
        {"Zm9v!YmFy", "foo", 10},
        {"Z", "", 10},
        {"+/+/", "\xfb\xff\xbf", 10},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char to[16];
        size_t n = base64_decode((Span){cases[i].text, strlen(cases[i].text)}, to, cases[i].size);

        ok(n == strlen(cases[i].octets) && memcmp(to, cases[i].octets, n) == 0, "%s", cases[i].text);
    }
}

int main(void)
{
    test_decode();
    return tap_done();
}
