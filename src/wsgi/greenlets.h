/* SPDX-License-Identifier: MIT */
/* gevent: its hub, and greenlets that run requests. Like the interpreter there is one in a process. A
 * greenlet's C stack is copied away while it waits: nothing on it may be pointed to from elsewhere. All
 * functions are for the main thread, with the GIL; those that run in the hub must not raise, those that are
 * called in a greenlet may. */
#pragma once

#include "base/buffer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* gevent.monkey.patch_all(), before anything of the site is imported. 0, or -1 with *ret_error, to be freed.
 * */
int greenlets_patch(char **ret_error);

/* After the fork and before anything runs in a greenlet: the hub is this process's own. 0, or -1 with
 * *ret_error. */
int greenlets_begin(char **ret_error);

/* Runs the hub until greenlets_stop(): it calls visit(arg) whenever one of the descriptors is readable, and
 * soon after greenlets_call_soon(); but not in a child that the application has forked. 0, or -1 with
 * *ret_error: gevent gave up. */
int greenlets_run(const int *fds, size_t n_fds, void (*visit)(void *arg), void *arg, char **ret_error);
void greenlets_call_soon(void);
void greenlets_stop(void);

/* Whether requests run in greenlets here: greenlets_begin() was called. */
bool greenlets_are_used(void);

/* One of them; zero-initialised, and to stay where it is until its function has returned. */
typedef struct Greenlet {
    struct _object *object; /* a gevent.Greenlet */
    void (*run)(void *arg);
    void *arg;
    bool waits;
} Greenlet;

/* In the hub: calls run(arg) in a new greenlet, and returns when that waits or is done. 0, or -1: no memory,
 * it was not called. */
int greenlet_start(Greenlet *g, void (*run)(void *arg), void *arg);

/* In the greenlet: lets others run until greenlet_wake(). 0, or -1 with the exception that was thrown into
 * it. */
int greenlet_wait(Greenlet *g);

/* In the hub: goes on with the greenlet if it is in greenlet_wait(); returns like greenlet_start(). */
void greenlet_wake(Greenlet *g);

/* In any greenlet: whether it is that one. */
bool greenlet_is_current(const Greenlet *g);

/* In any greenlet: lets others run until fd is readable, for so long at most. 0, or -1 with the exception
 * that was thrown into it. */
int greenlets_wait_readable(int fd, uint64_t timeout_usec);

/* In the hub: appends where the greenlet waits in Python, as lines without the last newline. 0 or negative
 * errno. */
int greenlet_append_stack(const Greenlet *g, Buffer *to);
