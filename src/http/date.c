/* SPDX-License-Identifier: MIT */
/* HTTP-date without the locale of strftime(3) and strptime(3). */
#include "http/date.h"

#include "base/cleanup.h"
#include "http/syntax.h"

#include <assert.h>

static const char *const day_names[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                        "Thursday", "Friday", "Saturday"};
static const char month_names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

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
    struct tm tm;

    assert(gmtime_r(&t, &tm) && tm.tm_year + 1900 <= 9999);
    to = mempcpy(to, day_names[tm.tm_wday], 3);
    to = mempcpy(to, ", ", 2);
    to = put_number(to, tm.tm_mday, 2);
    *to++ = ' ';
    to = mempcpy(to, month_names + 3 * tm.tm_mon, 3);
    *to++ = ' ';
    to = put_number(to, tm.tm_year + 1900, 4);
    *to++ = ' ';
    to = put_time(to, &tm);
    memcpy(to, " GMT", 4);
}

/* --- reading --- */

static bool take_text(Span *s, Span text)
{
    if (s->size < text.size || memcmp(s->data, text.data, text.size) != 0)
        return false;
    *s = (Span){s->data + text.size, s->size - text.size};
    return true;
}

static bool take_number(Span *s, size_t n_digits, int *ret)
{
    *ret = 0;
    if (s->size < n_digits)
        return false;
    for (size_t i = 0; i < n_digits; i++) {
        if (!octet_is_digit(s->data[i]))
            return false;
        *ret = *ret * 10 + (s->data[i] - '0');
    }
    *s = (Span){s->data + n_digits, s->size - n_digits};
    return true;
}

static bool take_day_name(Span *s, bool whole, int *ret)
{
    for (*ret = 0; *ret < 7; ++*ret)
        if (take_text(s, (Span){day_names[*ret], whole ? strlen(day_names[*ret]) : 3}))
            return true;
    return false;
}

static bool take_month(Span *s, int *ret)
{
    for (*ret = 0; *ret < 12; ++*ret)
        if (take_text(s, (Span){month_names + 3 * *ret, 3}))
            return true;
    return false;
}

/* Of the last hundred years, but for those of the next fifty. */
static int whole_year(int two_digits, time_t now)
{
    struct tm tm;
    int limit;

    assert(gmtime_r(&now, &tm));
    limit = tm.tm_year + 50;
    return limit - ((limit - two_digits) % 100 + 100) % 100;
}

/* What an item of a form stands for; all others stand for themselves. */
static bool take_item(Span *s, char item, time_t now, struct tm *tm)
{
    bool good;

    switch (item) {
    case 'w':
        return take_day_name(s, false, &tm->tm_wday);
    case 'W':
        return take_day_name(s, true, &tm->tm_wday);
    case 'd':
        return take_number(s, 2, &tm->tm_mday);
    case 'D': /* asctime() pads it with a blank */
        return take_text(s, SPAN_LITERAL(" ")) ? take_number(s, 1, &tm->tm_mday)
                                               : take_number(s, 2, &tm->tm_mday);
    case 'm':
        return take_month(s, &tm->tm_mon);
    case 'y':
        good = take_number(s, 2, &tm->tm_year);
        tm->tm_year = whole_year(tm->tm_year, now);
        return good;
    case 'Y':
        good = take_number(s, 4, &tm->tm_year);
        tm->tm_year -= 1900;
        return good;
    case 'h':
        return take_number(s, 2, &tm->tm_hour) && tm->tm_hour < 24;
    case 'i':
        return take_number(s, 2, &tm->tm_min) && tm->tm_min < 60;
    case 's':
        return take_number(s, 2, &tm->tm_sec) && tm->tm_sec <= 60;
    default:
        return take_text(s, (Span){&item, 1});
    }
}

/* timegm(3) makes the 31st of February a day in March, and sets the day of the week. A leap second, which time_t does
 * not know, is the one before it. */
static bool make_time(const struct tm *tm, time_t *ret)
{
    struct tm made = *tm;

    made.tm_sec = MIN(made.tm_sec, 59);
    *ret = timegm(&made);
    return made.tm_mday == tm->tm_mday && made.tm_wday == tm->tm_wday;
}

bool date_parse(Span text, time_t now, time_t *ret)
{
    static const char *const forms[] = {"w, d m Y h:i:s GMT", "W, d-m-y h:i:s GMT", "w m D h:i:s Y"};

    for (size_t i = 0; i < ELEMENTSOF(forms); i++) {
        struct tm tm = {0};
        Span s = text;
        const char *item = forms[i];

        while (*item && take_item(&s, *item, now, &tm))
            item++;
        if (!*item && s.size == 0)
            return make_time(&tm, ret);
    }
    return false;
}
