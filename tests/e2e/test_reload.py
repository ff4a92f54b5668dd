# SPDX-License-Identifier: MIT
"""Deploying: the check that new code has to pass, and what happens to code that does not."""
import json
import os
import signal
import time
from pathlib import Path

import pytest

from client import request
from harness import WORKER_CLASS, Server, poll
from supervision import (
    APP,
    exit_status,
    ignore_faults,
    in_background,
    notified,
    processes,
    release,
    reload,
    text,
    wait_for_file,
    workers,
    write_app,
    zygotes,
)

CHECK = {"reload_check_path": "/health?full=1"}

# Keeps what each request of the check looked like; VERSION tells a client's requests which code answers them.
CHECKED = """
import json, os, sys, time

VERSION = "one"

def health(environ, start_response):
    start_response("204 No Content", [])
    return []

def app(environ, start_response):
    if environ["PATH_INFO"] == "/health":
        with open("checks", "a") as checks:
            seen = {name: value for name, value in environ.items() if isinstance(value, str)}
            checks.write(json.dumps({**seen, "version": VERSION, "pid": os.getpid()}) + "\\n")
        return health(environ, start_response)
    start_response("200 OK", [])
    return [VERSION.encode()]
"""


def checked(version, health=None):
    """The application, with another body of health()."""
    source = CHECKED.replace('"one"', f'"{version}"')
    if health:
        source = source.replace('    start_response("204 No Content", [])\n    return []\n', f"    {health}\n")
    return source


def checks(server):
    path = server.directory / "checks"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


# --- the check ---


@pytest.mark.parametrize("preload", ["yes", "no"])
def test_check_is_asked_once(start_server, preload):
    server = start_server(checked("one"), {**CHECK, "workers_count": 2, "workers_preload": preload})
    assert {check["pid"] for check in checks(server)} == workers(server), "at the start, all of them"
    first = checks(server)[0]
    assert (first["REQUEST_METHOD"], first["PATH_INFO"], first["QUERY_STRING"]) == ("GET", "/health", "full=1")
    assert (first["HTTP_HOST"], first["SERVER_NAME"], first["REMOTE_ADDR"]) == ("localhost", "localhost", "127.0.0.1")
    assert first["HTTP_USER_AGENT"].startswith("cgunicorn-check/")
    (server.directory / "checks").unlink()
    write_app(server, checked("two"))
    reload(server)
    (canary,) = checks(server)
    assert canary["version"] == "two" and canary["pid"] in workers(server)
    assert text(server) == "two"
    assert "Generation 2 serves" in server.log()


def test_check_of_a_worker_that_follows_another(start_server):
    """The generation has proven itself: whoever comes later is not asked."""
    server = start_server(checked("one"), CHECK)
    (victim,) = workers(server)
    os.kill(victim, signal.SIGKILL)
    poll(lambda: workers(server) - {victim}, "the next worker")
    assert text(server) == "one"
    assert [check["pid"] for check in checks(server)] == [victim]


def test_check_takes_no_connection_of_clients(start_server):
    """Until the answer is here, everybody is served by the old code."""
    server = start_server(checked("one"), CHECK)
    write_app(server, checked("two", "while not os.path.exists('go'): time.sleep(0.01)\n    "
                              "start_response('200 OK', [])\n    return [b'x' * 100000]"))
    server.signal(signal.SIGHUP)
    poll(lambda: len(checks(server)) == 2, "the check of the new code")
    assert {text(server) for _ in range(50)} == {"one"}
    (server.directory / "go").touch()
    notified(server, "^READY=1", 2)
    assert text(server) == "two"


BAD = {
    "error": ("start_response('503 Service Unavailable', []); return [b'\\n the database\\x1b is away\\nmore']",
              "was answered with 503 Service Unavailable: the database\\\\x1b is away"),
    "exception": ("raise RuntimeError('no ' + 'database')", "was answered with 500 Internal Server Error"),
    "nothing": ("sys.stdin.close(); start_response('200 OK', []); return iter(lambda: environ['no'], 1)",
                "was answered with 500 Internal Server Error"),
    "hang": ("time.sleep(1000)", "reload.check_path was not answered within reload.check_timeout"),
    "timeout": ("time.sleep(1000)", "was answered with 504 Gateway Timeout"),
    "exit": ("os._exit(3)", "worker 0 exited with status 3"),
    "crash": ("os.kill(os.getpid(), 9)", "worker 0 was killed by signal 9 .SIGKILL."),
}
# For the bad code alone.
LIMITS = {"hang": "[reload]\ncheck_timeout = 1s\n", "timeout": "[timeouts]\nrequest = 1s\n"}


