/* SPDX-License-Identifier: MIT */
/* A generation with real processes and no Python: this program is its own worker program, whose behaviour
 * app.module names. */
#include "supervisor/generation.h"

#include "base/log.h"
#include "ipc/channel.h"
#include "tap.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define PATIENCE_USEC (20 * USEC_PER_SEC)

/* --- the worker program --- */

static Message message;

/* The ends are non-blocking. False: end of file. */
static bool receive(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int r;

    while ((r = channel_receive(fd, &message)) == -EAGAIN)
        poll(&p, 1, -1);
    return r == 0;
}

static void say(int fd, MessageType type, unsigned seat, int pid, const char *text)
{
    Message m = {.type = type, .generation = 7, .seat = seat, .pid = pid};

    (void)snprintf(m.text, sizeof(m.text), "%s", text);
    (void)channel_send(fd, &m);
}

/* An application that found the descriptor. */
static void run_wild(int channel, const char *mode, unsigned seat)
{
    if (strcmp(mode, "wild:twice") == 0)
        say(channel, MESSAGE_READY, seat, getpid(), "");
    if (strcmp(mode, "wild:name") == 0)
        say(channel, MESSAGE_DRAIN, seat, 1, "");
    if (strcmp(mode, "wild:octets") == 0)
        (void)!write(channel, "x", 1);
    while (strcmp(mode, "wild:flood") == 0 && write(channel, "x", 1) > 0)
        ;
    if (strcmp(mode, "wild:close") == 0) {
        close(channel);
        for (;;)
            pause();
    }
}

static void __attribute__((__noreturn__)) work(int channel, const char *mode)
{
    unsigned seat;

    if (strcmp(mode, "early:exit") == 0)
        _exit(3);
    if (!receive(channel) || message.type != MESSAGE_GO)
        _exit(4);
    if (strcmp(mode, "worker:fails") == 0) {
        say(channel, MESSAGE_FAILED, message.seat, getpid(), "Traceback\nValueError: no");
        _exit(5);
    }
    seat = message.seat;
    if (strcmp(message.text, CHANNEL_GO_CHECK) == 0)
        say(channel, MESSAGE_LOADED, seat, getpid(), "");
    if (strcmp(mode, "check:fails") == 0) {
        say(channel, MESSAGE_FAILED, seat, getpid(), "GET /: 500");
        _exit(0);
    }
    if (strcmp(mode, "check:hangs") == 0)
        for (;;)
            pause();
    say(channel, MESSAGE_READY, seat, getpid(), "");
    if (seat == 0)
        run_wild(channel, mode, seat);
    while (receive(channel) && message.type != MESSAGE_DRAIN)
        ;
    say(channel, MESSAGE_DRAIN, seat, getpid(), "");
    _exit(0);
}

/* As a zygote does it, see worker/zygote.c. With "early:exit" the worker is reaped before its pid is told. */
static pid_t fork_worker(int channel, const char *mode)
{
    int ends[2];
    pid_t pid = -1, middle;

    if (pipe(ends) < 0)
        return -EIO;
    middle = fork();
    if (middle == 0) {
        pid = fork();
        if (pid == 0) {
            close(3);
            work(channel, mode);
        }
        _exit(write(ends[1], &pid, sizeof(pid)) != sizeof(pid));
    }
    waitpid(middle, NULL, 0);
    if (read(ends[0], &pid, sizeof(pid)) != sizeof(pid))
        return -EIO;
    close(ends[0]);
    close(ends[1]);
    while (strcmp(mode, "early:exit") == 0 && kill(pid, 0) == 0)
        poll(NULL, 0, 1);
    return pid;
}

static const char *mode_in(int fd)
{
    static const char *const modes[] = {
        "early:exit",    "worker:fails", "fork:fails",   "zygote:hangs", "zygote:dies", "load:fails",
        "zygote:octets", "zygote:init",  "zygote:ready", "wild:twice",   "wild:name",   "wild:octets",
        "wild:flood",    "wild:close",   "check:passes", "check:fails",  "check:hangs"};
    char text[8192] = "";

    (void)!pread(fd, text, sizeof(text) - 1, 0);
    for (size_t i = 0; i < ELEMENTSOF(modes); i++)
        if (strstr(text, modes[i]))
            return modes[i];
    return "serves";
}

static void spawn(const char *mode)
{
    unsigned seat = message.seat;
    int channel = message.fds[0];

    if (strcmp(mode, "zygote:dies") == 0)
        raise(SIGKILL);
    if (strcmp(mode, "zygote:hangs") == 0)
        for (;;)
            pause();
    if (strcmp(mode, "zygote:init") == 0)
        say(3, MESSAGE_SPAWNED, seat, 1, "");
    else if (strcmp(mode, "fork:fails") == 0)
        say(3, MESSAGE_SPAWNED, seat, -EAGAIN, "");
    else
        say(3, MESSAGE_SPAWNED, seat, fork_worker(channel, mode), "");
    close(channel);
}

