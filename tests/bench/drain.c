/* SPDX-License-Identifier: MIT */
/* A client for large answers, which drops them in the kernel (MSG_TRUNC): wrk copies 8 KiB at a time, and is slower than the
 * servers.
 *
 *     drain PORT PATH CONNECTIONS SECONDS
 *
 * An answer needs a Content-Length. Prints one line of JSON, as wrk.lua does. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define TIMES_MAX 1000000
#define DROP_MAX 4194304L

typedef struct Connection {
    int fd;
    long n_left; /* octets of the body; -1: the head is not here */
    size_t n_head;
    char head[4096];
    double start;
} Connection;

static char request[1024];
static size_t n_request;
static struct sockaddr_in address;
static int epoll_fd;
static long n_requests, n_connect, n_read, n_status;
static double times[TIMES_MAX];

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void connection_ask(Connection *c)
{
    c->n_head = 0;
    c->n_left = -1;
    c->start = now();
    if (send(c->fd, request, n_request, MSG_NOSIGNAL) < 0)
        n_read++;
}

static void connection_open(Connection *c)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};

    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(c->fd, (struct sockaddr *)&address, sizeof address) < 0)
        n_connect++;
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &event);
    connection_ask(c);
}

static void connection_on_end(Connection *c)
{
    n_read += c->n_head > 0;
    close(c->fd);
    connection_open(c);
}

static void connection_on_head(Connection *c)
{
    const char *end = memmem(c->head, c->n_head, "\r\n\r\n", 4), *length;

    if (!end)
        return;
    c->head[c->n_head] = 0;
    length = strcasestr(c->head, "\ncontent-length:");
    if (strncmp(c->head, "HTTP/1.1 200", 12) != 0 || !length)
        n_status++;
    c->n_left = (length ? atol(length + 16) : 0) - (long)(c->n_head - (size_t)(end + 4 - c->head));
}

/* Reads some of the head or the body; returns what recv() does. */
static ssize_t connection_read(Connection *c)
{
    ssize_t n;

    if (c->n_left >= 0) {
        n = recv(c->fd, NULL, (size_t)(c->n_left < DROP_MAX ? c->n_left : DROP_MAX),
                 MSG_DONTWAIT | MSG_TRUNC);
        c->n_left -= n > 0 ? n : 0;
        return n;
    }
    n = recv(c->fd, c->head + c->n_head, sizeof c->head - 1 - c->n_head, MSG_DONTWAIT);
    if (n > 0) {
        c->n_head += (size_t)n;
        connection_on_head(c);
    }
    return n;
}

static void connection_on_readable(Connection *c)
{
    ssize_t n = connection_read(c);

    if (c->n_left == 0) {
        if (n_requests < TIMES_MAX)
            times[n_requests] = now() - c->start;
        n_requests++;
        connection_ask(c);
    } else if (n == 0) {
        connection_on_end(c);
    }
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void report(double seconds)
{
    size_t n = (size_t)(n_requests < TIMES_MAX ? n_requests : TIMES_MAX);

    qsort(times, n, sizeof *times, compare);
    printf("{\"requests\": %ld, \"seconds\": %f, \"errors\": {\"connect\": %ld, \"read\": %ld, \"status\": "
           "%ld}, "
           "\"p50_ms\": %f, \"p99_ms\": %f}\n",
           n_requests, seconds, n_connect, n_read, n_status, times[n / 2] * 1e3, times[n * 99 / 100] * 1e3);
}

int main(int argc, char **argv)
{
    struct epoll_event events[256];
    Connection *connections;
    double start, seconds;
    int n;

    if (argc != 5)
        return 64;
    n = atoi(argv[3]);
    seconds = atof(argv[4]);
    address = (struct sockaddr_in){.sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)atoi(argv[1])),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    n_request =
        (size_t)snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", argv[2]);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    connections = calloc((size_t)n, sizeof *connections);
    if (!connections)
        return 1;
    start = now();
    for (int i = 0; i < n; i++)
        connection_open(&connections[i]);
    while (now() - start < seconds) {
        int n_events = epoll_wait(epoll_fd, events, 256, 100);

        for (int i = 0; i < n_events; i++)
            connection_on_readable(events[i].data.ptr);
    }
    report(now() - start);
}
