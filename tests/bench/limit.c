/* SPDX-License-Identifier: MIT */
/* The limit of the benchmark: what a server on this machine would reach if it did nothing but read requests
 * and send answers made beforehand. It is no web server: a request is what ends in CRLFCRLF, plus
 * Content-Length octets, and only as much of it is looked at as the workloads need. Compiled with floor.c
 * and -DFLOOR it is the floor: the same loop, but GET calls a WSGI application.
 *
 *     limit [-b] [-d] [-w WORKERS] [-a APP] PORT [FILE]
 *
 * -b: the answers of a turn of the loop are kept, and sent at its end; else each is sent when it is made.
 * -d: TCP_DEFER_ACCEPT. -a: the application of the floor, MODULE:CALLABLE.
 *
 * GET / answers 13 octets, /json 1 KiB, /big 100 KiB, /gen 100 chunks of 1 KiB with one send, /file FILE by sendfile;
 * POST /echo answers with the body, other POSTs discard it and answer with 13 octets. Only small answers may be
 * pipelined. */
#include "limit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define CONNECTIONS_MAX 20000
#define INPUT_MAX 262144
#define ECHO_MAX 4096
#define BATCH_MAX 64
#define ARENA_MAX (BATCH_MAX * ANSWER_MAX)

typedef struct Span {
    const char *data;
    size_t size;
} Span;

typedef struct Connection {
    char *kept; /* octets of a request that has not arrived whole */
    size_t n_kept;
    size_t n_discard; /* octets of a body still to discard */
    Span unsent;
    char *owned; /* what unsent points into, where it was in the arena */
    off_t n_file;
    bool is_open, closing, is_watched;
} Connection;

typedef struct Answer {
    int fd;
    Span span;
} Answer;

static Connection connections[CONNECTIONS_MAX]; /* by descriptor */
static char input[INPUT_MAX], arena[ARENA_MAX];
static size_t n_arena;
static Answer answers[BATCH_MAX];
static size_t n_answers;
static Span hello, goodbye, json, big, gen;
static int epoll_fd, file_fd = -1;
static off_t file_size;
static bool is_batching;

/* --- answers made beforehand --- */

static size_t head_write(char *to, const char *type, const char *framing)
{
    return (size_t)sprintf(to,
                           "HTTP/1.1 200 OK\r\nServer: limit\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
                           "Content-Type: %s\r\n%s\r\n\r\n",
                           type, framing);
}

static char *allocate(size_t size)
{
    char *data = malloc(size);

    if (!data)
        abort();
    return data;
}

static Span answer_new(size_t n_body, const char *type, const char *fields)
{
    char *data = allocate(n_body + 512), framing[128];
    size_t n;

    sprintf(framing, "Content-Length: %zu%s", n_body, fields);
    n = head_write(data, type, framing);
    memset(data + n, 'x', n_body);
    return (Span){data, n + n_body};
}

static Span answer_new_chunked(size_t n_chunks)
{
    char *data = allocate(n_chunks * 1100 + 512);
    size_t n = head_write(data, "text/plain", "Transfer-Encoding: chunked");

    for (size_t i = 0; i < n_chunks; i++) {
        n += (size_t)sprintf(data + n, "400\r\n");
        memset(data + n, 'x', 1024);
        memcpy(data + n + 1024, "\r\n", 2);
        n += 1026;
    }
    n += (size_t)sprintf(data + n, "0\r\n\r\n");
    return (Span){data, n};
}

static void make_answers(const char *file)
{
    struct stat s;

    hello = answer_new(13, "text/plain", "");
    goodbye = answer_new(13, "text/plain", "\r\nConnection: close");
    json = answer_new(1024, "application/json", "");
    big = answer_new(102400, "text/plain", "");
    gen = answer_new_chunked(100);
    file_fd = open(file, O_RDONLY | O_CLOEXEC);
    if (file_fd >= 0 && fstat(file_fd, &s) == 0)
        file_size = s.st_size;
}

/* --- sending --- */

static void connection_watch(int fd, Connection *c, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.fd = fd};

    epoll_ctl(epoll_fd, c->is_watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event);
    c->is_watched = true;
}

static void connection_close(int fd, Connection *c)
{
    free(c->kept);
    free(c->owned);
    memset(c, 0, sizeof *c);
    close(fd);
}

