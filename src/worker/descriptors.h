/* SPDX-License-Identifier: MIT */
/* Which descriptors of the process are the server's: its connections, its sockets, its loop. The application
 * is in the same process, and may close any of them, on purpose (os.closerange()) or by mistake; its number
 * then goes to the next file or client, to whom the server must not speak. And a child that it forks has them
 * all, and would keep connections open that the server has closed. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Descriptors {
    uint64_t *bits; /* of a fixed size, as a child may be forked at any moment */
    size_t n_words;
} Descriptors;

/* As many as RLIMIT_NOFILE allows. 0 or negative errno. */
int descriptors_init(Descriptors *d);
void descriptors_deinit(Descriptors *d);

/* fd is the server's from now on. If it was before, somebody has closed it meanwhile: ends the process. */
void descriptors_add(Descriptors *d, int fd);

/* fd is to be closed. */
void descriptors_remove(Descriptors *d, int fd);

/* In a forked child: closes them all. */
void descriptors_close(const Descriptors *d);

/* In one whose copy of an event loop may still ask after them: the same, but all are duplicates of that one
 * afterwards. */
void descriptors_replace(const Descriptors *d, int by);

/* Whether an error, as positive errno, of a call with a descriptor of one's own says that it is so no
 * longer. */
bool descriptors_is_lost(int error);

/* Says that the application has closed a descriptor of the server's, and ends the process: nobody can know
 * what the others are by now. */
_Noreturn void descriptors_give_up(void);
