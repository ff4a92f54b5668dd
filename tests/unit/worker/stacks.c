/* SPDX-License-Identifier: MIT */
/* In place of wsgi/stack.c where no Python runs: stacks that name their thread alone. */
#include "wsgi/stack.h"

int stack_append(Buffer *to, pid_t thread)
{
    return buffer_printf(to, "thread %d", (int)thread);
}

int stack_append_others(Buffer *to, pid_t except)
{
    return buffer_printf(to, "but %d", (int)except);
}
