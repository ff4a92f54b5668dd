# SPDX-License-Identifier: MIT
"""One queue for all workers: a request that finds no free thread where its connection is goes to another worker, and its
connection with it."""
import json
import os
import signal
import threading

import pytest

from client import chunked, request
from harness import poll
from supervision import exit_status, ignore_faults, inodes_of, notified, release, reload, wait_for_file, workers, write_app

APP = """
import hashlib, json, os, socket, time

VERSION = "one"

def hold(name):
    with open(name + ".new", "w") as file:
        file.write(str(os.getpid()))
    os.rename(name + ".new", name)
    while os.path.exists(name):
        time.sleep(0.005)

def queue_ends():
    for name in os.listdir("/proc/self/fd"):
        try:
            s = socket.socket(fileno=os.dup(int(name)))
        except OSError:
            continue
        with s:
            if s.type == socket.SOCK_SEQPACKET:
                yield s

def app(environ, start_response):
    path, name = environ["PATH_INFO"], environ["QUERY_STRING"]
    if path == "/hold":
        hold(name)
    if path == "/garbage":  # what somebody may write to descriptors that are not his
        for s in queue_ends():
            for data in (b"", b"x", bytes(176), b"\\1" + bytes(175), bytes(100000)):
                socket.send_fds(s, [data], [1, 2])
    body = json.dumps({
        "pid": os.getpid(),
        "body": hashlib.md5(environ["wsgi.input"].read()).hexdigest(),
        "client": [environ["REMOTE_ADDR"], environ.get("REMOTE_PORT")],
        "scheme": environ["wsgi.url_scheme"],
        "version": VERSION,
    }).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
"""
TWO = {"workers_count": 2}


def answer(connection):
    response = connection.read_response()
    assert response.status == 200 and not response.closes, response
    return json.loads(response.body)


def ask(connection, *arguments, **options):
    connection.send(request(*arguments, **options))
    return answer(connection)


def hold(server, connection, name):
    """The worker of the connection, whose thread is busy until release(server, name)."""
    connection.send(request(target=f"/hold?{name}"))
    wait_for_file(server, name)


def connect_to(server, pid, **options):
    """A connection that this worker has."""
    connections = []
    while True:
        connections.append(server.connect(**options))
        if ask(connections[-1])["pid"] == pid:
            for other in connections[:-1]:
                other.close()
            return connections[-1]


def hold_in(server, pid, name, connect=connect_to):
    """A connection to this worker, whose thread is busy until release(server, name). Others may be faster than one that is
    not yet done with the request before: then once more."""
    while True:
        connection = connect(server, pid)
        hold(server, connection, name)
        if int((server.directory / name).read_text()) == pid:
            return connection
        release(server, name)
        answer(connection)
        connection.close()


def hold_all(server):
    """All workers are busy: {pid: (the file that keeps it so, its connection)}."""
    held = {}
    for i in range(len(workers(server))):
        connection, name = server.connect(), f"held-{i}"
        hold(server, connection, name)
        held[int((server.directory / name).read_text())] = name, connection
    return held


def let_go(server, held, pid):
    name, connection = held.pop(pid)
    release(server, name)
    response = connection.read_response()
    connection.close()
    assert json.loads(response.body)["pid"] == pid


def let_all_go(server, held):
    for pid in list(held):
        let_go(server, held, pid)


def has_socket(pid, inode):
    for entry in os.scandir(f"/proc/{pid}/fd"):
        try:
            if os.readlink(entry.path) == f"socket:[{inode}]":
                return True
        except FileNotFoundError:
            pass
    return False


@pytest.mark.parametrize("threads", [1, 2])
def test_goes_to_an_idle_worker(start_server, threads):
    server = start_server(APP, {**TWO, "workers_threads": threads})
    with server.connect() as first:
        own = ask(first)
        busy = [hold_in(server, own["pid"], f"held-{i}") for i in range(threads)]
        for _ in range(3):
            other = ask(first)
            assert other["pid"] != own["pid"] and other["client"] == own["client"]
        for i, connection in enumerate(busy):
            release(server, f"held-{i}")
            answer(connection)
            connection.close()


