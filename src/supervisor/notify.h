/* SPDX-License-Identifier: MIT */
/* What systemd is told: the only caller of sd_notify(3). Without NOTIFY_SOCKET nothing happens. Texts are for
 * humans: `systemctl status` shows the last one. */
#pragma once

#include "base/parse.h"

#include <stdbool.h>

/* Whether somebody listens. */
bool notify_is_on(void);

void notify_status(const char *text);
void notify_ready(const char *status);

/* Stamps the message with the clock of now: call it after the SIGHUP was read, not before (sd_notify(3),
 * MONOTONIC_USEC=). */
void notify_reloading(const char *status);

void notify_stopping(const char *status);

/* The start, reload or stop that is on takes up to usec more. */
void notify_extend_timeout(usec_t usec);

/* The last words before an exit with a failure; waits until they were read. */
void notify_failed(const char *status);