static int zygote_main(void)
{
    const char *mode;

    if (!receive(3) || message.type != MESSAGE_HELLO || message.n_fds != 3 ||
        strcmp(message.text, "site") != 0)
        return 9;
    mode = mode_in(message.fds[0]);
    message_close_fds(&message);
    if (strcmp(mode, "load:fails") == 0) {
        say(3, MESSAGE_FAILED, 0, 0, "Traceback\nImportError: no");
        return 1;
    }
    if (strcmp(mode, "zygote:octets") == 0)
        (void)!write(3, "x", 1);
    if (strcmp(mode, "zygote:ready") == 0)
        say(3, MESSAGE_READY, 0, 0, "");
    say(3, MESSAGE_LOADED, 0, 0, "");
    while (receive(3))
        if (message.type == MESSAGE_SPAWN && message.n_fds == 1)
            spawn(mode);
    return 0;
}

/* --- the tests --- */

static sd_event *event;

/* The limits are short for what is to exceed them. */
static Config *new_config(const char *module)
{
    const char *check = strncmp(module, "check:", 6) == 0 ? "check_path = /\n" : "";
    char text[512];
    Config *c = NULL;
    char *error = NULL;

    (void)snprintf(text, sizeof(text),
                   "[app]\nmodule = %s\n[workers]\ncount = 2\n[timeouts]\nload = %s\nrequest = 1s\n"
                   "[reload]\n%scheck_timeout = %s\n",
                   module, strcmp(module, "zygote:hangs") == 0 ? "1s" : "1min", check,
                   strcmp(module, "check:hangs") == 0 ? "1s" : "1min");
    if (config_parse(text, strlen(text), "test", NULL, &c, &error) != 0)
        printf("# %s\n", error);
    free(error);
    return c;
}

static Generation *start(const char *module)
{
    static const Sockets none = SOCKETS_NONE;
    static Generation *generations;
    char *error = NULL;

    ok(generation_new(event, "site", 7, new_config(module), &none, 0, &generations, &error) == 0, "%s",
       module);
    return generations;
}

/* Lets things happen until the condition holds; whether it does. */
static bool run_until(Generation *g, bool (*condition)(const Generation *))
{
    usec_t end = clock_now_usec() + PATIENCE_USEC;

    while (!condition(g)) {
        usec_t now = clock_now_usec(), due = generation_advance(g, 2, now);
        siginfo_t exit = {0};

        if (now > end)
            return false;
        if (waitid(P_ALL, 0, &exit, WEXITED | WNOHANG) == 0 && exit.si_pid > 0) {
            (void)generation_on_change(g, &exit, now);
            continue;
        }
        (void)sd_event_run(event, due > now ? 5 * USEC_PER_MSEC : 0);
    }
    return true;
}

static bool all_serve(const Generation *g)
{
    return generation_count(g).n_serving == 2;
}

static bool has_failed(const Generation *g)
{
    return g->failure != NULL;
}

static bool zygote_is_gone(const Generation *g)
{
    return g->zygote == ZYGOTE_GONE;
}

static bool seats_are_empty(const Generation *g)
{
    return generation_count(g).n_workers == 0;
}

static bool is_quiet(const Generation *g)
{
    return generation_quiet_at(g) == 0;
}

static bool one_serves(const Generation *g)
{
    return generation_count(g).n_serving == 1;
}

static bool second_is_empty(const Generation *g)
{
    return g->seats[1].state == SEAT_EMPTY;
}

static void end(Generation *g)
{
    generation_kill(g, clock_now_usec());
    ok(run_until(g, generation_is_gone));
    generation_free(g);
}

static void test_life(const char *module)
{
    Generation *g = start(module);

    ok(run_until(g, all_serve));
    ok(!g->failure && g->seats[0].pid > 0 && g->seats[0].pid != g->seats[1].pid);
    is_int(generation_quiet_at(g), UINT64_MAX);
    generation_retire(g, clock_now_usec());
    ok(run_until(g, zygote_is_gone) && all_serve(g), "those who serve go on");
    generation_drain(g, 1, clock_now_usec());
    ok(run_until(g, one_serves));
    generation_drain_all(g, clock_now_usec());
    ok(generation_quiet_at(g) > 0);
    ok(run_until(g, is_quiet));
    ok(run_until(g, generation_is_gone) && !g->failure);
    generation_free(g);
}

static void test_failure(const char *module, const char *failure)
{
    Generation *g = start(module);

    ok(run_until(g, has_failed));
    is_string(g->failure, failure);
    end(g);
}

/* Those that sit elsewhere are tame. */
static bool tame_ones_serve(const Generation *g)
{
    return g->seats[0].state == SEAT_EMPTY && all_serve(g);
}

static void test_wild_worker(const char *module)
{
    Generation *g = start(module);

    ok(run_until(g, all_serve));
    ok(run_until(g, tame_ones_serve), "replaced");
    ok(!g->failure && generation_count(g).n_workers == 2);
    ok(g->debt.paid_usec > 0, "and not for nothing");
    end(g);
}

