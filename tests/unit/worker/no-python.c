/* SPDX-License-Identifier: MIT */
/* In place of wsgi/ where no Python runs: stacks that name their thread alone, and memory for bodies by malloc(). */
#include "no-python.h"

#include "wsgi/body-memory.h"
#include "wsgi/stack.h"

#include <stdlib.h>

int stack_append(Buffer *to, pid_t thread)
{
    return buffer_printf(to, "thread %d", (int)thread);
}

int stack_append_others(Buffer *to, pid_t except)
{
    return buffer_printf(to, "but %d", (int)except);
}

typedef struct Lent {
    size_t size;
    char memory[];
} Lent;

static _Atomic size_t n_lent;

void *body_memory_new(size_t size, char **ret)
{
    Lent *lent = malloc(sizeof *lent + size);

    if (!lent)
        return NULL;
    lent->size = size;
    n_lent += size;
    *ret = lent->memory;
    return lent;
}

void body_memory_free(void *owner)
{
    Lent *lent = owner;

    n_lent -= lent->size;
    free(lent);
}

size_t lent_octets(void)
{
    return n_lent;
}