/* Sends what it can: 1 all, 0 the socket is full, -1 error. */
static int connection_send(int fd, Connection *c)
{
    ssize_t n;

    while (c->unsent.size > 0) {
        n = send(fd, c->unsent.data, c->unsent.size, MSG_NOSIGNAL);
        if (n < 0)
            return errno == EAGAIN ? 0 : -1;
        c->unsent.data += n;
        c->unsent.size -= (size_t)n;
    }
    while (c->n_file > 0) {
        off_t at = file_size - c->n_file;

        n = sendfile(fd, file_fd, &at, (size_t)c->n_file);
        if (n <= 0)
            return n < 0 && errno == EAGAIN ? 0 : -1;
        c->n_file -= n;
    }
    return 1;
}

/* The arena will be used again: what is not sent is copied. */
static void connection_keep_unsent(Connection *c)
{
    if (c->unsent.size == 0 || c->unsent.data < arena || c->unsent.data >= arena + ARENA_MAX)
        return;
    free(c->owned);
    c->owned = allocate(c->unsent.size);
    c->unsent.data = memcpy(c->owned, c->unsent.data, c->unsent.size);
}

static void flush_answers(void)
{
    for (size_t i = 0; i < n_answers; i++) {
        int fd = answers[i].fd, r;
        Connection *c = &connections[fd];

        c->unsent = answers[i].span;
        r = connection_send(fd, c);
        if (r < 0 || (r > 0 && c->closing)) {
            connection_close(fd, c);
        } else if (r == 0) {
            connection_keep_unsent(c);
            connection_watch(fd, c, EPOLLOUT);
        }
    }
    n_answers = n_arena = 0;
}

/* --- requests --- */

static void head_add_field(Head *h, const char *line, const char *end)
{
    if (line[0] == 'C' && end - line > 16 && memcmp(line, "Content-Length: ", 16) == 0)
        h->n_body = strtoul(line + 16, NULL, 10);
    else if (line[0] == 'C' && end - line == 17 && memcmp(line, "Connection: close", 17) == 0)
        h->closing = true;
#ifdef FLOOR
    const char *colon = memchr(line, ':', (size_t)(end - line));

    if (colon && h->n_fields < FIELDS_MAX)
        h->fields[h->n_fields++] =
            (Field){line, colon + 2, (size_t)(colon - line), (size_t)(end - colon - 2)};
#endif
}

/* False: the head is not here as a whole. */
static bool head_parse(Head *h, const char *data, size_t size)
{
    const char *line = memchr(data, '\n', size), *next;

    h->data = data;
    h->n_body = h->n_fields = 0;
    h->closing = false;
    for (; line && (next = memchr(line + 1, '\n', (size_t)(data + size - line - 1))); line = next) {
        if (next == line + 2) {
            h->size = (size_t)(next + 1 - data);
            return true;
        }
        head_add_field(h, line + 1, next - 1);
    }
    return false;
}

/* Where n octets of an answer on this connection can be written; those of pipelined requests become one. */
static char *answer_reserve(int fd, size_t n)
{
    Answer *last = &answers[n_answers - 1];
    char *at = arena + n_arena;

    if (n_answers == 0 || last->fd != fd)
        answers[n_answers++] = (Answer){fd, {at, n}};
    else
        last->span.size += n;
    n_arena += n;
    return at;
}

static void answer_copy(int fd, Span s)
{
    memcpy(answer_reserve(fd, s.size), s.data, s.size);
}

static void answer_echo(int fd, const char *body, size_t n)
{
    char head[512], framing[64];
    size_t n_head;
    char *at;

    sprintf(framing, "Content-Length: %zu", n);
    n_head = head_write(head, "text/plain", framing);
    at = answer_reserve(fd, n_head + n);
    memcpy(at, head, n_head);
    memcpy(at + n_head, body, n);
}

#ifdef FLOOR
static void answer_get(int fd, const Head *h)
{
    char *at = arena + n_arena;

    answer_reserve(fd, floor_answer(h, at));
}
#else
static void answer_file(int fd)
{
    char head[512], framing[64];

    sprintf(framing, "Content-Length: %lld", (long long)file_size);
    answer_copy(fd, (Span){head, head_write(head, "application/octet-stream", framing)});
    connections[fd].n_file = file_size;
}

static void answer_get(int fd, const Head *h)
{
    char first = h->data[5];

    if (first == 'f')
        answer_file(fd);
    else if (first == 'b' || first == 'g')
        answers[n_answers++] = (Answer){fd, first == 'b' ? big : gen};
    else if (first == 'j')
        answer_copy(fd, json);
    else
        answer_copy(fd, h->closing ? goodbye : hello);
}
#endif

/* Answers the request at the front of data; returns how much of it was used: 0 if it is not here as a whole. */
static size_t connection_on_request(int fd, Connection *c, const char *data, size_t size)
{
    Head h;

    if (!head_parse(&h, data, size))
        return 0;
    c->closing = h.closing;
    if (data[0] == 'G') {
        answer_get(fd, &h);
        return h.size;
    }
    if (data[6] != 'e') {
        c->n_discard = h.n_body;
        return h.size;
    }
    if (size < h.size + h.n_body || h.n_body > ECHO_MAX)
        return 0;
    answer_echo(fd, data + h.size, h.n_body);
    return h.size + h.n_body;
}

