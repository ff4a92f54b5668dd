/* SPDX-License-Identifier: MIT */
/* How often STATUS= and EXTEND_TIMEOUT_USEC= are sent. */
#include "supervisor/status.h"

#include "base/cleanup.h"
#include <stdio.h>
#include <string.h>

#define EXTEND_EVERY_USEC (5 * USEC_PER_SEC)
#define EXTEND_BY_USEC (15 * USEC_PER_SEC)
#define PAUSE_MIN_USEC USEC_PER_SEC
#define PAUSE_MAX_USEC (8 * USEC_PER_SEC)

void status_note(StatusLine *s, const char *text, usec_t now)
{
    (void)snprintf(s->sent, sizeof(s->sent), "%s", text);
    s->sent_usec = now;
    s->pause_usec = PAUSE_MIN_USEC;
    s->next_usec = now + s->pause_usec;
}

usec_t status_update(StatusLine *s, Notifier *n, const char *text, usec_t now)
{
    if (!notify_is_on(n))
        return UINT64_MAX;
    if (strcmp(s->sent, text) == 0) {
        if (now >= s->next_usec) {
            s->pause_usec = MIN(s->pause_usec * 2, PAUSE_MAX_USEC);
            s->next_usec = now + s->pause_usec;
        }
        return s->next_usec;
    }
    if (s->sent_usec > 0 && now < s->sent_usec + PAUSE_MIN_USEC)
        return s->sent_usec + PAUSE_MIN_USEC;
    if (!notify_status(n, text))
        return now + PAUSE_MIN_USEC;
    status_note(s, text, now);
    return s->next_usec;
}

void status_expect_work(StatusLine *s, usec_t usec, usec_t now)
{
    s->extend_usec = now;
    s->extend_end_usec = now + usec;
}

usec_t status_extend(StatusLine *s, Notifier *n, bool is_busy, usec_t now)
{
    if (!is_busy || now >= s->extend_end_usec)
        return UINT64_MAX;
    if (now >= s->extend_usec) {
        s->extend_usec =
            now + (notify_extend_timeout(n, EXTEND_BY_USEC) ? EXTEND_EVERY_USEC : PAUSE_MIN_USEC);
    }
    return s->extend_usec;
}
