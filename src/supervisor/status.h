/* SPDX-License-Identifier: MIT */
/* What systemd is told again and again: the line that `systemctl status` shows, sent when it has changed and
 * at most once a second; and, during a start, reload or stop, that it takes longer. */
#pragma once

#include "supervisor/notify.h"

#define STATUS_TEXT_MAX 400

typedef struct StatusLine {
    char sent[STATUS_TEXT_MAX];
    usec_t sent_usec;
    usec_t pause_usec;  /* between two looks: longer while nothing changes */
    usec_t next_usec;   /* of the next look */
    usec_t extend_usec; /* when to ask for more time again, and until when */
    usec_t extend_end_usec;
} StatusLine;

/* Sends text, unless it is too early or still the same. Returns when it wants to be called again, at the
 * latest. */
usec_t status_update(StatusLine *s, Notifier *n, const char *text, usec_t now);

/* The text went out with another message. */
void status_note(StatusLine *s, const char *text, usec_t now);

/* What begins now may take that long. systemd gets to know bit by bit, for as long as this process lives. */
void status_expect_work(StatusLine *s, usec_t usec, usec_t now);

/* is_busy: it is not done yet. Returns as status_update() does. */
usec_t status_extend(StatusLine *s, Notifier *n, bool is_busy, usec_t now);