@pytest.mark.parametrize("name", BAD)
def test_bad_answer_keeps_the_old_code(start_server, name):
    health, reason = BAD[name]
    server = start_server(checked("one"), {**CHECK, "workers_count": 2}, ini="")
    before = workers(server)
    answers, stop = set(), []

    def ask():
        while not stop:
            answers.add(text(server))

    thread, result = in_background(ask)
    write_app(server, checked("two", health))
    (server.directory / "site.ini").write_text(LIMITS.get(name, ""))
    reload(server)
    stop.append(True)
    thread.join()
    assert result["value"] is None and answers == {"one"}
    notified(server, f"^STATUS=.*generation 1; last reload failed: .*{reason}")
    server.wait_for_log(f"Reload failed, generation 1 goes on serving: .*{reason}")
    if name == "hang":
        server.wait_for_log("is not done answering reload.check_path after reload.check_timeout=1s: killing it")
        if WORKER_CLASS == "threads":
            server.wait_for_log(r'source_app.py", line \d+ in health')
    if name == "exception":
        assert "RuntimeError: no database" in server.log()
    poll(lambda: workers(server) == before and len(zygotes(server)) == 1, "the new generation to leave")
    write_app(server, checked("three"))
    (server.directory / "site.ini").write_text("")
    reload(server, 3)
    assert text(server) == "three"
    ignore_faults(server)


def test_check_is_none_of_the_requests_that_are_counted(start_server):
    server = start_server(checked("one"), {**CHECK, "workers_max_requests": 1, "workers_max_requests_jitter": 0})
    (first,) = workers(server)
    assert len(checks(server)) == 1 and "it has answered" not in server.log()
    assert text(server) == "one"
    poll(lambda: first not in processes(server), "the worker to be replaced")


def test_start_fails_when_the_check_does():
    with Server(checked("one", "start_response('500 No', []); return [b'down']"), CHECK) as server:
        assert exit_status(server.launch()) == 70
        notified(server, r"^STATUS=reload.check_path: GET /health\?full=1 was answered with 500 No: down$")
        assert "Worker 0 of generation 1" in server.log() and "does not serve: reload.check_path" in server.log()
        assert not processes(server)


def test_stop_in_a_check():
    with Server(checked("one", "open('waiting', 'w').close(); time.sleep(1000)"), CHECK) as server:
        server.launch()
        wait_for_file(server, "waiting")
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
        assert not processes(server)


def test_supervisor_that_dies_in_a_check():
    """Nobody is left to tell that the answer was good: the worker takes no connection, and goes."""
    with Server(checked("one", "open('waiting', 'w').close()\n"
                            "    while os.path.exists('waiting'): time.sleep(0.01)\n"
                            "    start_response('200 OK', [])\n    return []"), CHECK) as server:
        server.launch()
        wait_for_file(server, "waiting")
        client = server.connect()
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        server.signal(signal.SIGKILL)
        server.wait()
        release(server, "waiting")
        poll(lambda: not processes(server), "the worker to leave")
        server.listeners[0].close()
        assert client.wait_gone() == 0


def test_host_of_the_check(start_server):
    server = start_server(checked("one"), {**CHECK, "reload_check_host": "www.example.org:8080"})
    assert checks(server)[0]["HTTP_HOST"] == "www.example.org:8080"


@pytest.mark.parametrize("key, value", [("check_path", "health"), ("check_path", "/a b"), ("check_host", "a b")])
def test_keys_of_the_check(key, value):
    with Server(APP, {f"reload_{key}": value}) as server:
        assert exit_status(server.launch()) == 78
        assert f'reload.{key}: "{value}" is no {key[6:]};' in server.log()


# --- one after the other ---


