/* SPDX-License-Identifier: MIT */
/* Just enough of the Test Anything Protocol for the unit tests: ok() for each fact, tap_done() as main's
 * result. */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static int tap_n_tests, tap_n_failed;

__attribute__((__format__(__printf__, 3, 4))) static inline bool tap_check(bool good, const char *what,
                                                                           const char *format, ...)
{
    va_list ap;

    tap_n_tests++;
    tap_n_failed += !good;
    printf("%sok %d - %s ", good ? "" : "not ", tap_n_tests, what);
    va_start(ap, format);
    vprintf(format, ap);
    va_end(ap);
    putchar('\n');
    return good;
}

/* tap_report(condition, "format", …), where the condition says nothing to a reader. */
#define tap_report(condition, ...) tap_check((condition), "", __VA_ARGS__)

/* ok(condition) or ok(condition, "format", …) */
#define ok(condition, ...) tap_check((condition), #condition, " " __VA_ARGS__)

#define is_int(got, expected)                                                                    \
    ({                                                                                           \
        long long got_ = (long long)(got), expected_ = (long long)(expected);                    \
        bool good_ = tap_check(got_ == expected_, #got, "is %s (line %d)", #expected, __LINE__); \
        if (!good_)                                                                              \
            printf("# got %lld, expected %lld\n", got_, expected_);                              \
        good_;                                                                                   \
    })

#define is_string(got, expected)                                                                           \
    ({                                                                                                     \
        const char *got_ = (got), *expected_ = (expected);                                                 \
        bool good_ = tap_check(got_ && expected_ ? strcmp(got_, expected_) == 0 : got_ == expected_, #got, \
                               "(line %d)", __LINE__);                                                     \
        if (!good_)                                                                                        \
            printf("# got      '%s'\n# expected '%s'\n", got_ ? got_ : "(null)",                           \
                   expected_ ? expected_ : "(null)");                                                      \
        good_;                                                                                             \
    })

static inline int tap_done(void)
{
    printf("1..%d\n", tap_n_tests);
    return tap_n_failed != 0;
}
