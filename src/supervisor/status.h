/* SPDX-License-Identifier: MIT */
/* The line that `systemctl status` shows: sent when it has changed, and at most once a second. What it says comes from the
 * caller. */
#pragma once

#include "base/parse.h"

#define STATUS_TEXT_MAX 400

typedef struct StatusLine {
    char sent[STATUS_TEXT_MAX];
    usec_t sent_usec;
    usec_t pause_usec; /* between two looks: longer while nothing changes */
    usec_t next_usec;  /* of the next look */
} StatusLine;

/* Sends text, unless it is too early or still the same. Returns when it wants to be called again, at the latest. */
usec_t status_update(StatusLine *s, const char *text, usec_t now);

/* The text went out with another message. */
void status_note(StatusLine *s, const char *text, usec_t now);
