# SPDX-License-Identifier: MIT
"""Requests that take longer than timeouts.request: what their clients get, what the log says, and what becomes of the
worker and its other requests."""
import contextlib
import os
import re
import signal

import pytest

from client import Truncated, request
from harness import SANITIZED, of_threads, poll
from supervision import (
    APP,
    SLOW,
    ignore_faults,
    processes,
    release,
    wait_for_file,
    workers,
    write_app,
)

# /hang?how, /begun?how, /closing?how: before the response, within it, behind it. /wait as in supervision.APP.
HANGING = """
import os, socket, threading, time

def is_tcp(fd):
    try:
        return socket.socket(fileno=os.dup(fd)).family == socket.AF_INET
    except OSError:
        return False

def hang_sleep():
    time.sleep(3600)

def hang_read():
    os.read(os.pipe()[0], 1)

def hang_lock():
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()

def hang_loop():
    while True:
        pass

def hang_gil():
    max(iter(int, 1))

def hang_file():  # until the test removes the file
    open("hanging", "w").close()
    while os.path.exists("hanging"):
        time.sleep(0.01)

def hang(how):
    open("begun", "w").close()
    globals()["hang_" + how]()

def note(line):
    with open("notes", "a") as notes:
        notes.write(line + "\\n")

class Body:
    def __init__(self, blocks, hangs_in_close=None):
        self.blocks = iter(blocks)
        self.hangs_in_close = hangs_in_close
    def __iter__(self):
        return self
    def __next__(self):
        return next(self.blocks)
    def close(self):
        note("closed")
        if self.hangs_in_close:
            hang(self.hangs_in_close)

def begun(how):
    yield b"first"
    hang(how)
    yield b"second"

def app(environ, start_response):
    path, how = environ["PATH_INFO"], environ["QUERY_STRING"]
    headers = [("Content-Type", "text/plain")]
    if path == "/wait":
        open("waiting", "w").close()
        while os.path.exists("waiting"):
            time.sleep(0.01)
    if path == "/fork":  # how many of the connections a child has
        reading, writing = os.pipe()
        if os.fork() == 0:
            os.write(writing, b"%d of %d" % (sum(map(is_tcp, range(100))), os.getppid()))
            os._exit(0)
        os.wait()
        start_response("200 OK", headers)
        return [os.read(reading, 100)]
    if path == "/hang":
        hang(how)
        note("returned")
    if path == "/fail":
        hang(how)
        raise ValueError("after " + "all")
    start_response("200 OK", headers)
    if path == "/begun":
        return Body(begun(how))
    if path == "/closing":
        return Body([b"all of it"], how)
    return Body([str(os.getpid()).encode()])
"""

HOWS = ["sleep", "read", "lock", "loop", "gil"]


@pytest.fixture
def start(start_server):
    """start(threads, source, …): a server with that application and timeouts.request=1s."""

    def start(threads=1, source=HANGING, **config):
        return start_server(source, {"timeouts_request": "1s", "workers_threads": threads, **config})

    return start


def pid(server):
    return int(server.get("/pid").body)


def wait_for_record(server, request_line, function):
    """The one record, in which the stack of the right thread follows."""
    server.wait_for_log(
        r"\[ERROR\] This worker has run %s for \d+\.\d s, longer than timeouts\.request=1s: [^\n]+\n"
        r"Stack \(most recent call first\):\n(  File [^\n]+\n)*?"
        r'  File "[^"]+source_app\.py", line \d+ in %s\n' % (re.escape(request_line), function)
    )


def wait_for_replacement(server, old):
    poll(lambda: old not in processes(server), "the old worker to end")
    assert pid(server) != old


