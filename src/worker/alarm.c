/* SPDX-License-Identifier: MIT */
/* A timerfd. A deadline that moves away, as most do with each request, leaves it as it is: a turn too many once in a
 * while costs less than a system call for each. */
#include "worker/alarm.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>

int alarm_init(Loop *l)
{
    l->alarm_source.type = SOURCE_ALARM;
    l->alarm_usec = UINT64_MAX;
    l->alarm_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (l->alarm_fd < 0)
        return -errno;
    descriptors_add(&l->descriptors, l->alarm_fd);
    return loop_watch(l, l->alarm_fd, EPOLLIN, &l->alarm_source);
}

void alarm_set(Loop *l, usec_t at)
{
    usec_t next = MIN(loop_next_usec(l), at);
    struct itimerspec t = {.it_value = {(time_t)(next / USEC_PER_SEC), (long)(next % USEC_PER_SEC * 1000)}};

    if (next >= l->alarm_usec)
        return;
    if (timerfd_settime(l->alarm_fd, TFD_TIMER_ABSTIME, &t, NULL) < 0)
        descriptors_give_up();
    l->alarm_usec = next;
}

void alarm_on_event(Loop *l)
{
    uint64_t n;

    (void)!read(l->alarm_fd, &n, sizeof n);
    l->alarm_usec = UINT64_MAX;
}
