# SPDX-License-Identifier: MIT
"""What threads of an application may share with each other and with the server, whether a GIL orders it or nothing does
(a free-threaded Python: tests/pythons/run); and that without one they compute at the same time."""
import re
import struct

import pytest

from client import request
from crowd import Clients
from harness import FREE_THREADED, of_threads, poll

N_THREADS = 4
N_ROUNDS = 50

pytestmark = of_threads

# /list: body and fields that another thread changes all the time. /read: two threads and the application read the body, four
# octets each time, and a third one reads on when the request is over. /say: all threads write to one wsgi.errors. /keep:
# what belongs to a request is used by a thread that knows of no request.
SOURCE = """
import collections, json, sys, threading, time

BLOCK = b"0123456789"
blocks, fields = [BLOCK] * 20, [("X-A", "1")] * 3
kept = collections.deque(maxlen=20)
odd = collections.Counter()

def change():
    while True:
        blocks.append(b"".join((BLOCK, b"")))
        fields.append(("X-A", str(len(blocks) % 2 + 1)))
        if len(blocks) > 100:
            del blocks[5:], fields[2:]
        time.sleep(0)  # lets go of a GIL

def attempt(function, *arguments):
    try:
        return function(*arguments)
    except (RuntimeError, OSError):
        return None

def misuse():
    while True:
        for start_response, write, environ in list(kept):
            for _ in range(3):
                attempt(write, b"stray")
                attempt(environ["wsgi.early_hints"], [("Link", "</stray>")])
                if not getattr(sys, "_is_gil_enabled", lambda: True)():
                    attempt(start_response, "500 Stray", [("X-Stray", "1")])
                data = attempt(environ["wsgi.input"].read, 3)
                if data not in (None, b"", b"abc"):
                    odd[str(data)] += 1
                environ["wsgi.errors"].write("str")
                environ["wsgi.errors"].write("ay\\n")
        time.sleep(0.001)

threads = [threading.Thread(target=function, daemon=True) for function in (change, misuse, misuse)]
started = threading.Lock()

def read_pieces(stream, pieces):
    while piece := stream.read(4):
        pieces.append(piece)

def read(environ):
    pieces, stream = [[], [], []], environ["wsgi.input"]
    readers = [threading.Thread(target=read_pieces, args=(stream, to)) for to in pieces[1:]]
    for reader in readers:
        reader.start()
    read_pieces(stream, pieces[0])
    for reader in readers:
        reader.join()
    threading.Thread(target=read_pieces, args=(stream, [])).start()
    return [piece for some in pieces for piece in some]

def say(environ):
    def write():
        for _ in range(20):
            environ["wsgi.errors"].write("a whole line\\n")
    writers = [threading.Thread(target=write) for _ in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    return []

computing = []

def compute(n):
    sys.setswitchinterval(1000) # with a GIL, the first one here would be alone
    computing.append(None)
    until = time.monotonic() + 20
    while len(computing) < n and time.monotonic() < until:
        pass
    return len(computing)

def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/compute":
        start_response("200 OK", [])
        return [str(compute(int(environ["QUERY_STRING"]))).encode()]
    if started.acquire(blocking=False):
        for thread in threads:
            thread.start()
    if path == "/list":
        start_response("200 OK", fields)
        return blocks
    write = start_response("200 OK", [("X-N", environ["HTTP_X_N"])])
    if path == "/keep":
        kept.append((start_response, write, environ))
        return [environ["HTTP_X_N"].encode()] * 2
    if path == "/read":
        return read(environ)
    if path == "/say":
        return say(environ)
    return [json.dumps(odd).encode()]
"""

BODY = b"".join(struct.pack("!I", i) for i in range(5000))


def check_list(connection, number):
    response = connection.request(target="/list")
    assert response.status == 200 and set(response.values("X-A")) <= {"1", "2"}
    assert response.body == b"0123456789" * (len(response.body) // 10)


def check_read(connection, number):
    connection.send(request("POST", "/read", f"Content-Length: {len(BODY)}", f"X-N: {number}") + BODY)
    response = connection.read_response()
    pieces = {response.body[i : i + 4] for i in range(0, len(response.body), 4)}
    assert response.header("X-N") == str(number)
    assert len(response.body) == len(BODY) and b"".join(sorted(pieces)) == BODY


def check_keep(connection, number):
    response = connection.request("POST", "/keep", f"X-N: {number}", body=b"abc")
    assert (response.status, response.values("X-Stray"), response.body) == (200, [], str(number).encode() * 2)


def check_say(connection, number):
    assert connection.request("GET", "/say", f"X-N: {number}").header("X-N") == str(number)


class Users(Clients):
    """Each asks for one kind of thing, on one connection, N_ROUNDS times."""

    def __init__(self, site, checks):
        self.site = site
        self.checks = checks
        self.errors = []
        self.done = []
        super().__init__(len(checks))

    def run(self, number):
        try:
            with self.site.connect() as connection:
                for i in range(N_ROUNDS):
                    self.checks[number](connection, 1000 * number + i)
            self.done.append(number)
        except BaseException as error:
            self.errors.append(error)
            raise


@pytest.mark.parametrize("buffering", ["yes", "no"])
def test_what_threads_share(server, buffering):
    site = server(SOURCE, workers_threads=N_THREADS, request_buffering=buffering)
    checks = [check_list, check_keep, check_say] * 2 + ([check_read] * 2 if buffering == "yes" else [])
    with Users(site, checks) as users:
        poll(lambda: users.errors or len(users.done) == len(checks), "all clients")
    assert not users.errors
    assert site.get("/", "X-N: 0").body == b"{}"
    lines = [line for line in site.log().splitlines() if "whole" in line]
    assert lines and all(re.fullmatch("(str)*a whole line", line) for line in lines), lines


@pytest.mark.skipif(not FREE_THREADED, reason="needs a free-threaded Python")
def test_requests_compute_at_the_same_time(server):
    """Each computes until all others do."""
    site = server(SOURCE, workers_threads=N_THREADS)
    connections = [site.connect() for _ in range(N_THREADS)]
    for connection in connections:
        connection.send(request(target=f"/compute?{N_THREADS}"))
    for connection in connections:
        assert int(connection.read_response().body) == N_THREADS
        connection.close()
