/* SPDX-License-Identifier: MIT */
/* Unit tests of base/log: lines on a file and on pipes that are full, and records to a journal that is a
 * socket of our own, in a mount namespace of our own. */
#include "base/log.h"

#include "base/cleanup.h"
#include "base/message-ids.h"
#include "tap.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

static char got[1 << 20];
static int saved_stderr;

/* Reads what there is, without waiting, into `got`. */
static size_t drain(int fd)
{
    size_t n = 0;
    ssize_t k;

    fcntl(fd, F_SETFL, O_NONBLOCK);
    while ((k = read(fd, got + n, sizeof(got) - 1 - n)) > 0)
        n += (size_t)k;
    got[n] = '\0';
    return n;
}

/* Makes fd 2 a new pipe; returns the end to read. */
static int stderr_to_pipe(void)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) < 0 || dup2(ends[1], STDERR_FILENO) < 0)
        abort();
    close(ends[1]);
    return ends[0];
}

static bool line_is(const char *line, const char *level, const char *message)
{
    char end[256];
    int pid, year, n = 0;

    if (sscanf(line, "[%4d-%*2d-%*2d %*2d:%*2d:%*2d %*5[-+0-9]] [%d] %n", &year, &pid, &n) != 2 || n == 0)
        return false;
    snprintf(end, sizeof(end), "[%s] %s\n", level, message);
    return year > 2000 && pid == getpid() && strcmp(line + n, end) == 0;
}

static void test_lines(void)
{
    _cleanup_close_ int in = stderr_to_pipe();

    unsetenv("JOURNAL_STREAM");
    log_init("", LOG_INFO);
    ok(!log_is_journal());
    is_int(log_open_stream(LOG_INFO), -ENOTCONN);
    errno = ENOENT;
    log_info("hello %d: %m", 42);
    ok(errno == ENOENT, "errno is kept");
    drain(in);
    ok(line_is(got, "INFO", "hello 42: No such file or directory"));
    log_debug("not shown");
    is_int(drain(in), 0);
    log_access(LOG_DEBUG, NULL, "shown all the same");
    drain(in);
    ok(line_is(got, "DEBUG", "shown all the same"));
    log_full(LOG_ERR, MESSAGE_APP_ERROR, (const char *const[]){"A=b", NULL}, "two\nlines");
    drain(in);
    ok(line_is(got, "ERROR", "two\nlines"));
    log_full(LOG_CRIT, NULL, NULL, "%s", "");
    drain(in);
    ok(line_is(got, "CRITICAL", ""));
    log_init("blog", LOG_WARNING);
    log_notice("not shown");
    log_warning("shown");
    drain(in);
    ok(line_is(got, "WARNING", "shown"));
}

static void test_long_lines(void)
{
    _cleanup_free_ char *text = malloc(500001);
    _cleanup_close_ int file = memfd_create("stderr", MFD_CLOEXEC);
    bool good = true;

    log_init("", LOG_INFO);
    memset(text, 'x', 500000);
    text[500000] = '\0';
    for (size_t size = 900; size < 1300; size++) { /* around the size of the memory on the stack */
        _cleanup_close_ int in = stderr_to_pipe();

        log_info("%.*s", (int)size, text);
        good &= drain(in) > size && strspn(strchr(got, 'x'), "x") == size &&
                strcmp(strchr(got, 'x') + size, "\n") == 0;
    }
    ok(good, "whole lines");
    dup2(file, STDERR_FILENO);
    log_info("%s", text);
    lseek(file, 0, SEEK_SET);
    drain(file);
    ok(strspn(strchr(got, 'x'), "x") == 500000, "500 kB to a file");
}

static void test_full_pipe(void)
{
    _cleanup_close_ int in = stderr_to_pipe();
    char text[20001];

    memset(text, 'x', 20000);
    text[20000] = '\0';
    fcntl(STDERR_FILENO, F_SETPIPE_SZ, 8192);
    log_info("%s", text); /* its beginning fits */
    log_info("lost");
    log_info("lost");
    is_int(drain(in), 8192);
    log_info("found");
    drain(in);
    ok(got[0] == '\n', "the torn line is ended");
    ok(strstr(got, "[WARNING] 3 messages lost") && strstr(got, "[INFO] found\n"));
    log_info("again");
    drain(in);
    ok(line_is(got, "INFO", "again"));

    close(TAKE_FD(in)); /* a pipe that nobody reads: SIGPIPE is ignored by the programs */
    signal(SIGPIPE, SIG_IGN);
    log_info("lost");
    in = stderr_to_pipe();
    log_info("found");
    drain(in);
    ok(strstr(got, "1 messages lost") && strstr(got, "found"));
}

