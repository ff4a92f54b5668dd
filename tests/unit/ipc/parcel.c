/* SPDX-License-Identifier: MIT */
/* Tests of ipc/parcel: what goes in comes out, and nothing else does. */
#include "ipc/parcel.h"

#include "base/cleanup.h"
#include "ipc/channel.h"
#include "tap.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define HEAD "GET / HTTP/1.1\r\n\r\n"

static int queue[2], client[2];

/* As if a thread of the application had taken all descriptors but so many a moment before, for so many calls, which
 * come after those that find all of them. */
static int n_left, n_short, n_before;

/* As if another worker had taken the first packet right before this call; 0: none does. */
static int steals_before;

/* The next reads fail. */
static bool no_memory;

/* A complete request; body: of that many octets in memory, or 0 for none. */
static Parcel new_parcel(size_t body)
{
    Parcel p = {
        .fd = client[0],
        .flags = PARCEL_READY | PARCEL_HTTPS | (body > 0 ? PARCEL_HAS_BODY : 0),
        .listener = 3,
        .started_usec = 1000,
        .ready_usec = 2000,
        .request_id = UINT64_C(0xfedcba9876543210),
        .address = "192.0.2.1",
        .port = "65535",
        .server_address = "2001:db8::1",
        .server_port = "80",
        .body_fd = -EBADF,
    };

    is_int(buffer_append_string(&p.in, HEAD), 0);
    for (size_t i = 0; i < body; i++)
        (void)buffer_append(&p.body, &"0123456789"[i % 10], 1);
    return p;
}

static void free_parcel(Parcel *p)
{
    buffer_deinit(&p->in);
    buffer_deinit(&p->body);
}

static int lowest_free_fd(void)
{
    int fd = dup(STDERR_FILENO);

    close(fd);
    return fd;
}

ssize_t recvmsg(int fd, struct msghdr *mh, int flags)
{
    struct rlimit limit, less;
    ssize_t n;

    if (steals_before > 0 && --steals_before == 0)
        recv(fd, (char[1]){0}, 1, MSG_DONTWAIT);
    getrlimit(RLIMIT_NOFILE, &limit);
    less = limit;
    if (n_before > 0)
        n_before--;
    else if (n_short > 0 && n_short--)
        less.rlim_cur = (rlim_t)(lowest_free_fd() + n_left);
    setrlimit(RLIMIT_NOFILE, &less);
    n = syscall(SYS_recvmsg, fd, mh, flags);
    setrlimit(RLIMIT_NOFILE, &limit);
    return n;
}

ssize_t pread(int fd, void *to, size_t n, off_t offset)
{
    if (!no_memory)
        return syscall(SYS_pread64, fd, to, n, offset);
    errno = ENOMEM;
    return -1;
}

static bool is_same_file(int a, int b)
{
    struct stat s, t;

    return fstat(a, &s) == 0 && fstat(b, &t) == 0 && s.st_ino == t.st_ino && s.st_dev == t.st_dev;
}

static bool is_same_octets(const Buffer *a, const Buffer *b)
{
    return span_equal(buffer_span(a), buffer_span(b));
}

static void test_round_trip(size_t body)
{
    int lowest = lowest_free_fd();
    Parcel p = new_parcel(body), got;
    usec_t ready = 0;

    is_int(parcel_send(queue[0], &p), 0);
    is_int(parcel_peek(queue[1], &ready), 0);
    is_int(ready, 2000);
    is_int(parcel_receive(queue[1], &got), 0);
    ok(is_same_file(got.fd, client[0]) && fcntl(got.fd, F_GETFD) == FD_CLOEXEC);
    is_int(got.flags, p.flags);
    is_int(got.listener, 3);
    is_int(got.deadline_usec, 0);
    is_int(got.started_usec, 1000);
    is_int(got.ready_usec, 2000);
    ok(got.request_id == p.request_id);
    is_string(got.address, "192.0.2.1");
    is_string(got.port, "65535");
    is_string(got.server_address, "2001:db8::1");
    is_string(got.server_port, "80");
    ok(is_same_octets(&got.in, &p.in) && is_same_octets(&got.body, &p.body), "%zu octets of a body", body);
    is_int(got.body_fd, -EBADF);
    parcel_deinit(&got);
    is_int(parcel_receive(queue[1], &got), -EAGAIN);
    is_int(parcel_peek(queue[1], &ready), -EAGAIN);
    is_int(lowest_free_fd(), lowest);
    free_parcel(&p);
}