class Census:
    """How many workers there are, again and again until the end of the with block."""

    def __init__(self, server):
        self.counts, self.is_over, self.known = set(), False, set()
        pid = server.process.pid
        self.children = Path(f"/proc/{pid}/task/{pid}/children")

    def __enter__(self):
        self.thread, self.result = in_background(self.run)
        return self

    def __exit__(self, *exception):
        self.is_over = True
        self.thread.join()
        assert exception[0] or self.result["value"] is None

    def is_worker(self, pid):
        try:
            if pid not in self.known and Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"cgunicorn: worker"):
                self.known.add(pid)
        except OSError:
            pass
        return pid in self.known

    def run(self):
        """By what is there twice: children that end meanwhile may hide others (proc(5))."""
        before = None
        while not self.is_over:
            now = self.children.read_text()
            if now == before:
                self.counts.add(sum(self.is_worker(pid) for pid in now.split()))
            before = now


@pytest.mark.parametrize("surge", [1, 2])
@pytest.mark.parametrize("preload", ["yes", "no"])
def test_surge(start_server, preload, surge):
    """Never more processes than count and surge, never fewer than count; whatever their connections do meanwhile."""
    server = start_server(APP, {"workers_count": 3, "workers_preload": preload, "reload_surge": surge})
    is_over = []

    def ask(client):
        while not is_over:
            if client.request("GET", "/").closes:
                client.close()
                client = server.connect()

    with Census(server) as census:
        idle = [server.connect() for _ in range(6)]
        for client in idle[:3]:
            client.request("GET", "/")
        askers = [in_background(ask, server.connect()) for _ in range(3)]
        for number in range(2, 6):
            write_app(server, APP.replace("one", str(number)))
            reload(server, number)
            assert text(server) == str(number)
        is_over.append(True)
        for thread, result in askers:
            thread.join()
            assert result["value"] is None
        poll(lambda: len(workers(server)) == 3, "the old workers to go")
    assert census.counts <= set(range(3, 4 + surge))
    for client in idle:
        client.close()


# While "held" exists, a worker that starts waits until the test removes its file.
HELD_AT_START = """
def worker_start(worker):
    name = f"starting.{os.getpid()}"
    if os.path.exists("held"):
        open(name, "w").close()
        while os.path.exists(name):
            time.sleep(0.001)
"""


@pytest.mark.parametrize("surge", [1, 2])
@pytest.mark.parametrize("preload", ["yes", "no"])
def test_as_many_at_once_as_surge(start_server, preload, surge):
    """After the first, which shows that the new code works."""
    config = {"workers_count": 3, "workers_preload": preload, "reload_surge": surge, "app_hooks": "source_app"}
    server = start_server(APP + HELD_AT_START, config)
    old, first = workers(server), []

    def starting():
        return [path.name for path in server.directory.glob("starting.*")]

    def are_surging():
        return len(starting()) == surge and starting() != first and len(workers(server)) == 3 + surge

    (server.directory / "held").touch()
    server.signal(signal.SIGHUP)
    poll(starting, "the first new worker")
    first = starting()
    assert len(first) == 1
    poll(lambda: len(workers(server) - old) == 1, "one new worker")
    release(server, first[0])
    poll(are_surging, "as many as reload.surge to start")
    release(server, "held")
    for name in starting():
        release(server, name)
    notified(server, "^READY=1", 2)


def ask_until_released(server, n):
    """n requests that wait in the application, each in a worker of its own."""
    threads = []
    for i in range(n):
        (server.directory / "held").touch()
        threads.append(in_background(server.get, "/hold"))
        notified(server, f"^STATUS=.* {i + 1} busy")
    return threads


HOLD = APP.replace('path == "/orphan"', 'path == "/hold":\n        while os.path.exists("held"):\n'
                   '            time.sleep(0.01)\n    if path == "/orphan"')


def finish(server, threads, body):
    release(server, "held")
    for thread, result in threads:
        thread.join()
        assert result["value"].body == body


def test_surge_waits_for_those_who_go(start_server):
    """An old worker with a request to finish keeps its place until it is done; nobody is refused."""
    server = start_server(HOLD, {"workers_count": 2})
    before = workers(server)
    with Census(server) as census:
        threads = ask_until_released(server, 2)
        write_app(server, APP.replace("one", "two"))
        server.signal(signal.SIGHUP)
        notified(server, "^STATUS=1/2 workers, .* generation 2")
        assert text(server) == "two"
        assert before < workers(server) and len(workers(server)) == 3
        finish(server, threads, b"one")
        notified(server, "^READY=1", 2)
        assert text(server) == "two"
    assert max(census.counts) == 3


