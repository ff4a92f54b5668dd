/* SPDX-License-Identifier: MIT */
/* Unit tests of ipc/channel: what is sent arrives, what is malformed does not, and no descriptor leaks either
 * way. */
#include "ipc/channel.h"

#include "base/cleanup.h"
#include "tap.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

typedef struct Header { /* as it is on the wire */
    uint32_t type, generation, seat;
    int32_t pid;
    uint32_t text_size;
} Header;

static int count_fds(void)
{
    DIR *d = opendir("/proc/self/fd");
    int n = 0;

    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

/* Sends raw octets, with n_fds copies of descriptor 0. */
static void send_raw(int fd, const void *data, size_t size, size_t n_fds)
{
    union {
        struct cmsghdr header;
        char data[CMSG_SPACE(200 * sizeof(int))];
    } control = {0};
    struct iovec iov = {(void *)data, size};
    struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};

    if (n_fds > 0) {
        struct cmsghdr *c;

        mh.msg_control = &control;
        mh.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
        c = CMSG_FIRSTHDR(&mh);
        *c = (struct cmsghdr){
            .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(n_fds * sizeof(int))};
    }
    if (sendmsg(fd, &mh, MSG_NOSIGNAL) < 0)
        printf("# sendmsg: %m\n");
}

static void test_round_trip(const int ends[2], Message *m)
{
    struct stat sent, got;
    int fd = memfd_create("test", 0);

    memset(m, 0xaa, sizeof(*m));
    *m = (Message){
        .type = MESSAGE_SPAWNED, .generation = 7, .seat = 3, .pid = -12, .n_fds = 2, .fds = {fd, 0}};
    strcpy(m->text, "why not");
    is_int(channel_send(ends[0], m), 0);
    ok(fcntl(fd, F_GETFD) == 0, "the sender's descriptor stays open");
    fstat(fd, &sent);
    close(fd);
    memset(m, 0xaa, sizeof(*m));
    is_int(channel_receive(ends[1], m), 0);
    ok(m->type == MESSAGE_SPAWNED && m->generation == 7 && m->seat == 3 && m->pid == -12 && m->n_fds == 2);
    is_string(m->text, "why not");
    ok(fstat(m->fds[0], &got) == 0 && got.st_ino == sent.st_ino, "the same file");
    ok(fcntl(m->fds[0], F_GETFD) == FD_CLOEXEC);
    close(TAKE_FD(m->fds[0]));
    message_close_fds(m);
    is_int(m->n_fds, 0);
    is_int(channel_receive(ends[1], m), -EAGAIN);
}

static void test_limits(const int ends[2], Message *m)
{
    *m = (Message){.type = MESSAGE_HELLO, .n_fds = MESSAGE_FDS_MAX};
    memset(m->text, 'x', sizeof(m->text)); /* no NUL */
    is_int(channel_send(ends[0], m), 0);
    is_int(channel_receive(ends[1], m), 0);
    is_int(strlen(m->text), MESSAGE_TEXT_MAX - 1);
    is_int(m->n_fds, MESSAGE_FDS_MAX);
    message_close_fds(m);

    *m = (Message){.type = MESSAGE_TYPE_LAST_};
    is_int(channel_send(ends[0], m), 0);
    is_int(channel_receive(ends[1], m), 0);
    is_string(m->text, "");
    m->n_fds = MESSAGE_FDS_MAX + 1;
    is_int(channel_send(ends[0], m), -EINVAL);
    *m = (Message){.type = 0};
    is_int(channel_send(ends[0], m), -EINVAL);
    *m = (Message){.type = MESSAGE_TYPE_LAST_ + 1};
    is_int(channel_send(ends[0], m), -EINVAL);
    is_int(channel_receive(ends[1], m), -EAGAIN);
}

