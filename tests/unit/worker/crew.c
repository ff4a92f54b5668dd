/* SPDX-License-Identifier: MIT */
/* Tests of worker/crew with the loop, on real sockets and with an application in C in the place of wsgi/: who
 * drives, who runs, and that nobody waits for an application that is not his. */
#include "worker/crew.h"

#include "ipc/channel.h"
#include "rig.h"
#include "wsgi/call.h"
#include "wsgi/interpreter.h"

#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* --- in the place of wsgi/ --- */

static pthread_mutex_t gil = PTHREAD_MUTEX_INITIALIZER;
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
    pthread_mutex_lock(&gil);
    own_thread = t;
}

void interpreter_release(InterpreterThread *t)
{
    own_thread = NULL;
    (void)t;
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

/* /block waits for the test, /hold too, but with the GIL; /stream sends two pieces and waits between them; /late waits when its response is complete; all
 * else says "ok". */
int wsgi_call(WsgiApp *app, const Request *q, const Spool *body, BodySource *source, const WsgiPeer *peer,
              ResponseSink *sink, char **ret_error)
{
    bool streams = span_equal(q->path, SPAN_LITERAL("/stream"));
    int r;

    (void)app;
    (void)body;
    (void)source;
    (void)peer;
    *ret_error = NULL;
    if (span_equal(q->path, SPAN_LITERAL("/block")))
        block();
    if (span_equal(q->path, SPAN_LITERAL("/hold"))) {
        sem_post(&entered);
        sem_wait(&released);
    }
    response_set_status(sink->response, "200 OK", 6);
    r = sink->begin(sink, streams ? -1 : 2);
    if (r == 0 && streams) {
        r = sink->write(sink, "first", 5, false);
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

static void worker_start(Worker *w, unsigned n_threads)
{
    char threads[32];

    snprintf(threads, sizeof threads, "workers.threads=%u", n_threads);
    rig_start(&w->rig, "workers.count=1", threads, NULL);
    w->result = -1;
    sem_init(&entered, 0, 0);
    sem_init(&released, 0, 0);
    most_inside = 0;
    pthread_create(&w->thread, NULL, worker_main, w);
}

static void worker_stop(Worker *w)
{
    static const Message drain = {.type = MESSAGE_DRAIN};

    is_int(channel_send(w->rig.channel[0], &drain), 0);
    pthread_join(w->thread, NULL);
    is_int(w->result, 0);
    rig_stop(&w->rig);
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

int main(void)
{
    test_one_thread();
    test_several_threads();
    test_streaming();
    test_work_after_the_response();
    test_drain_finishes_requests();
    test_trim();
    test_trim_beside_a_request();
    test_crowd();
    return tap_done();
}