@contextlib.contextmanager
def no_replacement(server):
    """Until the end of the block: the application is being imported."""
    write_app(server, SLOW.removesuffix(APP) + HANGING)
    yield
    wait_for_file(server, "importing")
    release(server, "importing")


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("how", HOWS)
def test_client_gets_504(start, how, threads):
    server = start(threads)
    (old,) = workers(server)
    with server.connect() as victim:
        victim.send(request(target=f"/hang?{how}"))
        response = victim.read_response()
        assert (response.status, response.header("Connection")) == (504, "close")
        victim.assert_closed()
    wait_for_record(server, f"GET /hang?{how}", f"hang_{how}")
    wait_for_replacement(server, old)
    assert "does not react" not in server.log() and "died" not in server.log()


@pytest.mark.parametrize("how", HOWS)
def test_response_that_has_begun_is_cut(start, how):
    server = start(2)
    (old,) = workers(server)
    with server.connect() as victim:
        victim.send(request(target=f"/begun?{how}"))
        with pytest.raises(Truncated) as error:
            victim.read_response()
        assert error.value.response.status == 200 and error.value.body == b"first"
    wait_for_record(server, f"GET /begun?{how}", f"hang_{how}")
    wait_for_replacement(server, old)


def test_response_that_is_complete_is_left_alone(start):
    """The application hangs in close()."""
    server = start(2)
    (old,) = workers(server)
    with server.connect() as victim:
        victim.send(request(target="/closing?sleep"))
        response = victim.read_response()
        assert (response.status, response.body) == (200, b"all of it")
        victim.assert_closed()
    wait_for_record(server, "GET /closing?sleep", "hang_sleep")
    wait_for_replacement(server, old)


def test_answers_before_it_are_sent(start):
    server = start()
    with server.connect() as victim:
        victim.send(request() + request(target="/hang?sleep") + request())
        assert victim.read_response().status == 200
        assert victim.read_response().status == 504
        victim.assert_closed()


@pytest.mark.skipif(SANITIZED, reason="AddressSanitizer's allocator does not survive a fork beside threads")
def test_forked_child_keeps_no_connection_open(start):
    """Nor one whose request was given up, and that is being closed."""
    server = start(2)
    (old,) = workers(server)
    with server.connect() as victim, server.connect() as other, no_replacement(server):
        victim.send(request(target="/hang?sleep"))
        assert victim.read_response().status == 504
        other.send(request(target="/fork"))
        assert other.read_response().body == f"0 of {old}".encode()


def test_head_gets_no_body(start):
    server = start()
    with server.connect() as victim:
        victim.send(request("HEAD", "/hang?sleep"))
        assert victim.read_response("HEAD").status == 504
        victim.assert_closed()


def test_other_requests_are_finished(start):
    server = start(4, timeouts_request="4s")
    (old,) = workers(server)
    with server.connect() as victim, server.connect() as other:
        with no_replacement(server):
            victim.send(request(target="/hang?sleep"))
            assert victim.read_response().status == 504
            other.send(request(target="/wait"))
            wait_for_file(server, "waiting")
        poll(lambda: pid(server) != old, "the next worker")
        assert old in processes(server)
        release(server, "waiting")
        assert other.read_response().body == str(old).encode()
    wait_for_replacement(server, old)


def test_serves_on_until_another_is_ready(start):
    """Its other threads do, for as long as the application is being imported."""
    server = start(2)
    (old,) = workers(server)
    with no_replacement(server):
        with server.connect() as victim:
            victim.send(request(target="/hang?sleep"))
            assert victim.read_response().status == 504
        wait_for_file(server, "importing")
        assert pid(server) == old
    wait_for_replacement(server, old)


@contextlib.contextmanager
def given_up(server, target):
    """The application comes back from the request after the 504, to a worker that stays until the end of the block."""
    with server.connect() as victim, no_replacement(server):
        victim.send(request(target=target))
        wait_for_file(server, "hanging")
        assert victim.read_response().status == 504
        victim.assert_closed()
        release(server, "hanging")
        yield


def test_application_that_comes_back(start):
    """What it gives then goes nowhere; close() is called, once."""
    server = start(2)
    with given_up(server, "/hang?file"):
        server.wait_for_log(r"has come back from GET /hang\?file after \d+\.\d s")
        notes = (server.directory / "notes").read_text()
        assert notes.splitlines() == ["returned", "closed"]


