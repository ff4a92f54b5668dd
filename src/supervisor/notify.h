/* SPDX-License-Identifier: MIT */
/* What systemd is told, by the protocol of sd_notify(3), whose own functions wait while nobody reads: the
 * supervisor must not. What may not be lost is kept and sent later, in its order. Texts are for humans:
 * `systemctl status` shows the last one. */
#pragma once

#include "base/clock.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

#define NOTIFY_WAITING_MAX 4 /* two reloads; of more than that, systemd need not know */

typedef struct Notification {
    char *text;
    int fd; /* borrowed; or -EBADF */
} Notification;

typedef struct Notifier {
    int fd; /* -EBADF: nobody listens, nothing happens */
    struct sockaddr_un address;
    socklen_t address_size;
    Notification waiting[NOTIFY_WAITING_MAX]; /* what was not taken yet, the oldest first */
    size_t n_waiting;
    usec_t watchdog_usec;      /* between two pings; 0: none are wanted */
    usec_t next_watchdog_usec; /* when the next one is due */
} Notifier;

/* Takes the address from NOTIFY_SOCKET, and the time from WATCHDOG_USEC. */
void notify_open(Notifier *n);
void notify_close(Notifier *n);

/* Whether somebody listens. */
bool notify_is_on(const Notifier *n);

/* To be called at each turn of the event loop: it is what the watchdog watches. Returns when it wants to be
 * called again, at the latest. */
usec_t notify_advance(Notifier *n, usec_t now);

/* These may be lost. False: it was. */
bool notify_status(Notifier *n, const char *text);
/* The start, reload or stop that is on takes up to usec more. */
bool notify_extend_timeout(Notifier *n, usec_t usec);

/* These are not. */
void notify_ready(Notifier *n, const char *status);
/* Stamps the message with the clock of now: call it after the SIGHUP was read, not before (sd_notify(3),
 * MONOTONIC_USEC=). */
void notify_reloading(Notifier *n, const char *status);
void notify_stopping(Notifier *n, const char *status);
/* The service is to be treated as if its watchdog had run out. */
void notify_hopeless(Notifier *n, const char *status);

/* systemd is to keep a copy of fd, and pass it to the next instance under this name; or to keep none of that
 * name any more. fd stays open until notify_close(). */
void notify_store(Notifier *n, const char *name, int fd);
void notify_unstore(Notifier *n, const char *name);

/* The last words before an exit with a failure; waits until they were read, but not for ever. */
void notify_failed(Notifier *n, const char *status);
