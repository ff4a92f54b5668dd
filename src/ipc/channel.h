/* SPDX-License-Identifier: MIT */
/* Messages between supervisor, zygote and workers: SOCK_SEQPACKET pairs, descriptors by SCM_RIGHTS. Whatever
 * arrives is checked: the application can write to any descriptor that it finds.
 *
 *   supervisor → zygote   HELLO (descriptors: INI memfd, scoreboard memfd, totals memfd, the ends of the workers'
 *                         queue, listeners…; seat: the queue's PARCEL_FORMAT, or 0: there is none; text: site)
 *   zygote → supervisor   LOADED | FAILED (text: why)
 *   supervisor → zygote   SPAWN (seat; descriptor: the worker's end of its own channel)
 *   zygote → supervisor   SPAWNED (seat, pid; pid < 0: negative errno)
 *   supervisor → worker   GO (the supervisor knows the pid: load the application and serve;
 *                         text: CHANNEL_GO_CHECK where the worker has to ask itself reload.check_path first)
 *   worker → supervisor   LOADED (the check begins; only where it was asked for)
 *   worker → supervisor   READY | FAILED (text)
 *   supervisor → worker   GO (once more, after READY: take connections; one that is told to go before that has no
 *                         client to lose)
 *   supervisor → worker   DRAIN (accept no more, finish, exit; others serve meanwhile, but for text:
 *                         CHANNEL_DRAIN_LAST)
 *   supervisor → worker   STOP (the same, but connections that wait now are the next instance's)
 *   supervisor → worker   TRIM (memory is short: give back what is not needed)
 *   worker → supervisor   DRAIN (does not accept any more)
 *   worker → supervisor   REPLACE (text: "" has answered its number of requests; REPLACE_AFTER_HANG a request
 *                         hangs in it; serves on until DRAIN)
 *   worker → supervisor   MODULES (text: directories that code was imported from, a line each;
 *                         develop.reload)
 *
 * End of file means that the other end is gone. */
#pragma once

#include <stddef.h>
#include <stdint.h>

typedef enum MessageType {
    MESSAGE_HELLO = 1,
    MESSAGE_LOADED,
    MESSAGE_FAILED,
    MESSAGE_SPAWN,
    MESSAGE_SPAWNED,
    MESSAGE_GO,
    MESSAGE_READY,
    MESSAGE_DRAIN,
    MESSAGE_REPLACE,
    MESSAGE_STOP,
    MESSAGE_TRIM,
    MESSAGE_MODULES,
    MESSAGE_TYPE_LAST_ = MESSAGE_MODULES,
} MessageType;

#define REPLACE_AFTER_HANG "hang"

#define MESSAGE_TEXT_MAX 8192
#define MESSAGE_FDS_MAX 64

typedef struct Message {
    uint32_t type; /* MessageType */
    uint32_t generation;
    uint32_t seat;
    int32_t pid;
    size_t n_fds;
    int fds[MESSAGE_FDS_MAX];
    char text[MESSAGE_TEXT_MAX]; /* NUL-terminated; cut to fit when sent */
} Message;

#define CHANNEL_E_EOF 1

#define CHANNEL_GO_CHECK "check"
#define CHANNEL_DRAIN_LAST "last"

/* Both ends CLOEXEC and non-blocking. 0 or negative errno. */
int channel_new_pair(int ret_ends[2]);

/* Sends one message; m->fds are not closed. Never waits, whatever the application has made of the
 * descriptor's flags. 0, -EAGAIN (the queue is full), -EPIPE, … */
int channel_send(int fd, const Message *m);

/* Receives one message into *ret, whose descriptors (CLOEXEC) now belong to the caller: message_close_fds()
 * or TAKE_FD(). 0; CHANNEL_E_EOF; -EAGAIN; -EPROTO: malformed, nothing of it is kept; other negative
 * errno. */
int channel_receive(int fd, Message *ret);

void message_close_fds(Message *m);
