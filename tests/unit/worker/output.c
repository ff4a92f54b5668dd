/* SPDX-License-Identifier: MIT */
/* Tests of worker/output: order and completeness whatever the socket takes. */
#include "worker/output.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "tap.h"

#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static int ends[2];

static void open_pair(void)
{
    int small = 4096;

    socketpair(AF_UNIX, SOCK_STREAM, 0, ends);
    setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    fd_set_nonblocking(ends[0], true);
    fd_set_nonblocking(ends[1], true);
}

static void connect_by_tcp(int pair[static 2])
{
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    _cleanup_close_ int listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr *address = (struct sockaddr *)&any;
    socklen_t size = sizeof any;

    pair[1] = socket(AF_INET, SOCK_STREAM, 0);
    bind(listener, address, sizeof any);
    listen(listener, 1);
    getsockname(listener, address, &size);
    connect(pair[1], address, sizeof any);
    pair[0] = accept(listener, NULL, NULL);
}

static void close_pair(void)
{
    close(ends[0]);
    close(ends[1]);
}

static size_t receive(char *to, size_t size)
{
    ssize_t n = read(ends[1], to, size);

    return n > 0 ? (size_t)n : 0;
}

/* Flushes and receives until all is through. Returns the number of octets. */
static size_t drain(Output *o, char *to, size_t size)
{
    size_t done = 0;
    int r;

    do {
        r = output_flush(o, ends[0], false);
        done += receive(to + done, size - done);
    } while (r == OUTPUT_E_PENDING);
    while (done < size) {
        size_t n = receive(to + done, size - done);
        if (n == 0)
            break;
        done += n;
    }
    return r == 0 ? done : 0;
}

static void fill(char *p, size_t n, unsigned seed)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (char)(seed + i * 31 + (i >> 8));
}

static void test_small(void)
{
    Output o;
    char got[64];
    struct iovec iov[] = {{(void *)"one ", 4}, {(void *)"", 0}, {(void *)"two", 3}};

    output_init(&o, 4096, 4096, "/tmp");
    ok(output_is_empty(&o) && output_is_simple(&o));
    is_int(output_queue(&o, iov, 3), 0);
    ok(!output_is_empty(&o));
    is_int(drain(&o, got, sizeof got), 7);
    ok(memcmp(got, "one two", 7) == 0);
    is_int(output_send(&o, ends[0], iov, 3), 0);
    is_int(receive(got, sizeof got), 7);
    output_deinit(&o);
}

/* Memory, then file, then overflow, then a range of a file: it all arrives in that order. */
static void test_order(void)
{
    static char sent[300000], got[400000];
    char name[] = "/tmp/output-test-XXXXXX";
    int file = mkstemp(name);
    Output o;
    size_t at = 0;
    bool was_behind = false;

    fill(sent, sizeof sent, 7);
    is_int(fd_write_all(file, sent + 200000, 100000), 0);
    output_init(&o, 10000, 100000, "/tmp");
    for (size_t step = 1; at < 200000; at += step, step = MIN(step * 3 + 1, 200000 - at)) {
        struct iovec iov = {sent + at, step};
        if (step == 0)
            break;
        int r = step % 2 ? output_send(&o, ends[0], &iov, 1) : output_queue(&o, &iov, 1);
        if (r < 0)
            ok(false, "output_send: %d", r);
        was_behind = was_behind || output_is_behind(&o);
    }
    ok(was_behind, "over memory and file, the application should wait");
    output_queue_file(&o, file, 0, 100000);
    unlink(name);
    ok(!output_is_simple(&o));
    is_int(drain(&o, got, sizeof got), sizeof sent);
    ok(memcmp(got, sent, sizeof sent) == 0, "all octets in order");
    ok(output_is_empty(&o) && output_is_simple(&o) && output_has_caught_up(&o));
    output_deinit(&o);
}

static void test_no_room_for_a_file(void)
{
    static char sent[50000], got[50000];
    Output o;
    struct iovec iov = {sent, sizeof sent};

    fill(sent, sizeof sent, 3);
    output_init(&o, 1000, 1 << 20, "/nonexistent");
    is_int(output_queue(&o, &iov, 1), 0);
    ok(output_is_behind(&o), "what no file takes stays in memory, and the application waits");
    is_int(drain(&o, got, sizeof got), sizeof sent);
    ok(memcmp(got, sent, sizeof sent) == 0);
    output_deinit(&o);
}

/* A file that others write to meanwhile: what was sent stays as it was; what is not there any more is not made up, what
 * is there in addition not sent. */