def test_waits_for_the_first_free_worker(start_server):
    """Not for its own; and in its turn."""
    server = start_server(APP, TWO)
    with server.connect() as first, server.connect() as second:
        own = ask(first)["pid"]
        held = hold_all(server)
        for connection in (first, second):
            connection.send(request())
        assert not first.is_readable()
        other = next(pid for pid in held if pid != own)
        let_go(server, held, other)
        assert answer(first)["pid"] == answer(second)["pid"] == other
        let_all_go(server, held)


@pytest.mark.parametrize("size", [0, 5, 20000, 2_000_000])
@pytest.mark.parametrize("buffering", ["yes", "no"])
def test_bodies(start_server, size, buffering):
    """In the packet, in memory of their own, in a file; of known length and in chunks. Another request follows."""
    server = start_server(APP, {**TWO, "request_buffering": buffering})
    body = os.urandom(size)
    with server.connect() as plain:
        expected = ask(plain, "PUT", body=body)["body"]
        own = ask(plain, "PUT", body=body)["pid"]
        busy = hold_in(server, own, "held")
        for data in (
            request("PUT", body=body),
            request("PUT", "/", "Transfer-Encoding: chunked") + chunked(body, 10000),
            request("PUT", "/", f"Content-Length: {size}", "X-Long: " + "x" * 8000) + body,
        ):
            plain.send(data + request())
            moved = answer(plain)
            assert moved["body"] == expected and moved["pid"] != own
            assert answer(plain)["pid"] != own
        release(server, "held")
        answer(busy)
        busy.close()


def test_proxy_protocol(start_server):
    """What a proxy has said of the client goes along."""
    server = start_server(APP, {**TWO, "proxy_protocol": "all"})
    header = b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n"

    def connect(server, pid=None):
        while True:
            connection = server.connect()
            connection.send(header)
            if ask(connection)["pid"] == pid or not pid:
                return connection

    connection = connect(server)
    own = ask(connection)
    assert own["client"] == ["192.0.2.7", "4711"]
    busy = hold_in(server, own["pid"], "held", connect)
    moved = ask(connection)
    assert moved["pid"] != own["pid"] and moved["client"] == own["client"]
    release(server, "held")
    answer(busy)


def test_death_of_the_giver(start_server):
    """What it had given away is not lost."""
    server = start_server(APP, TWO)
    with server.connect() as client:
        own = ask(client)["pid"]
        held = hold_all(server)
        inode = poll(lambda: inodes_of(server, client), "the connection").pop()
        client.send(request())
        poll(lambda: not has_socket(own, inode), "the connection to be given away")
        waiting = server.connect()
        waiting.send(request())
        os.kill(own, signal.SIGKILL)
        held.pop(own)[1].wait_gone()
        assert answer(waiting)["pid"] not in (own, *held)
        let_all_go(server, held)
        assert answer(client)["pid"] != own
        waiting.close()
    ignore_faults(server)


@pytest.mark.parametrize("n_workers", [1, 2])
def test_time_in_the_queue(start_server, n_workers):
    server = start_server(APP, {"workers_count": n_workers, "limits_queue_time": "1s", "log_access": "journal"})
    with server.connect() as client, server.connect() as patient:
        ask(client), ask(patient)
        held = hold_all(server)
        client.send(request())
        response = client.read_response()
        assert response.status == 503 and int(response.header("Retry-After")) > 0
        client.assert_closed()
        let_all_go(server, held)
        ask(patient)
    server.wait_for_log(r"Refused a request of 127\.0\.0\.1: 503, limits\.queue_time: GET /")
    notified(server, r"^STATUS=.* generation 1, 1 refused after limits\.queue_time \(\d+ moved\)$")


def test_stop(start_server):
    """Requests in the queue are answered before the last worker goes."""
    server = start_server(APP, TWO)
    with server.connect() as client:
        ask(client)
        held = hold_all(server)
        client.send(request())
        server.signal(signal.SIGTERM)
        server.wait_for_log("SIGTERM: stopping")
        let_all_go(server, held)
        assert client.read_response().status == 200
        client.assert_closed()


