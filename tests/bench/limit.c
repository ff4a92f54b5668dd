/* SPDX-License-Identifier: MIT */
/* The limit of the benchmark: what a server on this machine would reach if it did nothing but read requests
 * and send answers made beforehand. It is no web server: a request is what ends in CRLFCRLF, plus
 * Content-Length octets, and only as much of it is looked at as the workloads need.
 *
 *     limit PORT
 *
 * GET / answers 13 octets, GET /big 100 KiB, POST discards the body and answers with 13 octets. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define N_CONNECTIONS 4096
#define HEAD_MAX 4096
#define BIG 102400

typedef struct Answer {
    char *data;
    size_t size;
} Answer;

typedef struct Connection {
    char head[HEAD_MAX]; /* of a request that has not arrived whole */
    size_t n_head;
    size_t n_body; /* octets of a body still to discard */
    const Answer *answer;
    size_t n_sent;
    bool closing;
} Connection;

static Connection connections[N_CONNECTIONS]; /* by descriptor */
static char input[262144];
static Answer hello, goodbye, big;

static Answer answer_new(size_t n_body, const char *fields)
{
    Answer a = {.data = malloc(n_body + 512)};

    if (!a.data)
        abort();
    a.size = (size_t)sprintf(a.data,
                             "HTTP/1.1 200 OK\r\nServer: limit\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
                             "Content-Type: text/plain\r\nContent-Length: %zu\r\n%s\r\n",
                             n_body, fields);
    memset(a.data + a.size, 'x', n_body);
    a.size += n_body;
    return a;
}

/* 1: sent, 0: the socket is full, -1: over. */
static int connection_send(int fd, Connection *c)
{
    while (c->answer) {
        ssize_t n = send(fd, c->answer->data + c->n_sent, c->answer->size - c->n_sent, MSG_NOSIGNAL);

        if (n < 0)
            return errno == EAGAIN ? 0 : -1;
        c->n_sent += (size_t)n;
        if (c->n_sent == c->answer->size)
            c->answer = NULL;
    }
    return c->closing ? -1 : 1;
}

static void connection_answer(Connection *c, const Answer *a)
{
    c->answer = c->closing ? &goodbye : a;
    c->n_sent = 0;
}

/* Looks at the whole head, `size` octets. */
static void connection_on_head(Connection *c, const char *head, size_t size)
{
    const char *length = memmem(head, size, "\nContent-Length: ", 17);

    c->closing = memmem(head, size, "\nConnection: close", 18);
    if (head[0] == 'P' && length)
        c->n_body = strtoul(length + 17, NULL, 10);
    else
        connection_answer(c, memcmp(head, "GET /b", 6) == 0 ? &big : &hello);
}

/* Takes what was read after what was there; clients here send one request at a time. */
static void connection_on_input(Connection *c, const char *data, size_t size)
{
    const char *end;
    size_t n;

    if (c->n_body == 0) {
        n = size < HEAD_MAX - c->n_head ? size : HEAD_MAX - c->n_head;
        memcpy(c->head + c->n_head, data, n);
        end = memmem(c->head, c->n_head + n, "\r\n\r\n", 4);
        if (!end) {
            c->n_head += n;
            return;
        }
        n = (size_t)(end + 4 - c->head);
        connection_on_head(c, c->head, n);
        data += n - c->n_head;
        size -= n - c->n_head;
        c->n_head = 0;
        if (c->n_body == 0)
            return;
    }
    n = size < c->n_body ? size : c->n_body;
    c->n_body -= n;
    if (c->n_body == 0)
        connection_answer(c, &hello);
}

/* As connection_send(). */
static int connection_on_ready(int fd, Connection *c)
{
    ssize_t n;

    if (c->answer)
        return connection_send(fd, c);
    n = recv(fd, input, sizeof input, 0);
    if (n <= 0)
        return n < 0 && errno == EAGAIN ? 1 : -1;
    connection_on_input(c, input, (size_t)n);
    return c->answer ? connection_send(fd, c) : 1;
}

static void serve(int epoll, int fd, int operation)
{
    Connection *c = &connections[fd];
    bool was_full = c->answer;
    int r = connection_on_ready(fd, c);
    struct epoll_event event = {.events = r == 0 ? EPOLLOUT : EPOLLIN, .data.fd = fd};

    if (r < 0) {
        memset(c, 0, sizeof *c);
        close(fd);
    } else if (operation == EPOLL_CTL_ADD || was_full != (r == 0)) {
        epoll_ctl(epoll, operation, fd, &event);
    }
}

static void accept_all(int epoll, int listener)
{
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd < 0)
            return;
        if (fd >= N_CONNECTIONS)
            close(fd);
        else
            serve(epoll, fd, EPOLL_CTL_ADD);
    }
}

static int listen_at(int port)
{
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&a, sizeof a) < 0 || listen(fd, SOMAXCONN) < 0) {
        perror("limit");
        exit(1);
    }
    return fd;
}

int main(int argc, char **argv)
{
    int listener = listen_at(argc > 1 ? atoi(argv[1]) : 8000), epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event events[256], event = {.events = EPOLLIN, .data.fd = listener};

    hello = answer_new(13, "");
    goodbye = answer_new(13, "Connection: close\r\n");
    big = answer_new(BIG, "");
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int n = epoll_wait(epoll, events, 256, -1);

        for (int i = 0; i < n; i++) {
            if (events[i].data.fd == listener)
                accept_all(epoll, listener);
            else
                serve(epoll, events[i].data.fd, EPOLL_CTL_MOD);
        }
    }
}
