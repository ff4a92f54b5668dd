/* SPDX-License-Identifier: MIT */
/* Unit tests of base/parse. */
#include "base/parse.h"

#include "base/cleanup.h"
#include "tap.h"

#include <errno.h>
#include <stdlib.h>

#define UNTOUCHED UINT64_C(0xfeedface)

typedef int (*ParseFunction)(const char *s, uint64_t *ret);

typedef struct Case {
    const char *text;
    int result;
    uint64_t value;
} Case;

static void check(const char *name, ParseFunction parse, const Case *cases, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t value = UNTOUCHED;
        int r = parse(cases[i].text, &value);

        tap_report(r == cases[i].result && value == (r == 0 ? cases[i].value : UNTOUCHED),
                   "%s(\"%s\") is %d, %llu", name, cases[i].text, r, (unsigned long long)value);
    }
}

static const Case malformed_cases[] = {
    {"99999999999999999999999999x", -EINVAL, 0},
    {"", -EINVAL, 0},
    {"+1", -EINVAL, 0},
    {"-1", -EINVAL, 0},
    {" 1", -EINVAL, 0},
    {"1 ", -EINVAL, 0},
    {"\t1", -EINVAL, 0},
    {"1\n", -EINVAL, 0},
    {"0x10", -EINVAL, 0},
    {"8/", -EINVAL, 0},
    {"8:", -EINVAL, 0},
    {"1_000", -EINVAL, 0},
    {"1.0", -EINVAL, 0},
    {"1e3", -EINVAL, 0},
    {"\xd9\xa1", -EINVAL, 0}, /* ARABIC-INDIC DIGIT ONE */
};

static const Case uint64_cases[] = {
    {"0", 0, 0},
    {"00", 0, 0},
    {"0123", 0, 123},
    {"18446744073709551615", 0, UINT64_MAX},
    {"18446744073709551616", -ERANGE, 0},
    {"18446744073709551620", -ERANGE, 0},
    {"99999999999999999999999999", -ERANGE, 0},
};

static const Case port_cases[] = {
    {"0", 0, 0},
    {"8000", 0, 8000},
    {"00000000080", 0, 80},
    {"65535", 0, 65535},
    {"65536", -ERANGE, 0},
    {"4294967297", -ERANGE, 0},
    {"99999999999999999999999999", -ERANGE, 0},
};

/* As the others; a port has fewer bits than UNTOUCHED. */
static int parse_port_text(const char *s, uint64_t *ret)
{
    uint16_t port = (uint16_t)UNTOUCHED;
    int r = parse_port(span_of(s), &port);

    if (r == 0 || port != (uint16_t)UNTOUCHED)
        *ret = port;
    return r;
}

static const Case size_cases[] = {
    {"0", 0, 0},
    {"8190", 0, 8190},
    {"64K", 0, 65536},
    {"1M", 0, 1048576},
    {"3G", 0, UINT64_C(3) << 30},
    {"2T", 0, UINT64_C(2) << 40},
    {"0T", 0, 0},
    {"16777215T", 0, UINT64_C(16777215) << 40},
    {"16777216T", -ERANGE, 0},
    {"18446744073709551615", 0, UINT64_MAX},
    {"18446744073709551616", -ERANGE, 0},
    {"18446744073709551616K", -ERANGE, 0},
    {"18446744073709551615K", -ERANGE, 0},
    {"18446744073709551616X", -EINVAL, 0},
    {"", -EINVAL, 0},
    {"K", -EINVAL, 0},
    {"1k", -EINVAL, 0},
    {"1KB", -EINVAL, 0},
    {"1KiB", -EINVAL, 0},
    {"1 K", -EINVAL, 0},
    {"1K ", -EINVAL, 0},
    {"1K1", -EINVAL, 0},
    {"+1K", -EINVAL, 0},
    {"-1K", -EINVAL, 0},
    {"1.5M", -EINVAL, 0},
    {"1P", -EINVAL, 0},
};

