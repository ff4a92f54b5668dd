/* SPDX-License-Identifier: MIT */
/* Tests of worker/crew with the loop, on real sockets and with an application in C in the place of wsgi/: who
 * drives, who runs, and that nobody waits for an application that is not his. */
#include "worker/crew.h"

#include "ipc/channel.h"
#include "rig.h"
#include "wsgi/call.h"
#include "wsgi/interpreter.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define FLOOD_BLOCK (64 * 1024)
#define FLOOD_BLOCKS 128

/* --- in the place of wsgi/ --- */

static pthread_mutex_t gil = PTHREAD_MUTEX_INITIALIZER;
static bool has_gil; /* else it is as free-threaded Pythons are */
static sem_t entered, released;
static _Atomic int n_inside, most_inside;
static __thread InterpreterThread *own_thread;

void develop_tell(Develop *d)
{
    (void)d; /* it knows modules, which are not here */
}

InterpreterThread *interpreter_main_thread(void)
{
    return (InterpreterThread *)&gil;
}

InterpreterThread *interpreter_thread_new(const char *name)
{
    (void)name;
    return (InterpreterThread *)&gil;
}

void interpreter_acquire(InterpreterThread *t)
{
    if (has_gil)
        pthread_mutex_lock(&gil);
    own_thread = t;
}

void interpreter_release(InterpreterThread *t)
{
    own_thread = NULL;
    (void)t;
    if (has_gil)
        pthread_mutex_unlock(&gil);
}

/* With the GIL: who does not have it cannot give it back. */
void interpreter_collect(void)
{
    InterpreterThread *t = own_thread;

    interpreter_release(t);
    sem_post(&entered);
    interpreter_acquire(t);
}

static void block(void)
{
    InterpreterThread *t = own_thread;
    int inside = ++n_inside;

    if (inside > most_inside)
        most_inside = inside;
    interpreter_release(t);
    sem_post(&entered);
    sem_wait(&released);
    interpreter_acquire(t);
    n_inside--;
}

/* Without the GIL, as wsgi/ does it. */
static int wait_for_client(ResponseSink *sink)
{
    InterpreterThread *t = own_thread;
    int r;

    interpreter_release(t);
    r = sink->wait(sink);
    interpreter_acquire(t);
    return r;
}

static int flood(ResponseSink *sink)
{
    static const char block[FLOOD_BLOCK];
    int r = 0;

    for (int i = 0; r == 0 && i < FLOOD_BLOCKS; i++) {
        r = sink->write(sink, block, sizeof block, false);
        if (r == SINK_E_WAIT)
            r = wait_for_client(sink);
    }
    return r;
}

static void receive(BodySource *source)
{
    InterpreterThread *t = own_thread;
    BodyWait wait = {0};
    char piece[100];
    ssize_t n;

    while ((n = source->receive(source, piece, sizeof piece, &wait)) > 0 || n == -EAGAIN)
        if (n < 0) {
            interpreter_release(t);
            sem_post(&entered);
            source->wait(&wait);
            interpreter_acquire(t);
            source->end_wait(source, &wait);
        }
}

/* /block waits for the test, /hold too, but with the GIL; /stream sends two pieces and waits between them,
 * /dawdle three, and waits before the last; /flood sends more than a socket takes; /late waits when its
 * response is complete; all else says "ok", when a body that it has to receive has come. */
