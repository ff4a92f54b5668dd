/* SPDX-License-Identifier: MIT */
/* The check of a worker that has still to prove its generation. */
#include "worker/check.h"

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/escape.h"
#include "worker/connection.h"
#include "worker/drain.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define ANSWER_MAX 4096
#define QUOTED_MAX 256

struct Check {
    Source source;
    int fd;            /* the client's end */
    Listener listener; /* what the server's end would have come from */
    Buffer answer;     /* its first ANSWER_MAX octets */
};

/* HTTP/1.0: the answer ends with the connection, and its body is not chunked. */
static int send_request(int fd, const Config *c)
{
    _cleanup_(buffer_deinit) Buffer request = {0};
    int r = buffer_printf(&request,
                          "GET %s HTTP/1.0\r\nHost: %s\r\nUser-Agent: cgunicorn-check/" PACKAGE_VERSION
                          "\r\nAccept: */*\r\n\r\n",
                          c->reload_check_path, c->reload_check_host);

    if (r < 0)
        return r;
    return send(fd, buffer_head(&request), buffer_size(&request), MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* The application sees a client at the loopback address. */
static int connect_to_itself(Loop *l, Check *check)
{
    const struct sockaddr_in peer = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_storage address = {0};
    int ends[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) < 0)
        return -errno;
    check->fd = ends[0];
    descriptors_add(&l->descriptors, check->fd);
    memcpy(&address, &peer, sizeof peer);
    return connection_new(l, &check->listener, ends[1], &address);
}

int check_begin(Loop *l)
{
    Check *check = l->check = calloc(1, sizeof *check);
    int r;

    if (!check)
        return -ENOMEM;
    l->n_until_replaced++; /* the check's own response is none of workers.max_requests */
    check->source.type = SOURCE_CHECK;
    check->fd = -EBADF;
    snprintf(check->listener.name, sizeof check->listener.name, "localhost");
    r = connect_to_itself(l, check);
    if (r == 0)
        r = loop_watch(l, check->fd, EPOLLIN, check);
    return r < 0 ? r : send_request(check->fd, l->config);
}

/* The first line that is not empty, without its blanks in front. */
static Span first_line(Span text)
{
    size_t n = 0;

    while (text.size > 0 && strchr(" \t\r\n", *text.data))
        text = (Span){text.data + 1, text.size - 1};
    while (n < text.size && !strchr("\r\n", text.data[n]))
        n++;
    return (Span){text.data, n};
}

/* The status line without its version, and a line of the body; what is not there is empty. */
static void split_answer(const Check *check, Span *ret_status, Span *ret_line)
{
    static const char version[] = "HTTP/1.1 ", gap[] = "\r\n\r\n";
    Span a = buffer_span(&check->answer);
    const char *body = memmem(a.data, a.size, gap, strlen(gap));

    *ret_status = *ret_line = (Span){"", 0};
    if (a.size < strlen(version) || memcmp(a.data, version, strlen(version)) != 0)
        return;
    *ret_status = first_line((Span){a.data + strlen(version), a.size - strlen(version)});
    if (body)
        *ret_line = first_line((Span){body, a.size - (size_t)(body - a.data)});
}

static bool is_good(Span status)
{
    return status.size >= 3 && status.data[0] >= '1' && status.data[0] < '5';
}

/* One line. */
static void describe_failure(const Config *c, Span status, Span line, char *to, size_t size)
{
    char quoted_status[QUOTED_MAX], quoted_line[QUOTED_MAX];

    escape_bytes(quoted_status, sizeof quoted_status, status);
    escape_bytes(quoted_line, sizeof quoted_line, line);
    if (status.size == 0)
        snprintf(to, size, "reload.check_path: GET %s was not answered", c->reload_check_path);
    else
        snprintf(to, size, "reload.check_path: GET %s was answered with %s%s%s", c->reload_check_path,
                 quoted_status, line.size > 0 ? ": " : "", quoted_line);
}

static void check_finish(Loop *l)
{
    Check *check = l->check;
    MessageType type = MESSAGE_READY;
    char text[MESSAGE_TEXT_MAX] = "";
    Span status, line;

    (void)epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, check->fd, NULL);
    descriptors_remove(&l->descriptors, check->fd);
    closep(&check->fd);
    check->fd = -EBADF;
    split_answer(check, &status, &line);
    if (!is_good(status)) {
        type = MESSAGE_FAILED;
        describe_failure(l->config, status, line, text, sizeof text);
    }
    (void)channel_end_say(&l->channel, type, text); /* the queue has room: LOADED alone was sent before */
    if (type == MESSAGE_FAILED)
        drain_begin(l, false, false);
}

void check_on_event(Loop *l)
{
    Check *check = l->check;
    ssize_t n = recv(check->fd, l->scratch, sizeof l->scratch, 0);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n > 0)
        (void)buffer_append(&check->answer, l->scratch,
                            MIN((size_t)n, ANSWER_MAX - buffer_size(&check->answer)));
    else
        check_finish(l);
}

Check *check_free(Check *c)
{
    if (!c)
        return NULL;
    closep(&c->fd);
    buffer_deinit(&c->answer);
    free(c);
    return NULL;
}