static void test_changed_file(void)
{
    static char sent[400000], got[400000];
    char name[] = "/tmp/output-test-XXXXXX";
    int file = mkstemp(name), other = open(name, O_RDWR | O_CLOEXEC);
    size_t done;
    Output o;

    unlink(name);
    fill(sent, sizeof sent, 5);
    is_int(fd_write_all(other, sent, sizeof sent), 0);
    output_init(&o, 1000, 1000, "/tmp");
    output_queue_file(&o, file, 0, 300000);
    is_int(output_flush(&o, ends[0], false), OUTPUT_E_PENDING);
    done = (size_t)o.file_offset;
    ok(done > 0 && pwrite(other, got, done, 0) == (ssize_t)done, "%zu octets are on their way", done);
    is_int(drain(&o, got, sizeof got), 300000);
    ok(memcmp(got, sent, 300000) == 0, "and come as they were, up to what was promised");
    output_queue_file(&o, dup(other), 100000, 300000);
    is_int(output_flush(&o, ends[0], false), OUTPUT_E_PENDING);
    is_int(ftruncate(other, 200001), 0);
    while (output_flush(&o, ends[0], false) == OUTPUT_E_PENDING)
        (void)receive(got, sizeof got);
    is_int(o.file_offset, 200001);
    is_int(output_flush(&o, ends[0], false), -ENODATA);
    output_deinit(&o);
    close(other);
}

static void test_failures(void)
{
    char name[] = "/tmp/output-test-XXXXXX";
    int file = mkstemp(name);
    struct iovec iov = {(void *)"x", 1};
    Output o;

    output_init(&o, 1000, 1000, "/tmp");
    output_queue_file(&o, file, 0, 10);
    is_int(output_flush(&o, ends[0], false), -ENODATA);
    unlink(name);
    output_clear(&o);
    ok(output_is_empty(&o));
    ok(lseek(file, 0, SEEK_CUR) < 0 && errno == EBADF, "the file is closed");
    close(ends[1]);
    is_int(output_send(&o, ends[0], &iov, 1), -EPIPE);
    output_deinit(&o);
}

/* What the kernel holds was not taken; and who has taken everything does not lag, whatever it was. */
static void test_lags(void)
{
    static char sent[300000], got[300000];
    struct iovec iov = {sent, sizeof sent};
    Output o;

    output_init(&o, sizeof sent, 0, "/tmp");
    ok(!output_lags(&o, ends[0], 1));
    is_int(output_send(&o, ends[0], &iov, 1), OUTPUT_E_PENDING);
    ok(!output_lags(&o, ends[0], 1), "nothing was waiting before");
    ok(output_lags(&o, ends[0], 1));
    ok(receive(got, 1) == 1 && receive(got, sizeof got) > 0);
    ok(!output_lags(&o, ends[0], 1), "the server has sent nothing, the peer has taken something");
    ok(output_lags(&o, ends[0], 1));
    is_int(output_flush(&o, ends[0], false), OUTPUT_E_PENDING);
    ok(output_lags(&o, ends[0], sizeof sent));
    ok(drain(&o, got, sizeof got) > 0);
    is_int(output_send(&o, ends[0], &iov, 1), OUTPUT_E_PENDING);
    ok(!output_lags(&o, ends[0], sizeof sent), "everything was taken in between");
    output_clear(&o);
    ok(!output_lags(&o, ends[0], 1));
    output_deinit(&o);
}

/* The last octets and the FIN: one packet. */
static void test_end(void)
{
    int pair[2], unsent = 0;
    char got[10];
    Output o;

    connect_by_tcp(pair);
    output_init(&o, 1000, 0, "/tmp");
    is_int(output_queue(&o, &(struct iovec){(void *)"the end", 7}, 1), 0);
    is_int(output_flush(&o, pair[0], true), 0);
    ok(output_is_empty(&o));
    ioctl(pair[0], SIOCOUTQNSD, &unsent);
    is_int(unsent, 7);
    shutdown(pair[0], SHUT_WR);
    is_int(recv(pair[1], got, sizeof got, MSG_WAITALL), 7);
    close(pair[0]);
    close(pair[1]);
    output_deinit(&o);
}

int main(void)
{
    void (*const tests[])(void) = {test_small,        test_order, test_no_room_for_a_file,
                                   test_changed_file, test_lags,  test_end,
                                   test_failures};

    for (size_t i = 0; i < ELEMENTSOF(tests); i++) {
        open_pair();
        tests[i]();
        close_pair();
    }
    return tap_done();
}
