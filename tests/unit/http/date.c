/* SPDX-License-Identifier: MIT */
#include "http/date.h"

#include "tap.h"

static void check(time_t t, const char *expected)
{
    char date[DATE_SIZE + 1] = {0};

    date_format(t, date);
    is_string(date, expected);
}

static void reads(const char *text, time_t expected)
{
    time_t t = -1;
    bool good = date_parse(span_of(text), 784111777, &t);

    tap_report(good && t == expected, "\"%s\" is %lld", text, (long long)expected);
}

static void refuses(const char *text)
{
    time_t t;

    tap_report(!date_parse(span_of(text), 784111777, &t), "\"%s\" is none", text);
}

static void check_reading(void)
{
    reads("Sun, 06 Nov 1994 08:49:37 GMT", 784111777);
    reads("Sunday, 06-Nov-94 08:49:37 GMT", 784111777);
    reads("Sun Nov  6 08:49:37 1994", 784111777);
    reads("Thu Feb 29 00:00:00 1996", 825552000);
    reads("Tue, 29 Feb 2000 00:00:00 GMT", 951782400);
    reads("Fri, 31 Dec 9999 23:59:59 GMT", 253402300799);
    reads("Sat, 31 Dec 2016 23:59:60 GMT", 1483228799);
    reads("Wednesday, 31-Dec-69 23:59:59 GMT", -1); /* 75 years ahead would be too many */
    reads("Friday, 01-Jan-44 00:00:00 GMT", 2335219200);
    reads("Monday, 01-Jan-45 00:00:00 GMT", -788918400);
    reads("Sun Nov 06 08:49:37 1994", 784111777);
    refuses("");
    refuses("0");
    refuses("Sun, 06 Nov 1994 08:49:37");
    refuses("Sun, 06 Nov 1994 08:49:37 UTC");
    refuses("Sun, 06 Nov 1994 08:49:37 GMT ");
    refuses("sun, 06 nov 1994 08:49:37 gmt"); /* case-sensitive */
    refuses("Mon, 06 Nov 1994 08:49:37 GMT"); /* it was a Sunday */
    refuses("Sun, 6 Nov 1994 08:49:37 GMT");
    refuses("Sun, 06 Nov 94 08:49:37 GMT");
    refuses("Sun, 06  Nov 1994 08:49:37 GMT");
    refuses("Wed, 31 Nov 1994 08:49:37 GMT");
    refuses("Thu, 00 Dec 1994 08:49:37 GMT");
    refuses("Sun, 06 Nov 1994 24:00:00 GMT");
    refuses("Sun, 06 Nov 1994 08:60:00 GMT");
    refuses("Sun, 06 Nov 1994 08:49:61 GMT");
    refuses("Sun, 06 Nov 1994 08:49:-1 GMT");
    refuses("Sun, 06-Nov-94 08:49:37 GMT");
    refuses("Sunday, 06-Nov-1994 08:49:37 GMT");
    refuses("Sun Nov 06 08:49:37 94");
    refuses("Sun Nov 6 08:49:37 1994");
}

int main(void)
{
    check_reading();
    check(784111777, "Sun, 06 Nov 1994 08:49:37 GMT"); /* the example of RFC 9110 §5.6.7 */
    check(0, "Thu, 01 Jan 1970 00:00:00 GMT");
    check(951782400, "Tue, 29 Feb 2000 00:00:00 GMT");
    check(2147483648, "Tue, 19 Jan 2038 03:14:08 GMT");
    check(253402300799, "Fri, 31 Dec 9999 23:59:59 GMT");
    return tap_done();
}