static void test_body_in_file(void)
{
    Parcel p = new_parcel(20000), got;

    p.body_fd = memfd_create("body", MFD_CLOEXEC);
    p.body_file_size = 7;
    is_int(write(p.body_fd, "further", 7), 7);
    is_int(parcel_send(queue[0], &p), 0);
    is_int(parcel_receive(queue[1], &got), 0);
    ok(is_same_file(got.body_fd, p.body_fd));
    is_int(got.body_file_size, 7);
    is_int(buffer_size(&got.body), 20000);
    parcel_deinit(&got);
    close(p.body_fd);
    free_parcel(&p);
}

static void test_idle(void)
{
    Parcel p = {.fd = client[0], .flags = PARCEL_KEPT_ALIVE, .deadline_usec = 5, .body_fd = -EBADF}, got;
    usec_t ready = 1;

    is_int(parcel_send(queue[0], &p), 0);
    is_int(parcel_peek(queue[1], &ready), 0);
    is_int(ready, 0);
    is_int(parcel_receive(queue[1], &got), 0);
    is_int(got.deadline_usec, 5);
    is_int(got.flags, PARCEL_KEPT_ALIVE);
    is_int(buffer_size(&got.in), 0);
    is_string(got.address, "");
    parcel_deinit(&got);
}

/* What p says does not hold together: it can be sent, as whoever sends it may be wrong, and is not taken. */
static void refuse(const Parcel *p, const char *what)
{
    int lowest = lowest_free_fd();
    Parcel got;

    ok(parcel_send(queue[0], p) == 0, "%s", what);
    ok(parcel_receive(queue[1], &got) == -EPROTO, "%s", what);
    ok(got.fd == -EBADF && got.body_fd == -EBADF && buffer_size(&got.in) == 0, "%s", what);
    ok(lowest_free_fd() == lowest, "%s", what);
}

static void test_contradictions(void)
{
    Parcel good = new_parcel(5), p;

#define WITH(what, ...)   \
    do {                  \
        p = good;         \
        __VA_ARGS__;      \
        refuse(&p, what); \
    } while (0)
    WITH("unknown flag", p.flags |= PARCEL_FLAGS_ + 1);
    WITH("complete, and since when", p.ready_usec = 0);
    WITH("complete with a deadline", p.deadline_usec = 1);
    WITH("a body that it does not have", p.flags &= ~(unsigned)PARCEL_HAS_BODY);
    WITH("a request without a head", p.in.end = p.in.start);
    WITH("no address", strcpy(p.address, "192.0.2.256"));
    WITH("an endless address", memset(p.address, '1', sizeof p.address));
    WITH("no port", strcpy(p.port, "x"));
    WITH("an endless port", memset(p.server_port, '1', sizeof p.server_port));
    WITH("no address of a server", strcpy(p.server_address, "a\nb"));
#undef WITH
    free_parcel(&good);
}

