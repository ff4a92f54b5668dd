# SPDX-License-Identifier: MIT
"""Slow and hostile clients leave the service available to all others."""
import contextlib
import json
import os
import re
import resource
import shutil
import socket
import subprocess
import threading

import pytest

from client import chunk, request
from harness import DEADLINE, SANITIZED, poll
from supervision import release

# --- fairness -------

# Takes half a millisecond for each request, or what $PAUSE says, and says in which order they came. The first one waits
# until the test removes the file "gate". gevent does not replace sigtimedwait(), so no other greenlet runs meanwhile.
ORDERED = """
import json, os, signal

pause = float(os.environ.get("PAUSE", "0.0005"))
calls = []
open("gate", "w").close()

def app(environ, start_response):
    path = environ["PATH_INFO"]
    start_response("200 OK", [("Content-Type", "text/plain")])
    if path == "/calls":
        return [json.dumps(calls).encode()]
    calls.append(path)
    while len(calls) == 1 and os.path.exists("gate"):
        signal.sigtimedwait([], 0.001)
    signal.sigtimedwait([], pause)
    return [b"ok"]
"""


@contextlib.contextmanager
def pipelining(site, n_clients, n_requests, target):
    """Clients that have sent all their requests; they read the answers at the end of the block, in which the gate is to be
    opened: release(site, "gate")."""
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(site.connect()) for _ in range(n_clients)]
        for client in clients:
            client.send(request(target=target) * n_requests)
        yield
        for client in clients:
            for _ in range(n_requests):
                assert client.read_response().body == b"ok"


def test_pipelining_clients_leave_room_for_others(start_server):
    """20 clients with 200 requests each are there first; a newcomer's turn comes long before their last."""
    site = start_server(ORDERED)
    with pipelining(site, 20, 200, "/greedy"), contextlib.ExitStack() as stack:
        newcomers = [stack.enter_context(site.connect()) for _ in range(3)]
        for connection in newcomers:
            connection.send(request(target="/newcomer"))
        release(site, "gate")
        for connection in newcomers:
            assert connection.read_response().body == b"ok"
    calls = json.loads(site.get("/calls").body)
    assert len(calls) == 4003
    last = max(index for index, path in enumerate(calls) if path == "/newcomer")
    assert last < 2000, f"served after {last} requests of others"


def test_pipelining_clients_take_turns(start_server):
    """Each connection has one request answered before any has the next."""
    site = start_server(ORDERED)
    with pipelining(site, 1, 400, "/blocker"), contextlib.ExitStack() as stack:
        greedy = [stack.enter_context(site.connect()) for _ in range(4)]
        for number, connection in enumerate(greedy):
            connection.send(request(target=f"/{number}") * 10)
        release(site, "gate")
        for connection in greedy:
            for _ in range(10):
                connection.read_response()
    calls = json.loads(site.get("/calls").body)
    for number in range(4):
        places = [index for index, path in enumerate(calls) if path == f"/{number}"]
        others = [path for path in calls[places[0] : places[-1]] if path == "/blocker"]
        assert len(others) >= 5, f"/{number} was served without a pause"


def test_silent_connections_do_not_queue_up_before_others(start_server):
    """A busy worker takes few connections; those that ask for nothing are not counted."""
    site = start_server(ORDERED, environment={"PAUSE": "0.005"})
    with contextlib.ExitStack() as silent, pipelining(site, 4, 150, "/busy"):
        for _ in range(450):
            silent.enter_context(site.connect())
        with site.connect() as newcomer:
            newcomer.send(request(target="/newcomer"))
            release(site, "gate")
            assert newcomer.read_response().body == b"ok"
    calls = json.loads(site.get("/calls").body)
    assert calls.index("/newcomer") < 200, f"served after {calls.index('/newcomer')} requests of others"


def test_fast_download_leaves_room_for_others(server, tmp_path):
    """A client that takes whatever the socket has is sent a slice at a time."""
    site = server("behaviours:app")
    with open(tmp_path / "huge", "wb") as file:
        file.truncate(64 << 30)
    with site.connect() as greedy:
        greedy.send(request(target=f"/file?path={tmp_path}/huge"))
        n_read = 0

        def read():
            nonlocal n_read
            buffer = bytearray(1 << 20)
            with contextlib.suppress(OSError):
                while n := greedy.socket.recv_into(buffer):
                    n_read += n

        reader = threading.Thread(target=read)
        reader.start()
        poll(lambda: n_read > 1 << 20, "the download goes on")
        for _ in range(20):
            assert site.get("/hello").status == 200
        before = n_read
        poll(lambda: n_read > before + (1 << 20), "the download goes on")
        assert reader.is_alive()
        greedy.socket.shutdown(socket.SHUT_RDWR)
        reader.join()


