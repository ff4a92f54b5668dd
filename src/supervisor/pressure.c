/* SPDX-License-Identifier: MIT */
/* Memory pressure. Not sd_event_add_memory_pressure(3): systemd 252 does not have it. */
#include "supervisor/pressure.h"

#include "base/base64.h"
#include "base/cleanup.h"
#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#define CALL_EVERY_USEC (5 * USEC_PER_SEC)
#define WRITE_MAX 512

struct Pressure {
    int fd;
    sd_event_source *source;
    PressureHandler handler;
    void *userdata;
};

static int on_pressure(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
    const Pressure *p = userdata;
    char octets[4096];

    if ((events & EPOLLIN) != 0)
        while (read(fd, octets, sizeof(octets)) > 0)
            ;
    if ((events & (EPOLLIN | EPOLLPRI)) == 0)
        return sd_event_source_set_enabled(source, SD_EVENT_OFF); /* the control group is gone */
    p->handler(p->userdata);
    return 0;
}

/* The file is the kernel's, which takes what is to be watched for and says EPOLLPRI, or a FIFO, in which octets
 * arrive. */
static int watch_file(Pressure *p, sd_event *event, const char *path)
{
    const char *encoded = getenv("MEMORY_PRESSURE_WRITE");
    char octets[WRITE_MAX];
    struct stat st;
    size_t n;
    int r;

    p->fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (p->fd < 0 || fstat(p->fd, &st) < 0)
        return -errno;
    n = encoded ? base64_decode(span_of(encoded), octets, sizeof(octets)) : 0;
    if (n > 0 && write(p->fd, octets, n) != (ssize_t)n)
        return -EIO;
    r = sd_event_add_io(event, &p->source, p->fd, S_ISFIFO(st.st_mode) ? EPOLLIN : EPOLLPRI, on_pressure, p);
    if (r < 0)
        return r;
    return sd_event_source_set_ratelimit(p->source, CALL_EVERY_USEC, 1);
}

int pressure_new(sd_event *event, PressureHandler handler, void *userdata, Pressure **ret)
{
    const char *path = getenv("MEMORY_PRESSURE_WATCH");
    Pressure *p;
    int r;

    *ret = NULL;
    if (!path || path[0] != '/' || strcmp(path, "/dev/null") == 0)
        return 0;
    p = calloc(1, sizeof(*p));
    if (!p)
        return -ENOMEM;
    p->handler = handler;
    p->userdata = userdata;
    r = watch_file(p, event, path);
    if (r < 0)
        pressure_free(p);
    else
        *ret = p;
    return r < 0 ? r : 0;
}

Pressure *pressure_free(Pressure *p)
{
    if (!p)
        return NULL;
    sd_event_source_disable_unref(p->source);
    closep(&p->fd);
    free(p);
    return NULL;
}