def test_stop_after_reload(start_server):
    """A worker that drains while others serve hears that there are none any more, and goes on as the last one."""
    server = start_server(APP, {"workers_preload": "yes", "reload_watch": "0"})
    with server.connect() as old, server.connect() as new:
        hold(server, old, "old")
        reload(server)
        hold(server, new, "new")
        server.signal(signal.SIGTERM)
        server.wait_for_log("SIGTERM: stopping")
        for connection, name in ((new, "new"), (old, "old")):
            release(server, name)
            assert connection.read_response().status == 200
        exit_status(server)
    assert "as no code of ours does" not in server.log()


def test_worker_that_hears_late_of_a_reload(start_server):
    """Who asks when the reload is over gets answers of the new code, also where an old worker hung meanwhile, and then finds
    a connection first, or a request on one that it has."""
    server = start_server(APP)
    (old,) = workers(server)
    kept = server.connect()
    assert ask(kept)["version"] == "one"
    os.kill(old, signal.SIGSTOP)
    write_app(server, APP.replace('"one"', '"two"'))
    reload(server)
    held, waiting = server.connect(), server.connect()
    hold(server, held, "held")
    waiting.send(request())
    poll(lambda: inodes_of(server, waiting) - {"0"}, "a request that waits for the thread of the new worker")
    late = server.connect()
    late.send(request())
    kept.send(request())
    os.kill(old, signal.SIGCONT)
    poll(lambda: old not in workers(server), "the end of the old worker")
    release(server, "held")
    for connection in held, waiting, late, kept:
        assert answer(connection)["version"] == "two"


def test_garbage(start_server):
    """A worker gone wild harms nobody but itself."""
    server = start_server(APP, TWO)
    with server.connect() as wild, server.connect() as client:
        wild.send(request(target="/garbage"))
        gone = json.loads(wild.read_response().body)["pid"]  # the last of its connection, if the supervisor was faster
        server.wait_for_log("Dropped what is no connection of this site")
        poll(lambda: gone not in workers(server), "the wild one to be replaced")
        own = ask(client)["pid"]
        busy = hold_in(server, own, "held")
        poll(lambda: ask(client)["pid"] != own, "the other worker")
        release(server, "held")
        busy.close()
    ignore_faults(server)


class Keeper(threading.Thread):
    """Asks again and again on one connection, which never ends."""

    def __init__(self, server, done):
        super().__init__(daemon=True)
        self.connection = server.connect()
        self.done = done
        self.versions = []
        self.error = None
        self.start()

    def run(self):
        try:
            while not self.done.is_set():
                self.versions.append(ask(self.connection)["version"])
        except Exception as error:  # pylint: disable=broad-except
            self.error = error

    def finish(self):
        """The version of the code that answers now."""
        self.join()
        assert not self.error, repr(self.error)
        version = ask(self.connection)["version"]
        self.connection.close()
        return version


@pytest.mark.parametrize("config", [{}, {"workers_count": 2, "workers_threads": 2}], ids=["1x1", "2x2"])
def test_reloads_close_no_connection(start_server, config):
    n_reloads = int(os.environ.get("CGUNICORN_TEST_RELOADS", "8"))
    server = start_server(APP, {"workers_preload": "yes", "reload_watch": "0", **config})
    done = threading.Event()
    keepers = [Keeper(server, done) for _ in range(8)]
    for number in range(n_reloads):
        write_app(server, APP.replace('"one"', f'"{number}"'))
        reload(server, number + 2)
    done.set()
    assert {keeper.finish() for keeper in keepers} == {str(n_reloads - 1)}


def test_recycling_closes_no_connection(start_server):
    server = start_server(APP, {**TWO, "workers_max_requests": 200, "workers_preload": "yes"})
    done = threading.Event()
    keepers = [Keeper(server, done) for _ in range(4)]
    poll(lambda: sum(len(keeper.versions) for keeper in keepers) > 3000, "requests")
    done.set()
    for keeper in keepers:
        keeper.finish()
