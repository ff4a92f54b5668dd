/* SPDX-License-Identifier: MIT */
#include "http/date.h"

#include "tap.h"

static void check(time_t t, const char *expected)
{
    char date[DATE_SIZE + 1] = {0};

    date_format(t, date);
    is_string(date, expected);
}

int main(void)
{
    check(784111777, "Sun, 06 Nov 1994 08:49:37 GMT"); /* the example of RFC 9110 §5.6.7 */
    check(0, "Thu, 01 Jan 1970 00:00:00 GMT");
    check(951782400, "Tue, 29 Feb 2000 00:00:00 GMT");
    check(2147483648, "Tue, 19 Jan 2038 03:14:08 GMT");
    check(253402300799, "Fri, 31 Dec 9999 23:59:59 GMT");
    return tap_done();
}