static void test_early_exit(void)
{
    Generation *g = start("early:exit");

    ok(run_until(g, has_failed));
    ok(strstr(g->failure, "exited with status 3"));
    generation_retire(g, clock_now_usec());
    ok(run_until(g, seats_are_empty), "no seat waits for somebody who is gone already");
    end(g);
}

static void test_zygote_that_dies(void)
{
    Generation *g = start("zygote:dies");

    ok(run_until(g, zygote_is_gone));
    ok(seats_are_empty(g));
    is_string(g->failure, "the zygote was killed by signal 9 (SIGKILL)");
    end(g);
}

static void test_zygote_that_hangs(void)
{
    Generation *g = start("zygote:hangs");

    ok(run_until(g, zygote_is_gone), "killed after timeouts.load");
    ok(seats_are_empty(g));
    end(g);
}

static void test_stuck_request(void)
{
    Generation *g = start("serves");
    ScoreboardSlot *slot;

    ok(run_until(g, all_serve));
    slot = scoreboard_slot(g->scoreboard, 1, 0);
    atomic_store(&slot->started_usec, UINT64_MAX);
    generation_advance(g, 2, clock_now_usec());
    ok(all_serve(g), "a time in the future is nobody's");
    is_int(generation_count(g).n_busy, 1);
    atomic_store(&slot->started_usec, clock_now_usec() - 2 * USEC_PER_SEC);
    generation_advance(g, 2, clock_now_usec());
    ok(all_serve(g), "the worker itself sees to that");
    atomic_store(&slot->started_usec, clock_now_usec() - 2 * USEC_PER_SEC - SEAT_GRACE_USEC);
    generation_advance(g, 2, clock_now_usec());
    is_int(g->seats[1].state, SEAT_ABORTING);
    ok(run_until(g, all_serve) && g->seats[2].state == SEAT_SERVING, "another takes its place at once");
    ok(run_until(g, second_is_empty) && !g->failure);
    is_int(atomic_load(&slot->started_usec), 0);
    end(g);
}

static void test_too_many_failures(void)
{
    Generation *g = start("worker:fails");
    usec_t now, due;

    ok(run_until(g, has_failed) && run_until(g, seats_are_empty));
    ok(g->debt.paid_usec > 0);
    now = clock_now_usec();
    g->debt.paid_usec = now + 3600 * USEC_PER_SEC;
    g->seats[0].retry_usec = g->seats[1].retry_usec = now;
    due = generation_advance(g, 2, now);
    ok(seats_are_empty(g) && due > now && due < now + 3600 * USEC_PER_SEC, "nobody is spawned for a while");
    g->zygote = ZYGOTE_LEAVING;
    ok(generation_advance(g, 2, due) > due, "who cannot spawn does not wait for a time that is over");
    g->zygote = ZYGOTE_READY;
    (void)generation_advance(g, 2, due);
    ok(!seats_are_empty(g), "then they are");
    end(g);
}

static void test_strength(void)
{
    Generation *g = start("serves");

    g->failure = strdup("of a try before");
    ok(run_until(g, all_serve));
    generation_advance(g, 2, clock_now_usec());
    ok(!g->failure, "who is strong again has no failure");
    end(g);
}

int main(int argc, char **argv)
{
    char directory[] = "/tmp/cgunicorn-test-XXXXXX", program[64], self[4096];
    ssize_t n;

    if (argc > 0 && strncmp(argv[0], "cgunicorn: zygote", 17) == 0)
        return zygote_main();
    log_init("", LOG_CRIT);
    (void)signal(SIGPIPE, SIG_IGN);
    if (!mkdtemp(directory) || setenv("CGUNICORN_LIBEXECDIR", directory, 1) < 0 ||
        prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0 || sd_event_new(&event) < 0)
        return 99;
    (void)snprintf(program, sizeof(program), "%s/cgunicorn-worker-" PYTHON_ABI, directory);
    n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (n < 0)
        return 99;
    self[n] = '\0';
    ok(symlink(self, program) == 0);
    test_life("serves");
    test_life("check:passes");
    test_failure("load:fails", "ImportError: no");
    test_failure("worker:fails", "ValueError: no");
    test_failure("check:fails", "GET /: 500");
    test_failure("check:hangs", "reload.check_path was not answered within reload.check_timeout");
    test_failure("fork:fails", "Resource temporarily unavailable");
    test_failure("zygote:octets", "the zygote sent nonsense to the supervisor");
    test_failure("zygote:ready", "the zygote sent nonsense to the supervisor");
    test_failure("zygote:init", "the zygote sent nonsense to the supervisor");
    test_wild_worker("wild:twice");
    test_wild_worker("wild:name");
    test_wild_worker("wild:octets");
    test_wild_worker("wild:flood");
    test_wild_worker("wild:close");
    test_early_exit();
    test_zygote_that_dies();
    test_zygote_that_hangs();
    test_stuck_request();
    test_too_many_failures();
    test_strength();
    sd_event_unref(event);
    (void)unlink(program);
    (void)rmdir(directory);
    return tap_done();
}