static void test_malformed(const int ends[2], Message *m)
{
    struct {
        Header header;
        char text[MESSAGE_TEXT_MAX];
    } raw = {.header = {.type = MESSAGE_FAILED, .text_size = 3}, .text = "abc"};
    Header h = raw.header;
    int before = count_fds();

#define REFUSED(what, size, copies)                                    \
    send_raw(ends[0], &raw, size, copies);                             \
    ok(channel_receive(ends[1], m) == -EPROTO && m->n_fds == 0, what); \
    raw.header = h
    send_raw(ends[0], &raw, sizeof(h) + 3, 1);
    ok(channel_receive(ends[1], m) == 0 && m->n_fds == 1 && strcmp(m->text, "abc") == 0, "a good one");
    message_close_fds(m);
    REFUSED("empty packet", 0, 0);
    REFUSED("empty packet with a descriptor", 0, 1);
    REFUSED("one octet", 1, 1);
    REFUSED("header cut short", sizeof(h) - 1, 1);
    REFUSED("text too short", sizeof(h) + 2, 1);
    REFUSED("text too long", sizeof(h) + 4, 1);
    raw.header.type = 0;
    REFUSED("type 0", sizeof(h) + 3, 1);
    raw.header.type = MESSAGE_TYPE_LAST_ + 1;
    REFUSED("type past the last", sizeof(h) + 3, 1);
    raw.header.text_size = UINT32_MAX;
    REFUSED("text size overflow", sizeof(h) + 3, 1);
    raw.text[1] = '\0';
    REFUSED("NUL in the text", sizeof(h) + 3, 1);
    memset(raw.text, 'x', sizeof(raw.text));
    raw.header.text_size = MESSAGE_TEXT_MAX - 1;
    REFUSED("packet longer than the room", sizeof(raw), 1);
    REFUSED("more descriptors than the room", sizeof(h) + 3, MESSAGE_FDS_MAX + 1);
    REFUSED("many more descriptors", sizeof(h) + 3, 200);
    is_int(count_fds(), before);
#undef REFUSED
}

static void test_end(void)
{
    int ends[2];
    Message m = {.type = MESSAGE_FAILED, .text = "last words"};

    channel_new_pair(ends);
    channel_send(ends[0], &m);
    close(ends[0]);
    is_int(channel_receive(ends[1], &m), 0);
    is_string(m.text, "last words");
    is_int(channel_receive(ends[1], &m), CHANNEL_E_EOF);
    is_int(channel_receive(ends[1], &m), CHANNEL_E_EOF);
    is_int(channel_send(ends[1], &m), -EPIPE);
    close(ends[1]);

    channel_new_pair(ends);
    channel_send(ends[1], &m); /* never read by the other end */
    channel_send(ends[0], &m);
    close(ends[0]);
    is_int(channel_receive(ends[1], &m), 0);
    is_string(m.text, "last words");
    is_int(channel_receive(ends[1], &m), CHANNEL_E_EOF);
    close(ends[1]);

    channel_new_pair(ends);
    channel_send(ends[1], &m);
    close(ends[0]);
    is_int(channel_send(ends[1], &m), -EPIPE);
    close(ends[1]);
}

static void test_full(void)
{
    Message m = {.type = MESSAGE_FAILED}, got;
    int ends[2], n, r;

    memset(m.text, 'x', sizeof(m.text));
    channel_new_pair(ends);
    for (n = 0; (r = channel_send(ends[0], &m)) == 0 && n < 100000; n++)
        ;
    is_int(r, -EAGAIN);
    ok(n > 1, "%d messages fit", n);
    is_int(channel_receive(ends[1], &got), 0);
    is_int(channel_send(ends[0], &m), 0);
    close(ends[0]);
    close(ends[1]);
}

int main(void)
{
    int ends[2], before = count_fds();
    Message m;

    is_int(channel_new_pair(ends), 0);
    for (int i = 0; i < 2; i++)
        ok(fcntl(ends[i], F_GETFD) == FD_CLOEXEC && (fcntl(ends[i], F_GETFL) & O_NONBLOCK), "end %d", i);
    test_round_trip(ends, &m);
    test_limits(ends, &m);
    test_malformed(ends, &m);
    close(ends[0]);
    close(ends[1]);
    test_end();
    test_full();
    is_int(count_fds(), before);
    return tap_done();
}
