/* SPDX-License-Identifier: MIT */
/* The listening sockets: those that systemd passed (the only caller of sd_listen_fds_with_names(3)), or, in
 * the foreground, sockets bound here. Accepts nothing. */
#pragma once

#include "base/socket-address.h"
#include "supervisor/notify.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>

typedef struct Socket {
    int fd;
    char *path; /* of a Unix socket made here, to be removed with it; else NULL */
} Socket;

typedef struct Sockets {
    Socket *items;
    size_t n;
    int queue[2]; /* of the workers (ipc/parcel.h); -EBADF until sockets_open_queue() */
} Sockets;

#define SOCKETS_NONE ((Sockets){.queue = {-EBADF, -EBADF}})

#define SOCKETS_STORED "stored-totals"
#define SOCKETS_E_REFUSED 1 /* can't be had; *ret_error says why */

/* What systemd passed, by name: "http", "unknown" (no name) and "*.socket" (the unit's name) serve;
 * *ret_stored is the caller's: what an earlier instance gave to notify_store() as SOCKETS_STORED, or -EBADF;
 * others are closed, with a warning or, where systemd stores them, for ever. First thing in the process: the
 * environment variables are consumed. *ret is empty where nothing was passed. 0, negative errno, or
 * SOCKETS_E_REFUSED, with *ret_error for the caller to free. */
int sockets_take_passed(Notifier *n, Sockets *ret, int *ret_stored, char **ret_error);

/* Binds and listens at each address; mode: of Unix sockets; group: a name, or NULL. *ret is empty after an
 * error. 0, negative errno, or SOCKETS_E_REFUSED, with *ret_error for the caller to free. */
int sockets_bind(char *const *addresses, mode_t mode, const char *group, Sockets *ret, char **ret_error);

/* What the workers pass connections through to each other: not to be closed while there are any. 0 or
 * negative errno. */
int sockets_open_queue(Sockets *s);

/* Whether a connection waits to be accepted, or to be taken by a worker. */
bool sockets_are_waited_for(const Sockets *s);

/* Closes all, and removes the Unix sockets that were made here. Safe to repeat. */
void sockets_close(Sockets *s);
