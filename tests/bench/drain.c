/* SPDX-License-Identifier: MIT */
/* A client for what wrk can't do: large answers, which it drops in the kernel (MSG_TRUNC), where wrk copies 8 KiB at a
 * time and is slower than the servers; and requests at a given rate, of which some are slow ones.
 *
 *     drain PORT PATH CONNECTIONS SECONDS [RATE EVERY SLOW_PATH]
 *
 * RATE: requests a second of all connections together, where answers allow; else one follows the other. One of EVERY,
 * drawn the same way each time, or none where that is 0, is for SLOW_PATH; the times are those of the others. An answer
 * needs a Content-Length. Prints one line of JSON, as wrk.lua does. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
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
    double due; /* the next request; only with a rate */
    bool is_waiting, is_slow;
} Connection;

typedef struct Request {
    char text[1024];
    size_t size;
} Request;

static Request usual, slow;
static double interval; /* between two requests of a connection; 0: none */
static uint32_t every, random_state = 1;
static struct sockaddr_in address;
static int epoll_fd;
static long n_requests, n_times, n_connect, n_read, n_status;
static double times[TIMES_MAX];

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* xorshift32: one in `every`. */
static bool draw(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 17;
    random_state ^= random_state << 5;
    return every > 0 && random_state % every == 0;
}

static void connection_ask(Connection *c)
{
    const Request *r;

    c->is_slow = draw();
    r = c->is_slow ? &slow : &usual;
    c->is_waiting = false;
    c->n_head = 0;
    c->n_left = -1;
    c->start = now();
    if (send(c->fd, r->text, r->size, MSG_NOSIGNAL) < 0)
        n_read++;
}

/* The next request, now or when it is due. */
static void connection_go_on(Connection *c)
{
    c->is_waiting = interval > 0;
    if (c->is_waiting)
        c->due = c->due + interval > now() ? c->due + interval : now();
    else
        connection_ask(c);
}

/* Seconds until the next one is due. */
static double ask_due(Connection *connections, int n)
{
    double next = 0.1;

    for (int i = 0; i < n; i++) {
        Connection *c = &connections[i];

        if (c->is_waiting && c->due <= now())
            connection_ask(c);
        else if (c->is_waiting && c->due - now() < next)
            next = c->due - now();
    }
    return next > 0 ? next : 0;
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
        if (!c->is_slow && n_times < TIMES_MAX)
            times[n_times++] = now() - c->start;
        n_requests++;
        connection_go_on(c);
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
    size_t n = (size_t)n_times;

    qsort(times, n, sizeof *times, compare);
    printf("{\"requests\": %ld, \"seconds\": %f, \"errors\": {\"connect\": %ld, \"read\": %ld, \"status\": "
           "%ld}, "
           "\"p50_ms\": %f, \"p99_ms\": %f}\n",
           n_requests, seconds, n_connect, n_read, n_status, times[n / 2] * 1e3, times[n * 99 / 100] * 1e3);
}

static void make_request(Request *r, const char *path)
{
    r->size = (size_t)snprintf(r->text, sizeof r->text, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path);
}

int main(int argc, char **argv)
{
    struct epoll_event events[256];
    Connection *connections;
    double start, seconds;
    int n;

    if (argc != 5 && argc != 8)
        return 64;
    n = atoi(argv[3]);
    seconds = atof(argv[4]);
    address = (struct sockaddr_in){.sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)atoi(argv[1])),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    make_request(&usual, argv[2]);
    if (argc == 8) {
        interval = n / atof(argv[5]);
        every = (uint32_t)atoi(argv[6]);
        make_request(&slow, argv[7]);
    }
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    connections = calloc((size_t)n, sizeof *connections);
    if (!connections)
        return 1;
    start = now();
    for (int i = 0; i < n; i++) {
        connections[i].due = start + interval * i / n;
        connection_open(&connections[i]);
    }
    while (now() - start < seconds) {
        struct timespec wait = {.tv_nsec = (long)(ask_due(connections, interval > 0 ? n : 0) * 1e9)};
        int n_events = epoll_pwait2(epoll_fd, events, 256, &wait, NULL);

        for (int i = 0; i < n_events; i++)
            connection_on_readable(events[i].data.ptr);
    }
    report(now() - start);
}