static size_t connection_discard(int fd, Connection *c, size_t size)
{
    size_t n = size < c->n_discard ? size : c->n_discard;

    c->n_discard -= n;
    if (c->n_discard == 0)
        answer_copy(fd, hello);
    return n;
}

static void connection_keep(Connection *c, const char *data, size_t size)
{
    if (size > 0 && !c->kept)
        c->kept = allocate(INPUT_MAX);
    if (size > 0)
        memcpy(c->kept, data, size);
    c->n_kept = size;
}

static void connection_on_input(int fd, Connection *c, const char *data, size_t size)
{
    while (size > 0) {
        size_t n =
            c->n_discard > 0 ? connection_discard(fd, c, size) : connection_on_request(fd, c, data, size);

        if (n == 0)
            break;
        data += n;
        size -= n;
        if (n_arena > ARENA_MAX - 2 * ANSWER_MAX)
            flush_answers();
    }
    connection_keep(c, data, size);
    if (!is_batching || n_answers == BATCH_MAX || n_arena > ARENA_MAX / 2)
        flush_answers();
}

/* False: the connection is over. */
static bool connection_on_readable(int fd, Connection *c)
{
    ssize_t n;

    if (c->n_kept > 0)
        memcpy(input, c->kept, c->n_kept);
    n = recv(fd, input + c->n_kept, INPUT_MAX - c->n_kept, 0);
    if (n <= 0)
        return n < 0 && errno == EAGAIN;
    connection_on_input(fd, c, input, c->n_kept + (size_t)n);
    return true;
}

static bool connection_on_writable(int fd, Connection *c)
{
    int r = connection_send(fd, c);

    if (r > 0)
        connection_watch(fd, c, EPOLLIN);
    return r >= 0 && !(r > 0 && c->closing);
}

/* --- the loop --- */

static bool accept_one(int listener)
{
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    Connection *c;

    if (fd < 0)
        return false;
    if (fd >= CONNECTIONS_MAX) {
        close(fd);
        return true;
    }
    c = &connections[fd];
    c->is_open = true;
    if (!connection_on_readable(fd, c))
        connection_close(fd, c);
    else if (c->is_open && !c->is_watched && !(c->closing && c->n_discard == 0))
        connection_watch(fd, c, EPOLLIN);
    return true;
}

static void serve(int fd, uint32_t events)
{
    Connection *c = &connections[fd];

    if (!(events & EPOLLOUT ? connection_on_writable(fd, c) : connection_on_readable(fd, c)))
        connection_close(fd, c);
}

static void loop_turn(int listener, bool is_alone)
{
    struct epoll_event events[256];
    int n = epoll_wait(epoll_fd, events, 256, -1);
    bool must_accept = false;

    for (int i = 0; i < n; i++) {
        if (events[i].data.fd == listener)
            must_accept = true;
        else
            serve(events[i].data.fd, events[i].events);
    }
    while (must_accept && accept_one(listener) && is_alone)
        ;
    flush_answers();
}

static int listen_at(int port, bool defers)
{
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (defers)
        setsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&a, sizeof a) < 0 || listen(fd, SOMAXCONN) < 0) {
        perror("limit");
        exit(1);
    }
    return fd;
}

int main(int argc, char **argv)
{
    int option, listener, workers = 1;
    bool defers = false;
    const char *app = NULL;
    struct epoll_event event = {.events = EPOLLIN | EPOLLEXCLUSIVE};

    while ((option = getopt(argc, argv, "bdw:a:")) != -1) {
        is_batching = is_batching || option == 'b';
        defers = defers || option == 'd';
        workers = option == 'w' ? atoi(optarg) : workers;
        app = option == 'a' ? optarg : app;
    }
    if (optind >= argc) {
        fputs("usage: limit [-b] [-d] [-w WORKERS] [-a APP] PORT [FILE]\n", stderr);
        return 64;
    }
    signal(SIGPIPE, SIG_IGN); /* sendfile() knows no MSG_NOSIGNAL */
    listener = event.data.fd = listen_at(atoi(argv[optind]), defers);
    make_answers(optind + 1 < argc ? argv[optind + 1] : "");
    for (int i = 1; i < workers && fork() != 0; i++)
        ;
#ifdef FLOOR
    floor_start(app, atoi(argv[optind]));
#endif
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event);
    for (;;)
        loop_turn(listener, workers == 1);
}