int wsgi_call(WsgiApp *app, const Request *q, const Spool *body, BodySource *source, const WsgiPeer *peer,
              ResponseSink *sink, char **ret_error)
{
    bool dawdles = span_equal(q->path, SPAN_LITERAL("/dawdle"));
    bool floods = span_equal(q->path, SPAN_LITERAL("/flood"));
    bool streams = dawdles || span_equal(q->path, SPAN_LITERAL("/stream"));
    int r;

    (void)app;
    (void)body;
    (void)peer;
    *ret_error = NULL;
    if (source)
        receive(source);
    if (span_equal(q->path, SPAN_LITERAL("/block")))
        block();
    if (span_equal(q->path, SPAN_LITERAL("/hold"))) {
        sem_post(&entered);
        sem_wait(&released);
    }
    response_set_status(sink->response, "200 OK", 6);
    r = sink->begin(sink, streams || floods ? -1 : 2);
    if (r == 0 && floods)
        r = flood(sink);
    if (r == 0 && streams) {
        r = sink->write(sink, "first", 5, false);
        if (r == 0 && dawdles)
            r = sink->write(sink, "second", 6, false);
        block();
    }
    if (r == 0)
        r = sink->write(sink, "ok", 2, true);
    if (r == 0)
        r = sink->end(sink);
    if (span_equal(q->path, SPAN_LITERAL("/late")))
        block();
    return r == 0 ? 0 : WSGI_E_GONE;
}

/* --- a worker --- */

typedef struct Worker {
    Rig rig;
    pthread_t thread;
    int result;
} Worker;

static void *worker_main(void *arg)
{
    Worker *w = arg;

    interpreter_acquire(interpreter_main_thread());
    w->result = crew_run(&(CrewOptions){.loop = w->rig.loop,
                                        .n_threads = w->rig.config->workers_threads,
                                        .slots = scoreboard_slot(w->rig.scoreboard, 0, 0)});
    interpreter_release(interpreter_main_thread());
    return NULL;
}

static void worker_begin(Worker *w)
{
    w->result = -1;
    pthread_create(&w->thread, NULL, worker_main, w);
}

static void application_reset(void)
{
    sem_init(&entered, 0, 0);
    sem_init(&released, 0, 0);
    most_inside = 0;
}

/* setting: may be NULL. */
static void worker_prepare(Worker *w, unsigned n_threads, const char *setting)
{
    char threads[32];

    snprintf(threads, sizeof threads, "workers.threads=%u", n_threads);
    rig_start(&w->rig, "workers.count=1", threads, setting, NULL);
    application_reset();
}

static void worker_start_with(Worker *w, unsigned n_threads, const char *setting)
{
    worker_prepare(w, n_threads, setting);
    worker_begin(w);
}

static void worker_start(Worker *w, unsigned n_threads)
{
    worker_start_with(w, n_threads, NULL);
}

/* of: NULL, it is the first. */
static void worker_start_sibling(Worker *w, const Worker *of)
{
    rig_start_sibling(&w->rig, of ? &of->rig : NULL, "workers.count=2", NULL);
    if (!of)
        application_reset();
    worker_begin(w);
}

/* How: "" or CHANNEL_DRAIN_LAST. */
static void worker_retire(Worker *w, const char *how)
{
    Message drain = {.type = MESSAGE_DRAIN};

    snprintf(drain.text, sizeof drain.text, "%s", how);
    is_int(channel_send(w->rig.channel[0], &drain), 0);
    pthread_join(w->thread, NULL);
    is_int(w->result, 0);
    rig_stop(&w->rig);
}

static void worker_stop(Worker *w)
{
    worker_retire(w, CHANNEL_DRAIN_LAST);
}

static int ask(const Worker *w, const char *request)
{
    struct timeval patience = {.tv_sec = 30};
    int fd = rig_connect(&w->rig);

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (write(fd, request, strlen(request)) != (ssize_t)strlen(request))
        ok(false, "the request goes out");
    return fd;
}