static void test_wrong_descriptors(void)
{
    Parcel good = new_parcel(5), p = good;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), pipes[2], blocking[2];
    int datagrams = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);

    is_int(listen(listener, 1), 0);
    is_int(pipe(pipes), 0);
    is_int(socketpair(AF_UNIX, SOCK_STREAM, 0, blocking), 0);
    p.fd = STDERR_FILENO;
    refuse(&p, "no socket");
    p.fd = listener;
    refuse(&p, "a listener");
    p.fd = datagrams;
    refuse(&p, "no stream");
    p.fd = blocking[0];
    refuse(&p, "one that blocks");
    p.fd = queue[0];
    refuse(&p, "the queue itself");
    p = good;
    p.body_file_size = 1;
    p.body_fd = pipes[0];
    refuse(&p, "a pipe for a body");
    p.body_fd = memfd_create("body", 0);
    refuse(&p, "a file that is too short");
    close(p.body_fd);
    close(listener);
    close(datagrams);
    for (int i = 0; i < 2; i++) {
        close(pipes[i]);
        close(blocking[i]);
    }
    free_parcel(&good);
}

static void test_octets_of_others(void)
{
    char octets[PARCEL_INLINE_MAX + 1024];
    Parcel got;

    memset(octets, 1, sizeof octets);
    for (size_t size = 0; size <= sizeof octets; size = size * 2 + 1) {
        is_int(send(queue[0], octets, size, 0), (long)size);
        is_int(parcel_receive(queue[1], &got), -EPROTO);
    }
    is_int(parcel_receive(queue[1], &got), -EAGAIN);
}