static const Case duration_cases[] = {
    {"0", 0, 0},
    {"30", 0, 30000000},
    {"30s", 0, 30000000},
    {"500ms", 0, 500000},
    {"7us", 0, 7},
    {"5min", 0, 300000000},
    {"5 min", 0, 300000000},
    {"1h 30min", 0, UINT64_C(5400000000)},
    {"1h30min", 0, UINT64_C(5400000000)},
    {"1 h  30 min", 0, UINT64_C(5400000000)},
    {"1s 1s", 0, 2000000},
    {"2d", 0, UINT64_C(172800000000)},
    {"18446744073709551615us", 0, UINT64_MAX},
    {"18446744073709551615us 0s", 0, UINT64_MAX},
    {"18446744073709551615us 1us", -ERANGE, 0},
    {"18446744073709551616us", -ERANGE, 0},
    {"18446744073710", -ERANGE, 0},
    {"18446744073709551615", -ERANGE, 0},
    {"99999999999999999999d", -ERANGE, 0},
    {"99999999999999999999d x", -EINVAL, 0},
    {"", -EINVAL, 0},
    {" ", -EINVAL, 0},
    {" 30", -EINVAL, 0},
    {"30 ", -EINVAL, 0},
    {"30s ", -EINVAL, 0},
    {" 30s", -EINVAL, 0},
    {"1h 30", -EINVAL, 0},
    {"30 1h", -EINVAL, 0},
    {"min", -EINVAL, 0},
    {"+5s", -EINVAL, 0},
    {"-5s", -EINVAL, 0},
    {"1.5s", -EINVAL, 0},
    {"5m", -EINVAL, 0},
    {"5S", -EINVAL, 0},
    {"5minutes", -EINVAL, 0},
    {"5\tmin", -EINVAL, 0},
    {"infinity", -EINVAL, 0},
};

static void test_bool(void)
{
    static const char *const yes[] = {"yes", "true", "on", "1", "Yes", "TRUE"};
    static const char *const no[] = {"no", "false", "off", "0", "No", "FALSE"};
    static const char *const bad[] = {"", "y", "n", "t", "2", "01", " yes", "yes ", "yesno", "none"};
    bool b;

    for (size_t i = 0; i < ELEMENTSOF(yes); i++) {
        b = false;
        ok(parse_bool(yes[i], &b) == 0 && b, "\"%s\"", yes[i]);
    }
    for (size_t i = 0; i < ELEMENTSOF(no); i++) {
        b = true;
        ok(parse_bool(no[i], &b) == 0 && !b, "\"%s\"", no[i]);
    }
    for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
        b = true;
        ok(parse_bool(bad[i], &b) == -EINVAL && b, "\"%s\"", bad[i]);
    }
}

static void test_format(void)
{
    char text[FORMAT_VALUE_MAX];

    is_string(format_size(text, 0), "0");
    is_string(format_size(text, 8190), "8190");
    is_string(format_size(text, 65536), "64K");
    is_string(format_size(text, UINT64_C(1) << 40), "1T");
    is_string(format_size(text, UINT64_MAX), "18446744073709551615");
    is_string(format_duration(text, 0), "0");
    is_string(format_duration(text, 30 * USEC_PER_SEC), "30s");
    is_string(format_duration(text, 75 * USEC_PER_SEC), "75s");
    is_string(format_duration(text, 5400 * USEC_PER_SEC), "90min");
    is_string(format_duration(text, 86400 * USEC_PER_SEC), "1d");
    is_string(format_duration(text, 1500 * USEC_PER_MSEC), "1500ms");
    is_string(format_duration(text, UINT64_MAX), "18446744073709551615us");
}

/* Whatever is formatted is read back as the same value. */
static void test_round_trip(void)
{
    unsigned seed = 1;
    bool sizes = true, durations = true;

    for (int i = 0; i < 100000; i++) {
        uint64_t value =
                     (uint64_t)rand_r(&seed) << 33 ^ (uint64_t)rand_r(&seed) << 11 ^ (uint64_t)rand_r(&seed),
                 back;
        char text[FORMAT_VALUE_MAX];

        value >>= rand_r(&seed) % 64;
        value <<= rand_r(&seed) % 64;
        sizes &= parse_size(format_size(text, value), &back) == 0 && back == value;
        durations &= parse_duration(format_duration(text, value), &back) == 0 && back == value;
        value = (uint64_t)rand_r(&seed) * USEC_PER_SEC;
        durations &= parse_duration(format_duration(text, value), &back) == 0 && back == value;
    }
    ok(sizes);
    ok(durations);
}

int main(void)
{
    check("parse_uint64", parse_uint64, uint64_cases, ELEMENTSOF(uint64_cases));
    check("parse_uint64", parse_uint64, malformed_cases, ELEMENTSOF(malformed_cases));
    check("parse_port", parse_port_text, malformed_cases, ELEMENTSOF(malformed_cases));
    check("parse_port", parse_port_text, port_cases, ELEMENTSOF(port_cases));
    check("parse_size", parse_size, size_cases, ELEMENTSOF(size_cases));
    check("parse_duration", parse_duration, duration_cases, ELEMENTSOF(duration_cases));
    test_bool();
    test_format();
    test_round_trip();
    return tap_done();
}