def test_who_has_nothing_to_finish_goes_first(start_server):
    server = start_server(HOLD, {"workers_count": 3})
    threads = ask_until_released(server, 1)
    write_app(server, APP.replace("one", "two"))
    reload(server)
    assert {text(server) for _ in range(20)} == {"two"}
    poll(lambda: len(workers(server)) == 4, "the idle ones to be gone")
    assert threads[0][0].is_alive()
    finish(server, threads, b"one")


def test_idle_connections_live_on(start_server):
    """Also those in the middle of a head, and those that have said nothing yet."""
    server = start_server(APP, {"workers_count": 2, "timeouts_head": "1h", "timeouts_keepalive": "1h"})
    fresh, partial, kept = server.connect(), server.connect(), [server.connect() for _ in range(300)]
    partial.send(request(target="/version")[:-9])
    for client in kept:
        assert client.request().body == b"one"
    for version in range(2, 5):
        write_app(server, APP.replace("one", str(version)))
        reload(server, version)
        poll(lambda: len(workers(server)) == 2, "the old workers to go")
        for client in kept[::50]:
            assert client.request().body == str(version).encode()
    partial.send(request(target="/version")[-9:])
    for client in (fresh, partial):
        client.send(request() if client is fresh else b"")
        assert client.read_response().body == b"4"
    for client in kept:
        assert client.request().body == b"4"
        client.close()


def test_pipelined_requests_in_a_reload(start_server):
    """Those behind one that is running are the new code's, on the same connection."""
    server = start_server(APP)
    with server.connect() as client:
        client.send(request(target="/wait") + request("GET", "/", "X-Field: " + "x" * 2000) * 20)
        wait_for_file(server, "waiting")
        write_app(server, APP.replace("one", "two"))
        reload(server)
        release(server, "waiting")
        assert client.read_response().body == b"one"
        for _ in range(20):
            assert client.read_response().body == b"two"
        assert client.request().body == b"two"


# --- back to the code before ---

PRELOAD = {"workers_preload": "yes", "workers_count": 2}


def kill_workers(server, n):
    """One after the other, each as soon as it has taken the place of the one before."""
    poll(lambda: len(workers(server)) == 2, "the old workers to go")
    killed = set()
    for _ in range(n):
        victim = poll(lambda: workers(server) - killed).pop()
        os.kill(victim, signal.SIGKILL)
        killed.add(victim)
        server.wait_for_log(rf"\(pid {victim}\) was killed by signal 9")


def test_code_whose_workers_die_is_rolled_back(start_server):
    server = start_server(APP, {**PRELOAD, "reload_watch": "1h"})
    write_app(server, APP.replace("one", "two"))
    reload(server)
    assert text(server) == "two"
    poll(lambda: len(zygotes(server)) == 2 and len(workers(server)) == 2, "the zygote before to stay")
    kill_workers(server, 3)
    why = "3 workers of generation 2 died within reload.watch=1h after it took over"
    server.wait_for_log(f"{why}: generation 1 takes over again")
    notified(server, f"^STATUS=2/2 workers, .* generation 1; last reload failed: {why}$")
    poll(lambda: len(workers(server, 1)) == len(workers(server)) == 2, "the bad generation to go")
    assert {text(server) for _ in range(10)} == {"one"}
    kill_workers(server, 1)
    poll(lambda: len(workers(server)) == 2, "the next worker")
    assert {text(server) for _ in range(10)} == {"one"}, "from memory, not from the disk"

    write_app(server, APP.replace("one", "three"))
    server.signal(signal.SIGHUP)
    notified(server, "^STATUS=2/2 workers, .* generation 3$")
    assert {text(server) for _ in range(10)} == {"three"}
    assert server.log().count("takes over again") == 1


def test_roll_back_keeps_the_size(start_server):
    elastic = {"workers_count": "1", "workers_min": "1", "workers_max": "3", "workers_shrink_after": "1h"}
    server = start_server(APP, {**PRELOAD, **elastic, "reload_watch": "1h"})
    reload(server)
    poll(lambda: len(workers(server)) == 1, "the worker before to go")
    server.signal(signal.SIGTTIN)
    poll(lambda: len(workers(server)) == 2, "the second worker")
    kill_workers(server, 3)
    server.wait_for_log("generation 1 takes over again")
    notified(server, "^STATUS=2/2 workers, .* generation 1;")