static void *log_lines(void *argument)
{
    for (int i = 0; i < 500; i++)
        log_info("thread %d line %d.", *(int *)argument, i);
    return NULL;
}

static void test_threads(void)
{
    _cleanup_close_ int file = memfd_create("stderr", MFD_CLOEXEC);
    int numbers[] = {0, 1, 2, 3}, next[4] = {0};
    pthread_t threads[4];
    bool good = true;
    int n = 0;

    fcntl(file, F_SETFL, O_APPEND);
    dup2(file, STDERR_FILENO);
    for (size_t i = 0; i < ELEMENTSOF(threads); i++)
        pthread_create(&threads[i], NULL, log_lines, &numbers[i]);
    for (size_t i = 0; i < ELEMENTSOF(threads); i++)
        pthread_join(threads[i], NULL);
    lseek(file, 0, SEEK_SET);
    drain(file);
    for (char *line = strtok(got, "\n"); line; line = strtok(NULL, "\n"), n++) {
        int thread, number;

        good &= sscanf(line, "[%*[^]]] [%*d] [INFO] thread %d line %d.", &thread, &number) == 2 &&
                number == next[thread]++;
    }
    ok(good && n == 2000, "%d whole lines in order", n);
}

static void set_journal_stream(int device_offset)
{
    char stream[64];
    struct stat st;

    fstat(STDERR_FILENO, &st);
    snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t)st.st_dev + (uintmax_t)device_offset,
             (uintmax_t)st.st_ino);
    setenv("JOURNAL_STREAM", stream, 1);
}

static void test_detection(void)
{
    _cleanup_close_ int in = stderr_to_pipe();

    set_journal_stream(1);
    log_init("blog", LOG_INFO);
    ok(!log_is_journal(), "another stream");
    setenv("JOURNAL_STREAM", "", 1);
    log_init("blog", LOG_INFO);
    ok(!log_is_journal());
    set_journal_stream(0);
    log_init("blog", LOG_INFO);
    ok(log_is_journal());
}

/* --- a journal --- */

static int bind_unix(int type, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

    strcpy(address.sun_path, path);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        abort();
    return fd;
}

/* One record into `got`; a large one comes as a memfd: sd_journal_sendv(3). */
static bool receive_record(int journal)
{
    union {
        struct cmsghdr header;
        char data[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec iov = {got, sizeof(got) - 1};
    struct msghdr mh = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
    ssize_t n = recvmsg(journal, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

    if (n < 0)
        return false;
    got[n] = '\0';
    if (n == 0 && CMSG_FIRSTHDR(&mh)) {
        int fd;

        memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&mh)), sizeof(fd));
        n = pread(fd, got, sizeof(got) - 1, 0);
        close(fd);
    }
    for (ssize_t i = 0; i < n; i++) /* a value of several lines comes with its binary length */
        if (got[i] == '\0')
            got[i] = '.';
    return n > 0;
}

static bool record_has(const char *line)
{
    size_t n = strlen(line);

    for (const char *p = strstr(got, line); p; p = strstr(p + 1, line))
        if ((p == got || p[-1] == '\n') && p[n] == '\n')
            return true;
    printf("# no %s in\n# %s\n", line, got);
    return false;
}