# --- slowhttptest ------

MODES = {
    "-H": ["-i", "2", "-u", "{url}/hello"],
    "-B": ["-i", "2", "-s", "65536", "-u", "{url}/hello"],
    "-X": ["-w", "10", "-y", "20", "-n", "2", "-z", "32", "-u", "{url}/big?size=131072"],
    "-R": ["-u", "{url}/big?size=131072"],
}
ATTACK_SECONDS = "16"  # the tool looks at the service, and counts, each 5 s


def attack(mode, site):
    arguments = [argument.format(url=site.url) for argument in MODES[mode]]
    return subprocess.Popen(
        ["slowhttptest", mode, "-c", "1000", "-r", "500", "-l", ATTACK_SECONDS, "-p", str(DEADLINE), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.skipif(not shutil.which("slowhttptest"), reason="slowhttptest is not installed")
def test_slowhttptest(start_server):
    """Its four modes, with 1,000 connections each against one worker with default settings."""
    sites = {mode: start_server("behaviours:app") for mode in MODES}
    attacks = {mode: attack(mode, site) for mode, site in sites.items()}
    kept = {mode: site.connect() for mode, site in sites.items()}
    while any(process.poll() is None for process in attacks.values()):
        for mode, site in sites.items():
            assert site.get("/hello").status == 200, mode
            assert kept[mode].request(target="/hello").status == 200, mode
    for mode, process in attacks.items():
        said = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", process.communicate()[0])
        assert process.returncode == 0, said
        available = re.findall(r"service available:\s*(\w+)", said)
        assert set(available) == {"YES"}, f"{mode}:\n{said}"
        if mode != "-R":  # those are answered, and over
            assert set(re.findall(r"(?:error|closed):\s*(\d+)", said)) == {"0"}, f"{mode}:\n{said}"
            assert max(map(int, re.findall(r"connected:\s*(\d+)", said))) == 1000, f"{mode}:\n{said}"
        assert sites[mode].get("/hello").status == 200
        kept[mode].close()


# --- many connections ------


def rss_kib(pid):
    with open(f"/proc/{pid}/status") as file:
        return int(re.search(r"VmRSS:\s*(\d+) kB", file.read())[1])


@pytest.fixture
def many():
    """How many connections this process may have open, for a test with many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield min(5000, hard - 1500)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_idle_connections_and_slow_ones(start_server, many):
    """Others are served beside them, and they cost little."""
    site = start_server("echo:app")
    pid = json.loads(site.get().body)["pid"]
    with contextlib.ExitStack() as stack:
        before = rss_kib(pid)
        idle = [stack.enter_context(site.connect()) for _ in range(many)]
        for number, connection in enumerate(idle):
            if number % 2:
                assert connection.request("HEAD").status == 200
        slow = [stack.enter_context(site.connect()) for _ in range(1000)]
        for connection in slow:
            connection.send(b"GET / HTTP/1.1\r\nX-Slow: ")
        for _ in range(20):
            assert json.loads(site.get().body)["pid"] == pid
        cost = (rss_kib(pid) - before) / (len(idle) + len(slow))
        assert cost < 2 or SANITIZED, f"{cost:.1f} KiB for each connection"
        for connection in slow:
            connection.send(b"x\r\nHost: a\r\n\r\n")
        for connection in slow:
            assert connection.read_response().status == 200
        assert idle[-1].request().status == 200


def test_soft_limit_of_descriptors_is_raised(start_server):
    """What a shell or systemd gives by default is meant for programs that use select(2)."""
    site = start_server("echo:app", wrapper=["sh", "-c", 'ulimit -Sn 64; exec "$@"', "sh"])
    connections = [site.connect() for _ in range(100)]
    for connection in connections:
        assert connection.request().status == 200
    for connection in connections:
        connection.close()


# --- a full worker -------


def fill(stack, site, n, octets):
    connections = [stack.enter_context(site.connect()) for _ in range(n)]
    for connection in connections:
        connection.send(octets)
    return connections


FULL = {"limits_connections": "10", "workers_threads": "2"}


@pytest.mark.parametrize(
    "octets",
    [b"", b"GET / HT", request("POST", "/hello", "Content-Length: 10") + b"x"],
    ids=["silence", "head", "body"],
)
def test_a_full_worker_makes_room(server, octets):
    """Who has sent no whole request for the longest goes, and it is said once."""
    site = server("behaviours:app", **FULL)
    with contextlib.ExitStack() as stack:
        fill(stack, site, 25, octets)
        for _ in range(5):
            assert site.get("/hello").status == 200
        site.wait_for_log("as many as limits.connections")
    assert site.log().count("as many as limits.connections") == 1


def test_a_full_worker_prefers_idle_connections(start_server):
    """They are closed first: their clients lose nothing, and may come back."""
    site = start_server("behaviours:app", {**FULL, "timeouts_head": "60s"})
    with contextlib.ExitStack() as stack:
        slow = fill(stack, site, 5, b"GET /hello HTTP/1.1\r\n")
        idle = fill(stack, site, 5, request(target="/hello"))
        for connection in idle:
            assert connection.read_response().status == 200
        for connection in idle:  # one after the other, so that it is known who has waited longest
            assert connection.request(target="/hello").status == 200
        for number in range(1, 6):
            newcomer = stack.enter_context(site.connect())
            assert newcomer.request(target="/hello").status == 200
            closed = [connection.is_readable() for connection in idle]
            assert closed == [True] * number + [False] * (5 - number), "the one that has waited longest"
        for connection in slow:
            connection.send(b"Host: a\r\n\r\n")
            assert connection.read_response().status == 200


def test_a_full_worker_finishes_what_it_has_begun(start_server, tmp_path):
    """Neither a request in the application nor a response under way makes room: newcomers wait."""
    site = start_server("behaviours:app", {**FULL, "workers_threads": "20"})
    with contextlib.ExitStack() as stack:
        busy = fill(stack, site, 5, request(target=f"/waiting?path={tmp_path}/go"))
        taking = [stack.enter_context(site.connect(receive_buffer=4096)) for _ in range(5)]
        for connection in taking:
            connection.send(request(target="/big?size=8000000"))
            connection.wait_readable()
        newcomer = stack.enter_context(site.connect())
        newcomer.send(request(target="/hello"))
        newcomer.socket.settimeout(2)
        with pytest.raises(TimeoutError):
            newcomer.socket.recv(1)
        newcomer.socket.settimeout(DEADLINE)
        (tmp_path / "go").touch()
        assert newcomer.read_response().body == b"Hello, world!\n"
        for connection in busy:
            assert connection.read_response().body == b"done"
        for connection in taking:
            assert len(connection.read_response().body) == 8000000


# --- slow readers ------

LAGS = "more slowly than limits.write_rate"


def closes(site, key):
    return json.loads(site.get("/state").body)["closes"].get(key, 0)


def start_reading(stack, site, target):
    connection = stack.enter_context(site.connect(receive_buffer=4096))
    connection.send(request("GET", target, "Connection: close"))
    connection.wait_readable()
    return connection


def read_until_closed(site, slow, steady=None):
    """Takes an octet of the slow one now and then, of the steady one some thousand, until the server gives the former up."""
    start = len(site.log())

    def step():
        with contextlib.suppress(ConnectionResetError):
            slow.socket.recv(1)
        if steady:
            steady.buffer += steady.socket.recv(4000)
        return LAGS in site.log()[start:]

    poll(step, "the slow reader is given up")


def test_write_rate(start_server):
    """An octet now and then does not keep a response waiting for ever; who takes more gets it all, though the kernel has so
    much for him that it takes nothing from the server for a long time."""
    site = start_server("behaviours:app", {"timeouts_write": "1s"})
    with contextlib.ExitStack() as stack:
        steady = start_reading(stack, site, "/big?size=8000000")
        for _ in range(3):
            read_until_closed(site, start_reading(stack, site, "/big?size=8000000"), steady)
        assert len(steady.read_response().body) == 8000000


def test_write_rate_while_the_response_is_made(start_server):
    """The application waits for the slow client, and is free when that is given up."""
    site = start_server(
        "behaviours:app",
        {"timeouts_write": "1s", "limits_response_memory": "64K", "limits_response_file": "256K"},
    )
    with contextlib.ExitStack() as stack:
        slow = start_reading(stack, site, "/stream?blocks=200&size=50000&key=lagging")
        read_until_closed(site, slow)
        poll(lambda: closes(site, "lagging") == 1, "close() of the iterable")
        assert slow.wait_gone() < 10000000


def test_write_rate_does_not_count_pauses_of_the_application(start_server, tmp_path):
    """An event stream is silent for longer than timeouts.write: its client has taken all that there was."""
    site = start_server("behaviours:app", {"timeouts_write": "1s", "workers_threads": "2"})
    with contextlib.ExitStack() as stack:
        events = stack.enter_context(site.connect())
        events.send(request(target=f"/stepwise?path={tmp_path}/go"))
        assert events.read_head().status == 200 and events.read_chunk() == b"first"
        for _ in range(2):
            read_until_closed(site, start_reading(stack, site, "/big?size=8000000"))
        (tmp_path / "go").touch()
        assert events.read_chunk() == b"second" and events.read_chunk() == b""


def test_no_write_rate(start_server):
    """Then silence alone counts."""
    site = start_server("behaviours:app", {"timeouts_write": "1s", "limits_write_rate": "0"})
    with contextlib.ExitStack() as stack:
        slow = start_reading(stack, site, "/big?size=8000000")
        silent = start_reading(stack, site, "/big?size=8000000")

        def is_closed():
            slow.buffer += slow.socket.recv(100)
            try:
                silent.socket.send(b"x")
            except (BrokenPipeError, ConnectionResetError):
                return True

        poll(is_closed, "who takes nothing is closed")
        assert len(slow.read_response().body) == 8000000


# --- octet by octet, and gone ------


def test_heads_octet_by_octet(start_server):
    """200 clients send an octet at a time: all are told so in the end, and others are served meanwhile."""
    site = start_server("echo:app", {"timeouts_head": "2s"})
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(site.connect()) for _ in range(200)]
        left = list(slow)

        def step():
            for connection in list(left):
                if connection.is_readable():
                    left.remove(connection)
                else:
                    connection.send(b"x")
            assert site.get().status == 200
            return not left

        for connection in slow:
            connection.send(b"GET /")
        poll(step, "all are refused")
        for connection in slow:
            assert connection.read_response().status == 408
            connection.assert_closed()


def open_descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def test_resets_everywhere(server):
    """In a head, a body, a response, among pipelined requests: nobody else notices, and nothing is left behind."""
    site = server("behaviours:app", workers_threads="2")
    pid = json.loads(site.get("/state").body)["pid"]
    stages = [
        b"GET / HTTP/1.1\r\nHo",
        request("POST", "/hello", "Content-Length: 3000000") + b"x" * 2000000,
        request("POST", "/hello", "Transfer-Encoding: chunked") + chunk(b"x" * 100000),
        request(target="/big?size=8000000"),
        request(target="/stream?blocks=1000&size=10000"),
        request(target="/big?size=100096") * 20,
        request(target="/hello") * 200,
        request(target="/hello") * 20 + b"GET / HTTP/9.9\r\n\r\n" + request(target="/hello"),
    ]
    before = open_descriptors(pid)
    for number in range(160):
        connection = site.connect(receive_buffer=4096)
        connection.send(stages[number % len(stages)])
        if number % 3 == 0:
            connection.socket.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                connection.socket.recv(1000)
        connection.reset()
        if number % 10 == 0:
            assert site.get("/hello").status == 200
    assert json.loads(site.get("/state").body)["pid"] == pid
    poll(lambda: open_descriptors(pid) <= before, "all connections and files are closed")


def test_connections_of_one_client_under_attack(server):
    """It has what it may have, for slow heads or for anything else; the others have all that is left."""
    site = server("echo:app", limits_connections_per_ip="20", proxy_trusted="unix")
    with contextlib.ExitStack() as stack:
        slow = []
        for number in range(300):
            connection = stack.enter_context(site.connect())
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.send(b"GET / HTTP/1.1\r\n" if number % 2 else request())
            slow.append(connection)
        poll(lambda: sum(not connection.is_readable() for connection in slow[1::2]) <= 20, "more are closed")
        for _ in range(20):
            with socket.create_connection(site.address, source_address=("127.0.0.2", 0)) as other:
                other.sendall(request())
                assert other.recv(12) == b"HTTP/1.1 200"