def test_new_code_that_crashes_is_rolled_back_under_load(start_server):
    """What dies in requests: each client loses at most those that killed a worker."""
    crashes = 'path = environ["PATH_INFO"]\n    if path == "/crash": os.kill(os.getpid(), 9)'
    server = start_server(APP, {**PRELOAD, "reload_watch": "1h", "reload_rollback_deaths": "2"})
    write_app(server, APP.replace("one", "two").replace('path = environ["PATH_INFO"]', crashes))
    reload(server)
    poll(lambda: len(workers(server)) == 2, "the workers before to go, whose titles are those of who comes back")
    for _ in range(2):
        with server.connect() as client:
            client.send(b"GET /crash HTTP/1.1\r\nHost: a\r\n\r\n")
            client.wait_gone()
    server.wait_for_log("generation 1 takes over again")
    poll(lambda: len(workers(server, 1)) == len(workers(server)) == 2, "the bad generation to go")
    assert text(server, "/crash") == "one"
    ignore_faults(server)


def test_zygote_before_goes_after_the_watch(start_server):
    server = start_server(APP, {**PRELOAD, "reload_watch": "300ms"})
    reload(server)
    poll(lambda: len(zygotes(server)) == 1, "the zygote before to go")
    kill_workers(server, 4)
    poll(lambda: len(workers(server)) == 2, "the workers")
    assert text(server) == "one"
    assert "generation 1 takes over again" not in server.log()


def test_reload_in_the_watch(start_server):
    """The newest code that served is what is gone back to."""
    server = start_server(APP, {**PRELOAD, "reload_watch": "1h"})
    for number in range(2, 5):
        write_app(server, APP.replace("one", str(number)))
        reload(server, number)
        poll(lambda: len(zygotes(server)) == 2, "all zygotes but two to go")
    kill_workers(server, 3)
    server.wait_for_log("generation 3 takes over again")
    poll(lambda: {text(server) for _ in range(5)} == {"3"})


def test_zygote_before_that_dies(start_server):
    server = start_server(APP, {**PRELOAD, "reload_watch": "1h"})
    (before,) = zygotes(server)
    reload(server)
    os.kill(before, signal.SIGKILL)
    server.wait_for_log("The zygote of generation 1 .* was killed")
    kill_workers(server, 3)
    server.wait_for_log("3 workers of generation 2 died .* and there is none to go back to")
    assert text(server) == "one"


@pytest.mark.parametrize("config", [{"workers_preload": "no"}, {"reload_rollback_deaths": "0"}, {"reload_watch": "0"}])
def test_deaths_without_a_way_back(start_server, config):
    """Nothing is kept that can't be used; the site goes on with what it has."""
    server = start_server(APP, {**PRELOAD, "reload_watch": "1h", **config})
    write_app(server, APP.replace("one", "two"))
    reload(server)
    poll(lambda: len(zygotes(server)) == 1, "the zygote before to go")
    kill_workers(server, 3)
    poll(lambda: len(workers(server)) == 2, "the workers")
    assert text(server) == "two"
    if config == {"workers_preload": "no"}:
        server.wait_for_log("and there is none to go back to")
    else:
        assert "and there is none to go back to" not in server.log()
    assert "last reload failed" not in "\n".join(server.notify.messages)


@pytest.mark.parametrize("config", [{}, {"reload_watch": "0"}])
def test_deaths_end_a_reload(start_server, config):
    """Else the next one, with better code, would wait for its end for ever."""
    server = start_server(HOLD, {"workers_count": 2, "workers_preload": "no", **config})
    threads = ask_until_released(server, 2)
    server.signal(signal.SIGHUP)
    notified(server, "^STATUS=1/2 workers, .* generation 2")
    for _ in range(3):
        victim = int(text(server, "/pid"))
        os.kill(victim, signal.SIGKILL)
        server.wait_for_log(rf"\(pid {victim}\) was killed by signal 9")
    server.wait_for_log("Reload failed, generation 2 goes on serving: ")
    notified(server, "^READY=1", 2)
    finish(server, threads, b"one")


def test_stop_in_the_watch():
    with Server(APP, {**PRELOAD, "reload_watch": "1h"}).start() as server:
        reload(server)
        poll(lambda: len(zygotes(server)) == 2)
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
        assert not processes(server)