/* More descriptors than any connection has. */
static void test_descriptors_of_others(void)
{
    union {
        struct cmsghdr header;
        char data[CMSG_SPACE(16 * sizeof(int))];
    } control = {0};
    char octets[512] = "";
    struct iovec iov = {octets, sizeof octets};
    int lowest = lowest_free_fd(), *fds = (int *)CMSG_DATA(&control.header);
    Parcel got;

    for (size_t n = 1; n <= 16; n++) {
        struct msghdr mh = {.msg_iov = &iov,
                            .msg_iovlen = 1,
                            .msg_control = control.data,
                            .msg_controllen = CMSG_SPACE(n * sizeof(int))};

        control.header = (struct cmsghdr){
            .cmsg_len = CMSG_LEN(n * sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
        fds[n - 1] = STDERR_FILENO;
        is_int(sendmsg(queue[0], &mh, 0), sizeof octets);
        is_int(parcel_receive(queue[1], &got), -EPROTO);
        is_int(lowest_free_fd(), lowest);
    }
}

/* All that is not taken is where it was. */
static void test_no_descriptors(void)
{
    struct rlimit limit, none;
    Parcel p = new_parcel(0), got;

    is_int(parcel_send(queue[0], &p), 0);
    getrlimit(RLIMIT_NOFILE, &limit);
    none = limit;
    none.rlim_cur = (rlim_t)lowest_free_fd();
    setrlimit(RLIMIT_NOFILE, &none);
    is_int(parcel_receive(queue[1], &got), -EMFILE);
    setrlimit(RLIMIT_NOFILE, &limit);
    is_int(parcel_receive(queue[1], &got), 0);
    parcel_deinit(&got);
    free_parcel(&p);
}

/* Of the calls of recvmsg(2), those behind `before` meet `shortage` times no more descriptors than `left`: nothing is
 * lost, as the first ones look, and have the descriptors when the packet leaves the queue. */
static void test_short(int before, int shortage, int left)
{
    int lowest = lowest_free_fd();
    Parcel p = new_parcel(20000), got;

    is_int(parcel_send(queue[0], &p), 0);
    n_before = before;
    n_short = shortage;
    n_left = left;
    ok(parcel_receive(queue[1], &got) == 0, "%d calls, then %d with %d", before, shortage, left);
    n_before = n_short = 0;
    ok(is_same_file(got.fd, client[0]));
    ok(is_same_octets(&got.in, &p.in) && is_same_octets(&got.body, &p.body));
    parcel_deinit(&got);
    is_int(lowest_free_fd(), lowest);
    free_parcel(&p);
}

/* The connection is out of the queue: it is not lost. */
static void test_no_memory(void)
{
    int lowest = lowest_free_fd();
    Parcel p = new_parcel(20000), got;

    is_int(parcel_send(queue[0], &p), 0);
    no_memory = true;
    is_int(parcel_receive(queue[1], &got), PARCEL_E_CUT);
    no_memory = false;
    ok(is_same_file(got.fd, client[0]));
    is_string(got.address, p.address);
    ok(got.request_id == p.request_id);
    parcel_deinit(&got);
    is_int(lowest_free_fd(), lowest);
    free_parcel(&p);
}

/* One whose descriptors can never be had leaves the queue, or it would be in the way for ever. */
static void test_cut_off(void)
{
    int lowest = lowest_free_fd();
    Parcel p = new_parcel(0), got;

    is_int(parcel_send(queue[0], &p), 0);
    n_short = INT_MAX;
    n_left = 0;
    is_int(parcel_receive(queue[1], &got), -EMFILE);
    n_short = 0;
    is_int(parcel_receive(queue[1], &got), -EAGAIN);
    is_int(lowest_free_fd(), lowest);
    free_parcel(&p);
}

/* Another worker is faster, between the look and the taking: it is the next packet that is taken, with nothing of the
 * first; also where there are no descriptors left for it, which loses it. */
static void test_stolen(void)
{
    int lowest = lowest_free_fd(), r;
    Parcel first = new_parcel(20000), second = new_parcel(20000), got;

    second.fd = client[1];
    second.request_id++;
    for (int is_short = 0; is_short <= 1; is_short++)
        for (int left = 0; left <= is_short; left++) {
            is_int(parcel_send(queue[0], &first), 0);
            is_int(parcel_send(queue[0], &second), 0);
            steals_before = 2;
            n_before = 1;
            n_short = is_short;
            n_left = left;
            r = parcel_receive(queue[1], &got);
            is_int(r, !is_short ? 0 : left ? PARCEL_E_CUT : -EMFILE);
            ok(r < 0 ? got.fd == -EBADF
                     : is_same_file(got.fd, client[1]) && got.request_id == second.request_id);
            parcel_deinit(&got);
            n_before = n_short = 0;
            is_int(parcel_receive(queue[1], &got), -EAGAIN);
        }
    is_int(parcel_send(queue[0], &first), 0);
    steals_before = 2;
    is_int(parcel_receive(queue[1], &got), -EAGAIN);
    is_int(lowest_free_fd(), lowest);
    free_parcel(&first);
    free_parcel(&second);
}

static void test_full(void)
{
    Parcel p = new_parcel(10000), got;
    int n = 0, r;

    while ((r = parcel_send(queue[0], &p)) == 0)
        n++;
    is_int(r, -EAGAIN);
    ok(n > 0, "%d", n);
    for (; parcel_receive(queue[1], &got) == 0; n--)
        parcel_deinit(&got);
    is_int(n, 0);
    free_parcel(&p);
}

static void test_shut(void)
{
    Parcel p = new_parcel(0), got;

    shutdown(queue[0], SHUT_RDWR);
    is_int(parcel_send(queue[0], &p), -EPIPE);
    is_int(parcel_receive(queue[1], &got), -EPIPE);
    free_parcel(&p);
}

int main(void)
{
    is_int(channel_new_pair(queue), 0);
    is_int(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, client), 0);
    test_round_trip(0);
    test_round_trip(5);
    test_round_trip(PARCEL_INLINE_MAX - strlen(HEAD));
    test_round_trip(PARCEL_INLINE_MAX - strlen(HEAD) + 1);
    test_round_trip(1000000);
    test_body_in_file();
    test_idle();
    test_contradictions();
    test_wrong_descriptors();
    test_octets_of_others();
    test_descriptors_of_others();
    test_no_descriptors();
    for (int left = 0; left < 2; left++)
        for (int before = 0; before < 2; before++)
            test_short(before, 1, left);
    test_no_memory();
    test_cut_off();
    test_stolen();
    test_full();
    test_shut();
    return tap_done();
}
