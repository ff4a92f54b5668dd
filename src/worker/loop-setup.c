/* SPDX-License-Identifier: MIT */
/* Makes a Loop, and frees it. */
#include "worker/loop-setup.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "config/staff.h"
#include "worker/accept.h"
#include "worker/check.h"
#include "worker/connection.h"
#include "worker/drain.h"
#include "worker/handover.h"

#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>

#define LINGER_USEC (5 * USEC_PER_SEC)

static int loop_open(Loop *l, const LoopOptions *o, char **ret_error)
{
    int r;

    l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (l->epoll_fd < 0)
        return -errno;
    descriptors_add(&l->descriptors, l->epoll_fd);
    l->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (l->wake_fd < 0)
        return -errno;
    descriptors_add(&l->descriptors, l->wake_fd);
    descriptors_add(&l->descriptors, l->channel.fd);
    r = loop_watch(l, l->wake_fd, EPOLLIN, &l->wake_source);
    if (r < 0)
        return r;
    r = loop_watch(l, l->channel.fd, EPOLLIN, &l->channel_source);
    if (r < 0)
        return r;
    handover_open(l, o->queue);
    return accept_open(l, o->listeners, o->n_listeners, ret_error);
}

/* The last response before the worker asks for its successor: drawn, so that siblings do not do so together. */
static uint64_t loop_draw_requests(const Config *c)
{
    uint32_t random = 0;

    if (c->workers_max_requests == 0)
        return UINT64_MAX;
    (void)!getrandom(&random, sizeof random, GRND_NONBLOCK);
    return c->workers_max_requests + random % ((uint64_t)c->workers_max_requests_jitter + 1);
}

static int loop_configure(Loop *l, const Config *c, char **ret_error)
{
    const char *bad;
    int r;

    l->limits = (HttpLimits){
        .request_line = c->limits_request_line,
        .field_size = c->limits_field_size,
        .head = c->limits_head,
        .fields = c->limits_fields,
        .body = c->limits_body ? c->limits_body : UINT64_MAX,
        .refuses_ambiguous_names = strcmp(c->request_header_map, "refuse") == 0,
        .forwarder_fields = c->proxy_forwarder_headers,
        .known = &l->known_lines,
    };
    timeout_list_init(&l->timeouts[TIMEOUT_HEAD], c->timeouts_head);
    timeout_list_init(&l->timeouts[TIMEOUT_BODY], c->timeouts_body);
    timeout_list_init(&l->timeouts[TIMEOUT_WRITE], c->timeouts_write);
    timeout_list_init(&l->timeouts[TIMEOUT_KEEPALIVE], c->timeouts_keepalive);
    timeout_list_init(&l->timeouts[TIMEOUT_LINGER], LINGER_USEC);
    drain_init_timeouts(l);
    timeout_list_init(&l->running, c->timeouts_request);

    clients_init(&l->clients, c->limits_connections_per_ip);
    for (char **name = c->proxy_headers; name && *name; name++)
        l->believed |= (unsigned)proxy_header_from_name(*name); /* config has checked them */
    for (char **name = c->proxy_forwarder_headers; name && *name; name++)
        if (strcasecmp(*name, "SCRIPT_NAME") == 0)
            l->believed |= PROXY_SCRIPT_NAME;
    r = trusted_proxies_new(c->proxy_trusted, &l->trusted, &bad);
    if (r < 0)
        return r;
    if (strcmp(c->log_access, "off") == 0)
        return 0;
    r = access_log_new(c->log_access, c->log_access_format, &l->access_log);
    if (r < 0 && asprintf(ret_error, "log.access: cannot open %s: %s", c->log_access, strerror(-r)) < 0)
        *ret_error = NULL;
    return r;
}

int loop_new(const LoopOptions *o, Loop **ret, char **ret_error)
{
    _cleanup_(loop_freep) Loop *l = calloc(1, sizeof *l);
    int r;

    *ret_error = NULL;
    if (!l)
        return -ENOMEM;
    pthread_mutex_init(&l->door, NULL);
    l->epoll_fd = l->wake_fd = l->alarm_fd = -EBADF;
    l->config = o->config;
    l->channel = o->channel;
    l->channel_source.type = SOURCE_CHANNEL;
    l->wake_source.type = SOURCE_WAKE_UP;
    l->doorbell = o->doorbell;
    l->doorbell_source.type = SOURCE_DOORBELL;
    l->seat = &o->seats[o->seat];
    l->balance = (Balance){.seats = o->seats, .n_seats = o->n_seats, .own = o->seat, .next = o->seat};
    l->total = o->total;
    l->file_roots = o->file_roots;
    l->is_held = o->is_held;
    l->n_slots = config_staff(o->config).n_slots;
    l->has_siblings = config_staff(o->config).n_max > 1;
    l->n_until_replaced = loop_draw_requests(o->config);
    l->now = clock_now_usec();
    (void)!getrandom(&l->first_request, sizeof l->first_request, GRND_NONBLOCK);
    exchange_pool_init(&l->exchanges, o->config, o->directory);

    r = flusher_new(l, &l->flusher);
    if (r < 0)
        return r;
    r = loop_configure(l, o->config, ret_error);
    if (r < 0)
        return r;
    r = descriptors_init(&l->descriptors);
    if (r < 0)
        return r;
    r = loop_open(l, o, ret_error);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(l);
    return 0;
}

Loop *loop_free(Loop *l)
{
    if (!l)
        return NULL;
    flusher_free(l->flusher);
    connection_free_closed(l);
    exchange_pool_deinit(&l->exchanges);
    check_free(l->check);
    trusted_proxies_free(l->trusted);
    clients_deinit(&l->clients);
    access_log_free(l->access_log);
    free(l->listeners);
    closep(&l->epoll_fd);
    closep(&l->wake_fd);
    closep(&l->alarm_fd);
    descriptors_deinit(&l->descriptors);
    pthread_mutex_destroy(&l->door);
    free(l);
    return NULL;
}