/* Whether what comes in contains the text, before the other side ends. */
static bool hears(int fd, const char *text)
{
    char got[8192];
    size_t n = 0;
    ssize_t k;

    got[0] = '\0';
    while (!strstr(got, text) && (k = read(fd, got + n, sizeof got - 1 - n)) > 0) {
        n += (size_t)k;
        got[n] = '\0';
    }
    return strstr(got, text);
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"
#define OPTIONS "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"

static void test_one_thread(void)
{
    Worker w;
    int a, b, c;

    worker_start(&w, 1);
    a = ask(&w, GET("/"));
    ok(hears(a, "\r\n\r\nok"), "a fast request");
    write(a, GET("/block"), strlen(GET("/block")));
    sem_wait(&entered);
    b = ask(&w, OPTIONS);
    ok(hears(b, "200 OK"), "the loop goes on while the application is busy");
    c = ask(&w, GET("/block"));
    write(b, OPTIONS, strlen(OPTIONS));
    ok(hears(b, "200 OK"), "also when others wait for the application");
    is_int(most_inside, 1);
    sem_post(&released);
    ok(hears(a, "\r\n\r\nok"), "the overtaken request is answered");
    sem_wait(&entered);
    sem_post(&released);
    ok(hears(c, "\r\n\r\nok"), "the one that waited gets its turn");
    is_int(most_inside, 1);
    while (atomic_load(&scoreboard_slot(w.rig.scoreboard, 0, 0)->started_usec) != 0)
        sched_yield(); /* the response may be sent a moment before */
    worker_stop(&w);
}

static void test_several_threads(void)
{
    enum { N = 4 };
    int fd[N + 2], other;
    Worker w;

    worker_start(&w, N);
    other = ask(&w, OPTIONS);
    ok(hears(other, "200 OK"));
    for (int i = 0; i < N + 2; i++)
        fd[i] = ask(&w, GET("/block"));
    for (int i = 0; i < N; i++)
        sem_wait(&entered);
    is_int(most_inside, N);
    write(other, OPTIONS, strlen(OPTIONS));
    ok(hears(other, "200 OK"), "all are busy, the loop goes on");
    for (int i = 0; i < N + 2; i++)
        sem_post(&released);
    for (int i = 0; i < N + 2; i++)
        ok(hears(fd[i], "\r\n\r\nok"), "request %d of %d", i, N + 2);
    is_int(most_inside, N);
    worker_stop(&w);
}

/* One of an application that has always been slow. */
static void worker_start_slow(Worker *w, unsigned n_threads, const char *setting)
{
    worker_prepare(w, n_threads, setting);
    w->rig.loop->usual_usec = 4 * USEC_PER_MSEC;
    worker_begin(w);
}

/* Threads that come back go on with those that wait, while others are in the application. */
static void test_change(void)
{
    enum { N = 3, M = 5 * N };
    int fd[M];
    Worker w;

    worker_start_slow(&w, N, NULL);
    for (int i = 0; i < M; i++)
        fd[i] = ask(&w, i % 2 ? GET("/block") GET("/") : GET("/block"));
    for (int i = 0; i < M; i++) {
        sem_wait(&entered);
        sem_post(&released);
    }
    for (int i = 0; i < M; i++)
        ok(hears(fd[i], i % 2 ? "\r\n\r\nokHTTP/1.1" : "\r\n\r\nok"), "request %d of %d", i, M);
    ok(most_inside <= N);
    for (int i = 0; i < M; i++)
        close(fd[i]);
    while (atomic_load(&w.rig.scoreboard->seats[0].connections) > 0)
        sched_yield();
    worker_stop(&w);
}

/* The driver may have begun to wait before there was a deadline. */
static void test_deadline_of_a_change(void)
{
    Worker w;
    int a, b;

    worker_start_slow(&w, 1, "timeouts.keepalive=100ms");
    a = ask(&w, GET("/block"));
    sem_wait(&entered);
    b = ask(&w, GET("/block"));
    while (atomic_load(&w.rig.scoreboard->seats[0].waiting_usec) == 0)
        sched_yield();
    sem_post(&released);
    ok(hears(a, "\r\n\r\nok"));
    sem_wait(&entered);
    is_int(read(a, &(char){0}, 1), 0); /* while the only thread is in the application */
    sem_post(&released);
    ok(hears(b, "\r\n\r\nok"), "a connection ends by its time, though its thread has gone on");
    close(a);
    close(b);
    worker_stop(&w);
}

static void test_streaming(void)
{
    Worker w;
    int a;

    worker_start(&w, 1);
    a = ask(&w, GET("/stream"));
    ok(hears(a, "first"), "a block is on its way before the next is computed");
    sem_wait(&entered);
    sem_post(&released);
    ok(hears(a, "0\r\n\r\n"));
    worker_stop(&w);
}

static void test_work_after_the_response(void)
{
    Worker w;
    int a;

    worker_start(&w, 1);
    a = ask(&w, GET("/late"));
    ok(hears(a, "\r\n\r\nok"), "a complete response does not wait for what the application does after it");
    sem_wait(&entered);
    sem_post(&released);
    write(a, OPTIONS, strlen(OPTIONS));
    ok(hears(a, "200 OK"), "and the connection goes on");
    worker_stop(&w);
}

#define UPLOAD(path) "POST " path " HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n"

static void send_octets(int fd, size_t n)
{
    static const char octets[1000000];

    is_int(send(fd, octets, n, 0), (long)n);
}

static void await_lent(size_t n)
{
    while (lent_octets() != n)
        sched_yield();
}

static void test_upload(void)
{
    Worker w;
    int a;

    worker_start(&w, 1);
    a = ask(&w, UPLOAD("/block"));
    send_octets(a, 1000000);
    sem_wait(&entered);
    is_int(lent_octets(), 1000000);
    sem_post(&released);
    ok(hears(a, "\r\n\r\nok"), "the body is received into memory of the application");
    await_lent(0);
    write(a, UPLOAD("/"), strlen(UPLOAD("/")));
    send_octets(a, 500000);
    await_lent(1000000);
    close(a);
    await_lent(0);
    worker_stop(&w);
}

/* The loop takes the GIL for the memory of a body where it can have it, and waits for nobody who has it. */
static void test_upload_beside_the_gil(void)
{
    Worker w;
    int a, b, c;

    worker_start(&w, 2);
    a = ask(&w, GET("/hold"));
    sem_wait(&entered);
    b = ask(&w, UPLOAD("/"));
    send_octets(b, 500000);
    c = ask(&w, OPTIONS);
    ok(hears(c, "200 OK"), "the loop goes on while the application keeps the GIL");
    send_octets(b, 500000);
    write(c, OPTIONS, strlen(OPTIONS));
    ok(hears(c, "200 OK"), "again");
    sem_post(&released);
    ok(hears(a, "\r\n\r\nok"), "the one that kept it is answered");
    ok(hears(b, "\r\n\r\nok"), "and the upload");
    await_lent(0);
    worker_stop(&w);
}

static void test_drain_finishes_requests(void)
{
    Worker w;
    int a;

    worker_start(&w, 1);
    a = ask(&w, GET("/block"));
    sem_wait(&entered);
    is_int(channel_send(w.rig.channel[0], &(Message){.type = MESSAGE_DRAIN}), 0);
    while (!w.rig.loop->is_draining)
        sched_yield();
    sem_post(&released);
    ok(hears(a, "Connection: close"), "a request under way is answered, and says close");
    worker_stop(&w);
}

static void test_trim(void)
{
    Worker w;
    int a;

    worker_start(&w, 1);
    is_int(channel_send(w.rig.channel[0], &(Message){.type = MESSAGE_TRIM}), 0);
    sem_wait(&entered);
    a = ask(&w, GET("/"));
    ok(hears(a, "ok"), "a worker that has given back memory serves on");
    close(a);
    worker_stop(&w);
}

/* Nobody can tell how long that waits for the GIL. */
static void test_trim_beside_a_request(void)
{
    bool is_heard = true;
    Worker w;
    int a, b;

    worker_start(&w, 2);
    a = ask(&w, GET("/hold"));
    sem_wait(&entered);
    is_int(channel_send(w.rig.channel[0], &(Message){.type = MESSAGE_TRIM}), 0);
    b = ask(&w, OPTIONS);
    for (int i = 0; i < 1000 && is_heard; i++)
        is_heard = hears(b, "200 OK") && write(b, OPTIONS, strlen(OPTIONS)) > 0;
    ok(is_heard, "the loop goes on while memory is to be given back, but an application has the GIL");
    sem_post(&released);
    ok(hears(a, "\r\n\r\nok"));
    sem_wait(&entered);
    close(b);
    worker_stop(&w);
}

/* By the flusher: no other thread is there to send it. */
static void test_dawdling(void)
{
    Worker w;
    int a;

    worker_start(&w, 1);
    a = ask(&w, GET("/dawdle"));
    ok(hears(a, "second"), "a block that was to be sent with others goes out while the application dawdles");
    sem_wait(&entered);
    sem_post(&released);
    ok(hears(a, "0\r\n\r\n"));
    close(a);
    worker_stop(&w);
}

/* The application's thread and the loop's send in turns. */
static void test_slow_reader(void)
{
    size_t n = 0, n_max = (size_t)FLOOD_BLOCK * FLOOD_BLOCKS;
    char piece[FLOOD_BLOCK];
    int a, other;
    ssize_t k;
    Worker w;

    worker_start(&w, 1);
    a = ask(&w, GET("/flood"));
    other = ask(&w, OPTIONS);
    while (n < n_max && (k = read(a, piece, sizeof piece)) > 0) {
        n += (size_t)k;
        if (write(other, OPTIONS, strlen(OPTIONS)) < 0 || !hears(other, "200 OK"))
            break;
    }
    ok(n >= n_max, "a client gets all of what its socket does not take at once, others go on");
    close(a);
    close(other);
    worker_stop(&w);
}

#define POST "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"

static void test_live_body(void)
{
    Worker w;
    int a, b;

    worker_start_with(&w, 1, "request.buffering=no");
    a = ask(&w, POST);
    ok(hears(a, "100 Continue"), "the application's thread asks for the body");
    for (int i = 0; i < 4; i++) {
        sem_wait(&entered);
        b = ask(&w, OPTIONS);
        ok(hears(b, "200 OK"), "the loop goes on while it is received");
        close(b);
        write(a, "x", 1);
    }
    ok(hears(a, "\r\n\r\nok"));
    close(a);
    worker_stop(&w);
}

/* No descriptor, connection or response is one that the loop and the stuck thread both use. */
static void test_hang(void)
{
    Worker w;
    int a, b;

    worker_start_with(&w, 2, "timeouts.request=1s");
    a = ask(&w, GET("/block"));
    ok(hears(a, "504 Gateway Timeout"), "a request is given up while its thread is in the application");
    b = ask(&w, GET("/"));
    ok(hears(b, "\r\n\r\nok"), "another thread serves on");
    sem_wait(&entered);
    sem_post(&released);
    close(a);
    close(b);
    while (atomic_load(&w.rig.scoreboard->seats[0].connections) > 0)
        sched_yield(); /* a worker that stops does not wait for a thread that hangs: its process ends */
    worker_stop(&w);
}

/* Many clients at once, slow and fast ones mixed: each answer arrives. */
static void *client_main(void *arg)
{
    const Worker *w = arg;

    for (int i = 0; i < 200; i++) {
        int fd = ask(w, i % 3 ? GET("/") GET("/") : OPTIONS GET("/stream"));
        bool good = hears(fd, i % 3 ? "\r\n\r\nokHTTP/1.1" : "0\r\n\r\n");
        close(fd);
        if (!good)
            return (void *)1;
    }
    return NULL;
}

static void test_crowd(void)
{
    enum { N = 8 };
    pthread_t client[N];
    Worker w;
    void *bad = NULL;

    worker_start(&w, 3);
    for (int i = 0; i < 200 * N; i++)
        sem_post(&released);
    for (int i = 0; i < N; i++)
        pthread_create(&client[i], NULL, client_main, &w);
    for (int i = 0; i < N; i++) {
        void *result;
        pthread_join(client[i], &result);
        bad = result ? result : bad;
    }
    ok(!bad, "every client got every answer");
    worker_stop(&w);
}

/* --- two of them --- */

/* Counted when it is done, and then the client may have its answer already. */
static bool becomes(const _Atomic uint64_t *counter, uint64_t n)
{
    for (int i = 0; i < 30000 && *counter != n; i++)
        usleep(1000);
    return *counter == n;
}

static void test_siblings(void)
{
    Worker w, sibling;
    int busy, other;

    worker_start_sibling(&w, NULL);
    busy = ask(&w, OPTIONS);
    other = ask(&w, OPTIONS);
    ok(hears(busy, "200 OK") && hears(other, "200 OK"));
    worker_start_sibling(&sibling, &w);
    write(busy, GET("/block"), strlen(GET("/block")));
    sem_wait(&entered);
    write(other, GET("/"), strlen(GET("/")));
    ok(hears(other, "\r\n\r\nok"), "a request does not wait for another's, where a sibling is idle");
    ok(becomes(&w.rig.total.given, 1));
    is_int(sibling.rig.total.taken, 1);
    sem_post(&released);
    ok(hears(busy, "\r\n\r\nok"));
    worker_retire(&w, "");
    write(busy, GET("/"), strlen(GET("/")));
    ok(hears(busy, "\r\n\r\nok"), "a worker that goes leaves its connections to those who stay");
    close(busy);
    close(other);
    worker_stop(&sibling);
}

static _Atomic bool is_over;

static void *loyal_client_main(void *arg)
{
    int fd = ask(arg, OPTIONS);
    bool good = hears(fd, "200 OK");

    while (good && !is_over) {
        write(fd, GET("/"), strlen(GET("/")));
        good = hears(fd, "\r\n\r\nok");
        write(fd, GET("/stream"), strlen(GET("/stream")));
        good = good && hears(fd, "0\r\n\r\n");
    }
    close(fd);
    return good ? NULL : (void *)1;
}

/* As at a reload: the threads of both give and take while clients come and go on. */
static void test_succession(void)
{
    enum { N = 6, RELOADS = 10 };
    Worker w[1 + RELOADS];
    pthread_t client[N];
    void *bad = NULL;

    worker_start_sibling(&w[0], NULL);
    for (int i = 0; i < 1000000; i++)
        sem_post(&released);
    is_over = false;
    for (int i = 0; i < N; i++)
        pthread_create(&client[i], NULL, loyal_client_main, &w[0].rig);
    for (int i = 0; i < RELOADS; i++) {
        worker_start_sibling(&w[i + 1], &w[i]);
        for (int n = 0; n < 50; n++)
            sem_wait(&entered);
        worker_retire(&w[i], "");
    }
    is_over = true;
    for (int i = 0; i < N; i++) {
        void *result;
        pthread_join(client[i], &result);
        bad = result ? result : bad;
    }
    ok(!bad, "every client got every answer, on one connection");
    worker_stop(&w[RELOADS]);
}

int main(void)
{
    has_gil = true;
    test_one_thread();
    test_several_threads();
    test_change();
    test_deadline_of_a_change();
    test_streaming();
    test_work_after_the_response();
    test_upload();
    test_upload_beside_the_gil();
    test_drain_finishes_requests();
    test_trim();
    test_trim_beside_a_request();
    test_dawdling();
    test_slow_reader();
    test_live_body();
    test_hang();
    test_crowd();
    test_siblings();
    test_succession();

    has_gil = false; /* whatever it had guarded of the worker's own, ThreadSanitizer would see */
    test_several_threads();
    test_change();
    test_streaming();
    test_live_body();
    test_crowd();
    test_siblings();
    test_succession();
    return tap_done();
}
