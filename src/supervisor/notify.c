/* SPDX-License-Identifier: MIT */
/* sd_notify(3). Results are not looked at: there is nobody to tell that systemd can't be told. */
#include "supervisor/notify.h"

#include "base/clock.h"

#include <inttypes.h>
#include <stdlib.h>
#include <systemd/sd-daemon.h>

#define BARRIER_USEC (5 * USEC_PER_SEC)

bool notify_is_on(void)
{
    return getenv("NOTIFY_SOCKET") != NULL;
}

void notify_status(const char *text)
{
    (void)sd_notifyf(0, "STATUS=%s", text);
}

void notify_ready(const char *status)
{
    (void)sd_notifyf(0, "READY=1\nSTATUS=%s", status);
}

void notify_reloading(const char *status)
{
    (void)sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64 "\nSTATUS=%s", clock_now_usec(), status);
}

void notify_stopping(const char *status)
{
    (void)sd_notifyf(0, "STOPPING=1\nSTATUS=%s", status);
}

void notify_extend_timeout(usec_t usec)
{
    (void)sd_notifyf(0, "EXTEND_TIMEOUT_USEC=%" PRIu64, usec);
}

void notify_failed(const char *status)
{
    notify_status(status);
    (void)sd_notify_barrier(0, BARRIER_USEC);
}
