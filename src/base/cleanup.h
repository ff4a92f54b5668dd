/* SPDX-License-Identifier: MIT */
/* Scope-bound ownership: values that free themselves, and the hand-over of such a value. */
#pragma once

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(f) __attribute__((__cleanup__(f)))

static inline void freep(void *p)
{
    free(*(void **)p);
}

/* Closes *fd unless it is negative, keeps errno. */
static inline void closep(int *fd)
{
    if (*fd >= 0) {
        int saved = errno;
        close(*fd);
        errno = saved;
    }
}

#define _cleanup_free_ _cleanup_(freep)
#define _cleanup_close_ _cleanup_(closep)

/* Reads a variable and leaves it empty: its owner is now whoever gets the value. */
#define TAKE_PTR(p)                       \
    ({                                    \
        __typeof__(p) *take_p_ = &(p);    \
        __typeof__(p) take_v_ = *take_p_; \
        *take_p_ = NULL;                  \
        take_v_;                          \
    })
#define TAKE_FD(fd)             \
    ({                          \
        int *take_p_ = &(fd);   \
        int take_v_ = *take_p_; \
        *take_p_ = -EBADF;      \
        take_v_;                \
    })

/* For a Type with `Type *name_free(Type *)`, which takes NULL: makes `name_freep` for _cleanup_(). */
#define DEFINE_CLEANUP(Type, name)            \
    static inline void name##_freep(Type **p) \
    {                                         \
        if (*p)                               \
            name##_free(*p);                  \
    }

#define ELEMENTSOF(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b)                          \
    ({                                     \
        __typeof__(a) min_a_ = (a);        \
        __typeof__(b) min_b_ = (b);        \
        min_a_ < min_b_ ? min_a_ : min_b_; \
    })
#define MAX(a, b)                          \
    ({                                     \
        __typeof__(a) max_a_ = (a);        \
        __typeof__(b) max_b_ = (b);        \
        max_a_ > max_b_ ? max_a_ : max_b_; \
    })
