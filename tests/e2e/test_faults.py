# SPDX-License-Identifier: MIT
"""What goes wrong within and around the server: workers that die or hang, signals at any moment, a clock that jumps,
errors of accept(2). What the machine runs out of is in test_limits.py."""
import errno
import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from client import request
from faults import Faults
from harness import DEADLINE, PROGRAM, SANITIZED, Server, poll
from supervision import (
    APP,
    BROKEN,
    OTHER,
    SLOW,
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

# /die?how and /hang?how, beside what APP has.
DEADLY = (
    APP
    + """
import ctypes, signal, threading
ordinary = app

def deadlock():
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()

DEATHS = {
    "SIGKILL": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "SIGSEGV": lambda: ctypes.string_at(0),
    "abort": os.abort,
    "_exit": lambda: os._exit(0),
}
HANGS = {
    "GIL held": lambda: max(iter(int, 1)),
    "deadlock": deadlock,
}

def app(environ, start_response):
    if environ["PATH_INFO"] == "/die":
        DEATHS[environ["QUERY_STRING"]]()
    if environ["PATH_INFO"] == "/hang":
        open("hanging", "w").close()
        HANGS[environ["QUERY_STRING"].replace("+", " ")]()
    return ordinary(environ, start_response)
"""
)


def zombies(server):
    """Dead children of the supervisor that nobody has waited for."""
    result = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if fields[0] == "Z" and int(fields[1]) == server.process.pid:
                result.append(entry.name)
    return result


def assert_well(server, n_workers):
    """As many processes as there should be, none dead, and requests are served."""
    poll(lambda: len(workers(server)) == n_workers, "the workers")
    poll(lambda: not zombies(server), "the dead to be reaped")
    poll(lambda: len(zygotes(server)) == 1 and len(processes(server)) == n_workers + 2, "the others to go")
    assert server.get("/pid").status == 200


# --- workers that die ---


@pytest.mark.parametrize(
    "how, said",
    [
        ("SIGKILL", r"killed by signal 9 \(SIGKILL\)"),
        ("SIGSEGV", r"killed by signal 11 \(SIGSEGV\)|exited with status 1"),
        ("abort", r"killed by signal 6 \(SIGABRT\)"),
        ("_exit", "exited with status 0"),
    ],
)
def test_worker_dies_in_a_request(start_server, how, said):
    """Its client sees the end of the connection and no response; the others are served; the place is filled again."""
    server = start_server(DEADLY, {"workers_count": 2})
    before = workers(server)
    with server.connect() as victim:
        victim.send(request(target=f"/die?{how}"))
        assert victim.wait_gone() == 0
    assert text(server) == "one"
    server.wait_for_log(f"({said}).* while it ran GET /die")
    poll(lambda: len(workers(server)) == 2 and workers(server) != before, "the next worker")
    assert_well(server, 2)
    assert server.notify.lines().count("READY=1") == 1
    ignore_faults(server)


def test_workers_die_again_and_again(start_server):
    """Each is replaced, later and later (seat_backoff_next() says when); requests wait in the socket meanwhile."""
    server = start_server(DEADLY)
    (zygote,) = zygotes(server)
    for _ in range(4):
        with server.connect() as victim:
            victim.send(request(target="/die?_exit"))
            assert victim.wait_gone() == 0
        assert text(server) == "one"
    poll(lambda: server.log().count("exited with status 0 while it ran GET /die") == 4, "four lines")
    assert zygotes(server) == {zygote}
    assert_well(server, 1)


# --- applications that hang: see test_timeouts.py too ---


@pytest.mark.parametrize("how", ["GIL held", "deadlock"])
def test_stuck_worker_does_not_stop_a_reload(start_server, how):
    server = start_server(DEADLY, {"timeouts_graceful": "1s"})
    (old,) = workers(server)
    with server.connect() as victim:
        victim.send(request(target=f"/hang?{how.replace(' ', '+')}"))
        wait_for_file(server, "hanging")
        write_app(server, DEADLY.replace('"one"', '"two"'))
        reload(server)
        assert text(server) == "two"
        assert victim.wait_gone() == 0
    server.wait_for_log(r"draining after timeouts.graceful=1s while it ran GET /hang")
    poll(lambda: old not in processes(server), "the old worker to be ended")
    assert_well(server, 1)
    ignore_faults(server)


def test_stuck_worker_does_not_stop_a_stop(start_server):
    server = start_server(DEADLY, {"timeouts_graceful": "1s"})
    with server.connect() as victim:
        victim.send(request(target="/hang?GIL+held"))
        wait_for_file(server, "hanging")
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
        assert victim.wait_gone() == 0
    assert not processes(server)
    ignore_faults(server)


# --- signals at any moment ---


def test_reload_while_starting():
    with Server(SLOW) as server:
        server.launch()
        wait_for_file(server, "importing")
        for _ in range(3):
            server.signal(signal.SIGHUP)
        write_app(server, APP.replace("one", "two"))
        release(server, "importing")
        notified(server, "^RELOADING=1")
        notified(server, "^READY=1", 2)
        assert text(server) == "two"
        assert_well(server, 1)
        assert [line for line in server.notify.lines() if line in ("READY=1", "RELOADING=1")] == [
            "READY=1",
            "RELOADING=1",
            "READY=1",
        ]
        server.stop()


def test_stop_in_a_reload(start_server):
    """Neither generation is left over, and the request under way is finished."""
    server = start_server(APP)
    thread, result = in_background(server.get, "/wait")
    wait_for_file(server, "waiting")
    write_app(server, SLOW)
    server.signal(signal.SIGHUP)
    wait_for_file(server, "importing")
    server.signal(signal.SIGTERM)
    notified(server, "^STOPPING=1")
    release(server, "waiting")
    thread.join(DEADLINE)
    assert result["value"].status == 200
    assert server.wait() == 0
    assert not processes(server)


# Its worker tells when it is about to say READY; /hold waits for the test.
TELLING = (
    SLOW
    + """
ordinary = app

def worker_ready(worker):
    with open("pid", "w") as file:
        file.write(str(worker.pid))
    os.rename("pid", "ready")

def app(environ, start_response):
    while environ["PATH_INFO"] == "/hold" and os.path.exists("held"):
        time.sleep(0.01)
    return ordinary(environ, start_response)
"""
)


def sleeps(pid):
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "S"


def test_stop_as_a_worker_becomes_ready(start_server):
    """The supervisor, which has not heard of that, ends it; its listener's clients are the next instance's."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    config = {"workers_count": 1, "workers_max": 2}
    server = start_server(APP, config, listeners=[listener.dup()], ini="")
    write_app(server, TELLING)
    (server.directory / "site.ini").write_text("[app]\nhooks = source_app\n")
    server.signal(signal.SIGHUP)
    wait_for_file(server, "importing")
    (server.directory / "held").touch()
    with server.connect() as running:
        running.send(request(target="/wait"))
        wait_for_file(server, "waiting")
        server.signal(signal.SIGSTOP)
        server.signal(signal.SIGTERM)
        with server.connect() as waiting:
            waiting.send(request(target="/hold"))
            release(server, "importing")
            wait_for_file(server, "ready")
            poll(lambda: sleeps((server.directory / "ready").read_text()), "the new worker to have said READY")
            server.signal(signal.SIGCONT)
            notified(server, "^STOPPING=1")
            release(server, "waiting")
            assert running.read_response().body == b"one"
            assert server.wait() == 0
            start_server(APP, listeners=[listener])
            assert waiting.read_response().body == b"one"


def test_reload_and_stop_at_once(start_server):
    server = start_server(APP, {"workers_count": 2})
    server.signal(signal.SIGHUP)
    server.signal(signal.SIGTERM)
    server.signal(signal.SIGHUP)
    assert server.wait() == 0
    assert not processes(server)


def test_stop_under_load(start_server):
    """Who was accepted is answered, and told that the connection ends; everybody else waits in the socket for the next
    start."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    server = start_server(APP, listeners=[listener.dup()])
    with server.connect() as idle, server.connect() as running:
        assert idle.request().body == b"one"
        running.send(request(target="/wait") + request())
        wait_for_file(server, "waiting")
        waiting = [server.connect() for _ in range(5)]
        for connection in waiting:
            connection.send(request())
        server.signal(signal.SIGTERM)
        notified(server, "^STOPPING=1")
        idle.assert_closed()
        release(server, "waiting")
        response = running.read_response()
        while not response.closes:
            assert response.status == 200
            response = running.read_response()
        assert (response.status, response.body) == (200, b"one")
        running.assert_closed()
    assert server.wait() == 0
    with server.connect() as late:
        late.send(request())
        start_server(APP.replace("one", "two"), listeners=[listener])
        assert late.read_response().body == b"two"
    for connection in waiting:
        response = connection.read_response()
        assert response.body == (b"one" if response.closes else b"two")
        connection.close()


def test_killed_supervisor_lets_requests_finish(start_server):
    server = start_server(APP, {"workers_count": 2})
    with server.connect() as client:
        client.send(request(target="/wait"))
        wait_for_file(server, "waiting")
        server.signal(signal.SIGKILL)
        server.process.wait(DEADLINE)
        poll(lambda: len(workers(server)) == 1, "the idle worker to leave, as the busy one will")
        release(server, "waiting")
        response = client.read_response()
        assert response.status == 200 and response.closes
        client.assert_closed()
    poll(lambda: not processes(server), "the workers and the zygote to leave")
    server.process = None


# --- applications that take all there is ---

# /memory asks for more than there may be; /tasks makes processes until there may be no more.
GREEDY = (
    APP
    + """
import signal
modest = app

def app(environ, start_response):
    if environ["PATH_INFO"] == "/memory":
        bytearray(1 << 60)  # a TiB would be had where memory is not reserved, as by mimalloc of a free-threaded Python
    if environ["PATH_INFO"] == "/tasks":
        while True:
            pid = os.fork()
            if pid == 0:
                signal.pause()
            with open("tasks", "a") as file:
                print(pid, file=file)
    return modest(environ, start_response)
"""
)


@pytest.mark.skipif(SANITIZED, reason="with a sanitizer, malloc() of that size ends the process")
def test_application_without_memory(start_server):
    server = start_server(GREEDY)
    before = workers(server)
    assert server.get("/memory").status == 500
    server.wait_for_log("MemoryError")
    assert text(server) == "one" and workers(server) == before


def test_no_process_may_be_made():
    """A worker that dies meanwhile is replaced as soon as one may be."""
    other = ["setpriv", f"--reuid={OTHER}", "--clear-groups"]
    wrapper = ["prlimit", "--nproc=32", *other]
    if subprocess.run([*wrapper, str(PROGRAM), "--version"], capture_output=True, check=False).returncode != 0:
        pytest.skip("may not become another user, who has no other processes")
    with Server(GREEDY, {"timeouts_request": "0"}, wrapper=wrapper) as server:
        for path in (server.directory, server.directory / "log"):
            path.touch()
            os.chown(path, OTHER, -1)
        server.launch()
        poll(server.notify.path.exists)
        server.notify.path.chmod(0o777)
        server.wait_for_notification("READY=1")
        assert server.get("/tasks").status == 500
        server.wait_for_log("BlockingIOError")
        (zygote,) = zygotes(server)
        subprocess.run([*other, "prlimit", f"--pid={zygote}", "--nproc=1:32"], check=True)
        os.kill(int(text(server, "/pid")), signal.SIGKILL)
        server.wait_for_log("Cannot fork worker 0: Resource temporarily unavailable")
        with (server.directory / "tasks").open() as tasks:
            for pid in tasks:
                os.kill(int(pid), signal.SIGKILL)
        subprocess.run([*other, "prlimit", f"--pid={zygote}", "--nproc=32:32"], check=True)
        assert text(server) == "one"
        server.check_faults()


def test_system_exit_is_never_the_servers(start_server):
    """gunicorn takes SystemExit(3) for a failure to boot, and stops."""
    server = start_server("behaviours:app")
    before = server.pids()
    for when in ("before", "started", "empty"):
        assert server.get(f"/raises?when={when}&what=SystemExit").status == 500
    assert server.get("/hello").status == 200
    assert server.pids() == before


# --- a service manager that is stuck ---


@pytest.fixture(params=["path", "abstract"])
def stuck_manager(request, tmp_path):
    """A NOTIFY_SOCKET whose queue is full, and nobody reads it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as unread, socket.socket(
        socket.AF_UNIX, socket.SOCK_DGRAM
    ) as other:
        unread.bind(str(tmp_path / "stuck") if request.param == "path" else "")
        unread.settimeout(DEADLINE)
        other.setblocking(False)
        with pytest.raises(BlockingIOError):
            while True:
                other.sendto(b"OTHER=1", unread.getsockname())
        yield unread


def notify_variables(manager):
    name = manager.getsockname()
    name = name if isinstance(name, str) else name.replace(b"\0", b"@").decode()
    return ["env", f"NOTIFY_SOCKET={name}", "WATCHDOG_USEC=20000"]


def read_notifications(manager, last):
    """All lines up to that one, but those of others."""
    lines = []
    while last not in lines:
        lines += manager.recv(4096).decode().splitlines()
    return [line for line in lines if line != "OTHER=1"]


def test_notifications_that_nobody_reads(stuck_manager):
    """Workers are replaced, reloads go on; what systemd must know is told, in its order, when it reads again."""
    with Server(APP, wrapper=notify_variables(stuck_manager)) as server:
        server.launch()
        server.wait_for_log("Ready: 1 workers")
        (victim,) = workers(server)
        os.kill(victim, signal.SIGKILL)
        assert text(server) == "one"
        write_app(server, APP.replace("one", "two"))
        server.signal(signal.SIGHUP)
        server.wait_for_log("Generation 2 serves")
        assert text(server) == "two"
        poll(lambda: not zombies(server), "the dead to be reaped")
        lines = read_notifications(stuck_manager, "RELOADING=1")
        lines += read_notifications(stuck_manager, "READY=1")
        states = [line for line in lines if line in ("READY=1", "RELOADING=1")]
        assert states == ["READY=1", "RELOADING=1", "READY=1"]
        read_notifications(stuck_manager, "WATCHDOG=1")
        server.stop()


def test_last_words_to_a_manager_that_is_stuck(stuck_manager):
    """They wait for room, and until they were read."""
    with Server(BROKEN, wrapper=notify_variables(stuck_manager)) as server:
        server.launch()
        server.wait_for_log("cannot load the application")
        assert server.process.poll() is None
        lines = read_notifications(stuck_manager, "BARRIER=1")
        assert "STATUS=ValueError: broken source" in lines
        assert server.process.wait(DEADLINE) == 70


# --- faults that the kernel makes, see faults.c ---


@pytest.fixture
def faults(tmp_path):
    if SANITIZED:
        pytest.skip("a sanitizer must be preloaded first")
    return Faults(tmp_path / "faults")


@pytest.mark.parametrize("error", ["ECONNABORTED", "EINTR", "EAGAIN", "EPROTO", "ENETDOWN", "EPERM"])
def test_errors_of_accept_that_concern_one_client(start_server, faults, error):
    """Ignored: the next one is served, and nothing is said."""
    server = start_server(APP, environment=faults.environment())
    faults.set(accept_errno=getattr(errno, error), n_accept_errors=3)
    assert text(server) == "one"
    assert faults.n_accept_errors() == 0
    assert not re.search(r"\[(WARNING|ERROR|CRITICAL)\]", server.log())


@pytest.mark.parametrize("error", ["EMFILE", "ENFILE", "ENOMEM", "ENOBUFS"])
def test_errors_of_accept_that_pass_by(start_server, faults, error):
    """A pause, one line, and all is well again by itself."""
    server = start_server(APP, environment=faults.environment())
    faults.set(accept_errno=getattr(errno, error), n_accept_errors=3)
    assert text(server) == "one"
    assert faults.n_accept_errors() == 0
    server.wait_for_log(re.escape(os.strerror(getattr(errno, error))))
    assert server.log().count("Cannot accept connections for now") == 1


@pytest.mark.parametrize("days", [36500, -10000])
def test_clock_that_jumps(start_server, faults, days):
    """Time-outs go on as they were, as their clock is CLOCK_MONOTONIC; Date is the new time."""
    server = start_server(APP, {"timeouts_request": "1h"}, environment=faults.environment())
    with server.connect() as idle, server.connect() as running:
        assert idle.request().status == 200
        running.send(request(target="/wait"))
        wait_for_file(server, "waiting")
        faults.set(clock_offset_sec=days * 86400)
        with server.connect() as unfinished:
            unfinished.send(b"GET / HT")
            release(server, "waiting")
            assert running.read_response().status == 200
            year = time.gmtime(time.time() + days * 86400).tm_year
            assert f" {year} " in running.request().header("Date")
            assert f" {year} " in idle.request().header("Date")
            unfinished.send(b"TP/1.1\r\nHost: a\r\n\r\n")
            assert unfinished.read_response().status == 200
    assert len(workers(server)) == 1
    assert not re.search(r"\[(WARNING|ERROR|CRITICAL)\]|was killed", server.log())


def test_time_outs_when_the_clock_was_set_back(start_server, faults):
    server = start_server(APP, {"timeouts_head": "1s"}, environment=faults.environment())
    with server.connect() as unfinished:
        unfinished.send(b"GET / HT")
        faults.set(clock_offset_sec=-86400)
        assert unfinished.read_response().status == 408


def test_worker_that_is_busy_takes_no_connection(start_server):
    """It leaves them to its sibling, also the first one after its thread was overtaken."""
    server = start_server(APP, {"workers_count": 2})
    for _ in range(8):
        thread, result = in_background(server.get, "/wait")
        wait_for_file(server, "waiting")
        for _ in range(4):
            assert text(server) == "one"
        release(server, "waiting")
        thread.join(DEADLINE)
        assert result["value"].status == 200