static void test_records(int journal)
{
    static char large[300000];

    log_init("blog", LOG_INFO);
    ok(log_is_journal());
    log_full(LOG_ERR, MESSAGE_APP_ERROR, (const char *const[]){"REQUEST_ID=7", "HTTP_PATH=/a b", NULL},
             "what %s", "ever");
    ok(receive_record(journal));
    ok(record_has("MESSAGE=what ever") && record_has("PRIORITY=3") &&
       record_has("MESSAGE_ID=" MESSAGE_APP_ERROR));
    ok(record_has("SYSLOG_IDENTIFIER=cgunicorn-blog") && record_has("CGUNICORN_SITE=blog"));
    ok(record_has("REQUEST_ID=7") && record_has("HTTP_PATH=/a b"));
    ok(!strstr(got, "CODE_") && !strstr(got, "WORKER=") && !strstr(got, "GENERATION="));

    log_set_worker(-1, 8);
    log_info("from the zygote");
    ok(receive_record(journal) && record_has("GENERATION=8") && !strstr(got, "WORKER="));
    log_set_worker(3, 9);
    log_info("two\nlines");
    ok(receive_record(journal) && record_has("GENERATION=9") && record_has("WORKER=3"));
    ok(strstr(got, "two\nlines\n") != NULL, "one record of several lines");
    log_debug("not shown");
    ok(!receive_record(journal));
    log_access(LOG_DEBUG, (const char *const[]){"HTTP_STATUS=200", NULL}, "GET /");
    ok(receive_record(journal) && record_has("HTTP_STATUS=200") && record_has("PRIORITY=7"));
    memset(large, 'x', sizeof(large) - 1);
    log_info("%s", large);
    ok(receive_record(journal) && strstr(got, "MESSAGE=xxx") && strlen(got) > sizeof(large), "a large one");
    log_init("", LOG_INFO);
    log_info("no site");
    ok(receive_record(journal) && record_has("SYSLOG_IDENTIFIER=cgunicorn") &&
       !strstr(got, "CGUNICORN_SITE"));
}

/* A journal that does not read holds up nobody. */
static void test_stuck_journal(int journal)
{
    int n = 0;

    alarm(60);
    for (int i = 0; i < 2000; i++)
        log_info("record");
    alarm(0);
    while (receive_record(journal))
        n++;
    ok(n > 0 && n < 2000, "%d of 2000 records were taken", n);
    log_info("found");
    ok(receive_record(journal) && record_has("PRIORITY=4") && atoi(strstr(got, "MESSAGE=") + 8) == 2000 - n,
       "the others were counted");
    ok(receive_record(journal) && record_has("MESSAGE=found"));
    ok(!receive_record(journal));
}

static void test_stream(int listener)
{
    _cleanup_close_ int stream = -EBADF, peer = -EBADF;

    log_init("blog", LOG_INFO);
    stream = log_open_stream(LOG_WARNING);
    ok(stream >= 0 && (fcntl(stream, F_GETFD) & FD_CLOEXEC));
    dprintf(stream, "line\n");
    peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    drain(peer);
    is_string(got, "cgunicorn-blog\n\n4\n1\n0\n0\n0\n\nline\n");
}

static void test_journal(void)
{
    _cleanup_close_ int journal = -EBADF, listener = -EBADF, in = stderr_to_pipe();

    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("tmpfs", "/run", "tmpfs", 0, NULL) < 0) {
        tap_report(true, "a journal # SKIP mounting is not permitted");
        return;
    }
    set_journal_stream(0);
    log_init("blog", LOG_INFO);
    log_info("there is no journal at all");
    mkdir("/run/systemd", 0755);
    mkdir("/run/systemd/journal", 0755);
    journal = bind_unix(SOCK_DGRAM, "/run/systemd/journal/socket");
    listener = bind_unix(SOCK_STREAM, "/run/systemd/journal/stdout");
    listen(listener, 1);
    test_records(journal);
    test_stuck_journal(journal);
    test_stream(listener);

    close(TAKE_FD(journal));
    log_info("lost: nobody is there");
    unlink("/run/systemd/journal/socket");
    journal = bind_unix(SOCK_DGRAM, "/run/systemd/journal/socket");
    log_info("back");
    ok(receive_record(journal) && strstr(got, "MESSAGE=1 messages lost"));
    ok(receive_record(journal) && record_has("MESSAGE=back"));
}

int main(void)
{
    saved_stderr = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    test_lines();
    test_long_lines();
    test_full_pipe();
    test_threads();
    test_detection();
    test_journal();
    dup2(saved_stderr, STDERR_FILENO);
    return tap_done();
}