def test_application_that_fails_after_all(start):
    server = start(2)
    with given_up(server, "/fail?file"):
        server.wait_for_log(r"Error in the application, GET /fail\?file\n(.*\n)*ValueError: after all")


def test_requests_that_no_thread_is_left_for(start):
    """They wait for the next worker: one on a connection that the hanging one has already, and one in the socket."""
    server = start()
    (old,) = workers(server)
    with server.connect() as victim, server.connect() as known, server.connect() as late:
        assert known.request().status == 200
        victim.send(request(target="/hang?lock"))
        wait_for_file(server, "begun")
        known.send(request())
        late.send(request())
        assert victim.read_response().status == 504
        for client in (known, late):
            assert client.read_response().body != str(old).encode()
        assert known.request().status == 200


@of_threads
def test_all_threads_hang(start):
    server = start(4)
    (old,) = workers(server)
    victims = [server.connect() for _ in range(4)]
    for victim, how in zip(victims, HOWS):
        victim.send(request(target=f"/hang?{how}"))
    for victim in victims:
        assert victim.read_response().status == 504
        victim.close()
    wait_for_replacement(server, old)


@of_threads
def test_all_threads_are_shown_for_debugging(start):
    server = start(2, log_level="debug")
    with server.connect() as victim, server.connect() as other:
        other.send(request(target="/hang?lock"))
        wait_for_file(server, "begun")
        victim.send(request(target="/hang?sleep"))
        assert other.read_response().status == 504
    server.wait_for_log(r"The other threads:\n(.*\n)*Thread \d+: Stack [^\n]+\n(  File .*\n)*?.* in hang_sleep\n")


@pytest.mark.parametrize("busy", [True, False])
def test_stopped_worker_is_killed(start, busy):
    """It can't react: the supervisor does. One without a request has connections that wait."""
    server = start(2)
    (old,) = workers(server)
    with server.connect() as victim:
        if busy:
            victim.send(request(target="/hang?sleep"))
            wait_for_file(server, "begun")
        else:
            assert victim.request(target="/pid").status == 200
        os.kill(old, signal.SIGSTOP)
        if not busy:
            victim.send(request(target="/pid"))
        assert victim.wait_gone() == 0
    server.wait_for_log(rf"WARNING\] Worker 0 of generation 1 \(pid {old}\) was stopped by signal 19 \(SIGSTOP\)")
    request_line = r" while it ran GET /hang\?sleep HTTP/1\.1 \(for \d+\.\d s\)" if busy else ""
    server.wait_for_log(
        rf"Worker 0 of generation 1 \(pid {old}\) has been stopped for longer than timeouts\.request=1s{request_line}: killing it"
    )
    wait_for_replacement(server, old)
    ignore_faults(server)


def test_stopped_worker_goes_on(start):
    server = start(2, timeouts_request="30s")
    (old,) = workers(server)
    os.kill(old, signal.SIGSTOP)
    server.wait_for_log(rf"\(pid {old}\) was stopped by signal 19 \(SIGSTOP\)")
    os.kill(old, signal.SIGCONT)
    server.wait_for_log(rf"\(pid {old}\) goes on")
    assert pid(server) == old


def test_no_limit(start):
    server = start(2, timeouts_request="0")
    with server.connect() as slow:
        slow.send(request(target="/hang?file"))
        wait_for_file(server, "hanging")
        assert pid(server) in workers(server)
        release(server, "hanging")
        assert slow.read_response().status == 200


def test_client_that_went_away(start):
    server = start(2)
    (old,) = workers(server)
    with server.connect() as victim:
        victim.send(request(target="/hang?sleep"))
        wait_for_file(server, "begun")
        victim.reset()
    wait_for_record(server, "GET /hang?sleep", "hang_sleep")
    wait_for_replacement(server, old)
