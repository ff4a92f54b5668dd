/* SPDX-License-Identifier: MIT */
/* IMF-fixdate without the locale of strftime(3). */
#include "http/date.h"

#include <assert.h>
#include <string.h>

static char *put_number(char *to, int number, int n_digits)
{
    for (int i = n_digits - 1; i >= 0; i--) {
        to[i] = (char)('0' + number % 10);
        number /= 10;
    }
    return to + n_digits;
}

static char *put_time(char *to, const struct tm *tm)
{
    to = put_number(to, tm->tm_hour, 2);
    *to++ = ':';
    to = put_number(to, tm->tm_min, 2);
    *to++ = ':';
    return put_number(to, tm->tm_sec, 2);
}

void date_format(time_t t, char to[static DATE_SIZE])
{
    static const char days[] = "SunMonTueWedThuFriSat";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    struct tm tm;

    assert(gmtime_r(&t, &tm) && tm.tm_year + 1900 <= 9999);
    to = mempcpy(to, days + 3 * tm.tm_wday, 3);
    to = mempcpy(to, ", ", 2);
    to = put_number(to, tm.tm_mday, 2);
    *to++ = ' ';
    to = mempcpy(to, months + 3 * tm.tm_mon, 3);
    *to++ = ' ';
    to = put_number(to, tm.tm_year + 1900, 4);
    *to++ = ' ';
    to = put_time(to, &tm);
    memcpy(to, " GMT", 4);
}
