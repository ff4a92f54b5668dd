# SPDX-License-Identifier: MIT
"""How many workers serve, and who takes whose place: replacement without a gap. CGUNICORN_TEST_RECYCLES: how often (12)."""
import os
import re
import signal
import threading

import pytest

from crowd import Clients
from harness import Server, poll
from supervision import (
    APP,
    BROKEN,
    SLOW,
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
)

RECYCLES = int(os.environ.get("CGUNICORN_TEST_RECYCLES", "12"))


class Load(Clients):
    """One request after the other, until one fails."""

    def __init__(self, server, n_clients=8, closes=False):
        super().__init__(n_clients)
        self.server = server
        self.closes = closes
        self.n_forgiven = 0
        self.served = set()  # the threads that have had an answer
        self.n_answered = 0
        self.failures = []

    def forgive(self):
        """A worker is to be killed: the request that it runs, and its other connections, end with it."""
        self.n_forgiven += len(self.threads)

    def run(self, number):
        while not self.stopping.is_set():
            try:
                self.run_connection()
            except (AssertionError, OSError) as error:
                if not self.n_forgiven:
                    self.failures.append(error)
                    return
                self.n_forgiven -= 1

    def run_connection(self):
        fields = ("Connection: close",) if self.closes else ()
        with self.server.connect() as connection:
            while not self.stopping.is_set():
                response = connection.request("GET", "/", *fields)
                assert response.status == 200, response
                self.n_answered += 1
                self.served.add(threading.get_ident())
                if response.closes:
                    return


def replaced(server, why):
    return len(re.findall(rf"is to be replaced: .*{why}", server.log()))


@pytest.mark.parametrize("closes", [False, True])
def test_max_requests_under_load(start_server, closes):
    server = start_server(
        APP,
        {"workers_count": 2, "workers_preload": "yes", "workers_max_requests": 40, "workers_max_requests_jitter": 20},
    )
    with Load(server, closes=closes) as load:
        poll(lambda: load.failures or replaced(server, "max_requests") >= RECYCLES, "workers to be replaced")
    assert not load.failures, server.log()
    assert load.n_answered >= RECYCLES * 20
    poll(lambda: len(workers(server)) == 2)
    assert "died" not in server.log() and "was killed" not in server.log()


def test_replacement_is_ready_first(start_server):
    server = start_server(APP, {"workers_max_requests": 1})
    (server.directory / "source_app.py").write_text("raise ValueError('broken')\n")
    first = text(server, "/pid")
    server.wait_for_log("does not start: .*")
    assert text(server, "/pid") == first
    (server.directory / "source_app.py").write_text(APP)
    poll(lambda: text(server, "/pid") != first, "another worker")


def test_request_that_runs_when_its_worker_is_replaced(start_server):
    server = start_server(APP, {"workers_max_requests": 1, "workers_threads": 2})
    thread, result = in_background(text, server, "/wait")
    wait_for_file(server, "waiting")
    first = text(server, "/pid")
    poll(lambda: text(server, "/pid") != first, "another worker")
    release(server, "waiting")
    thread.join()
    assert result["value"] == "one"


def test_max_memory(start_server):
    server = start_server(
        "kept = []\n"
        + APP.replace('path = environ["PATH_INFO"]', 'path = environ["PATH_INFO"]; kept.append(b"x" * 40000000)'),
        {"workers_max_memory": "100M"},
    )
    first = text(server, "/pid")
    assert text(server, "/pid") == first
    assert text(server, "/pid") == first
    server.wait_for_log(r"larger than workers.max_memory")
    poll(lambda: first not in map(str, workers(server)), "the large worker to go")


def test_max_lifetime(start_server):
    server = start_server(APP, {"workers_count": 2, "workers_preload": "yes", "workers_max_lifetime": "500ms"})
    with Load(server, n_clients=2) as load:
        poll(lambda: load.failures or replaced(server, "max_lifetime") >= 6, "workers to be replaced")
    assert not load.failures, server.log()


# Each request waits until the test removes the file of that name.
BLOCKING = """
import os, time

def app(environ, start_response):
    name = environ["PATH_INFO"][1:]
    if name:
        open(name, "w").close()
        while os.path.exists(name):
            time.sleep(0.01)
    start_response("200 OK", [("Content-Length", "4")])
    return [b"done"]
"""


def run_blocked(server, names):
    """Requests of those names, each in a worker of its own."""
    threads = []
    for name in names:
        threads.append(in_background(text, server, f"/{name}"))
        wait_for_file(server, name)
    return threads


def test_elastic_site_grows_and_shrinks(start_server):
    server = start_server(
        BLOCKING,
        {
            "workers_min": 1,
            "workers_max": 3,
            "workers_count": 1,
            "workers_grow_after": "50ms",
            "workers_shrink_after": "1s",
        },
    )
    threads = run_blocked(server, "abc")
    server.wait_for_log("3 workers from now on, and not 2: requests have waited")
    for name in "abc":
        release(server, name)
    for thread, result in threads:
        thread.join()
        assert result["value"] == "done"
    poll(lambda: len(workers(server)) == 1, "two workers to go")
    assert "4 workers" not in server.log() and "0 workers" not in server.log()


def test_size_survives_a_reload(start_server):
    server = start_server(
        BLOCKING, {"workers_min": 1, "workers_max": 2, "workers_count": 1, "workers_grow_after": "50ms"}
    )
    threads = run_blocked(server, "ab")
    release(server, "a")
    release(server, "b")
    for thread, result in threads:
        thread.join()
    reload(server)
    assert text(server) == "done"
    server.wait_for_log("Generation 2 serves, with 2 workers")


def test_size_that_changes_during_a_reload(start_server):
    config = {"workers_preload": "yes", "workers_min": 1, "workers_max": 3, "workers_count": 1}
    server = start_server(APP, {**config, "workers_shrink_after": "1h"})
    write_app(server, SLOW)
    server.signal(signal.SIGHUP)
    wait_for_file(server, "importing")
    server.signal(signal.SIGTTIN)
    server.wait_for_log("2 workers from now on, and not 1: SIGTTIN")
    release(server, "importing")
    server.wait_for_log("Generation 2 serves, with 2 workers")


def test_size_by_signals(start_server):
    server = start_server(APP, {"workers_count": 2, "workers_max": 3})
    with Load(server) as load:
        server.signal(signal.SIGTTIN)
        notified(server, "^STATUS=3/3 workers")
        server.signal(signal.SIGTTIN)
        server.wait_for_log("3 workers, as before: workers.max allows no more")
        for n in (2, 1):
            server.signal(signal.SIGTTOU)
            server.wait_for_log(f"{n} workers from now on, and not {n + 1}: SIGTTOU")
        poll(lambda: len(workers(server)) == 1, "two workers to go")
        server.signal(signal.SIGTTOU)
        server.wait_for_log("1 workers, as before: there is only one")
    assert not load.failures


def test_worker_that_dies_while_others_go(start_server):
    """Its place is filled though those who were too many have not finished their requests."""
    server = start_server(BLOCKING, {"workers_count": 3, "timeouts_graceful": "1h", "timeouts_request": "0"})
    (victim,) = [pid for pid, title in processes(server).items() if title.startswith("cgunicorn: worker 0 ")]
    threads = run_blocked(server, "abc")
    for n in (2, 1):
        server.signal(signal.SIGTTOU)
        server.wait_for_log(f"{n} workers from now on, and not {n + 1}: SIGTTOU")
    os.kill(victim, signal.SIGKILL)
    assert text(server) == "done"
    for name in "abc":
        release(server, name)
    for thread, result in threads:
        thread.join()


def test_application_that_breaks_after_the_start(start_server):
    """Who serves goes on; what is the matter is told; mended code brings full strength back by itself."""
    server = start_server(APP, {"workers_count": 3})
    with Load(server) as load:
        write_app(server, BROKEN)
        victim = min(workers(server))
        load.forgive()
        os.kill(victim, signal.SIGKILL)
        notified(server, "^STATUS=2/3 workers, .*; last failure: ValueError: broken source$")
        poll(lambda: len(re.findall("does not start", server.log())) >= 3, "more tries")
        n = load.n_answered
        poll(lambda: load.failures or load.n_answered > n + 100, "answers")
        write_app(server, APP)
        poll(lambda: re.search("^STATUS=3/3 workers", server.notify.messages[-1], re.M), "full strength")
    assert not load.failures
    assert "last failure" not in server.notify.messages[-1]


@pytest.mark.parametrize("preload", ["yes", "no"])
def test_workers_killed_young(start_server, preload):
    """The first respawn is at once, and each pause ends."""
    server = start_server(APP, {"workers_count": 2, "workers_preload": preload})
    for _ in range(3):
        killed = workers(server)
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        poll(lambda: not killed & workers(server) and len(workers(server)) == 2, "full strength")
        assert text(server) == "one"


# Finds the channel to the supervisor among its descriptors and does to it what the path says.
WILD = """
import os, random, socket, struct, threading

def channel():
    for fd in map(int, os.listdir("/proc/self/fd")):
        try:
            s = socket.socket(fileno=os.dup(fd))
        except OSError:
            continue
        if s.type == socket.SOCK_SEQPACKET:
            return fd, s

def message(type, pid=None, seat=0, generation=1, text=b""):
    return struct.pack("IIIiI", type, generation, seat, pid or os.getpid(), len(text)) + text

def flood():
    s = channel()[1]
    s.setblocking(True)
    try:
        while True:
            s.send(message(7))
    except OSError:
        pass

DEEDS = {
    "octets": lambda fd, s: s.send(random.randbytes(60)),
    "failed": lambda fd, s: s.send(message(3, text=b"no")),
    "spawned": lambda fd, s: s.send(message(5, pid=1)),
    "ready": lambda fd, s: s.send(message(7)),
    "drained": lambda fd, s: s.send(message(8)),
    "replace": lambda fd, s: s.send(message(9)),
    "fds": lambda fd, s: socket.send_fds(s, [message(7)], [0, 1, 2]),
    "close": lambda fd, s: os.close(fd),
    "flood": lambda fd, s: threading.Thread(target=flood, daemon=True).start(),
}

def app(environ, start_response):
    deed = environ["PATH_INFO"][1:]
    if deed in DEEDS:
        DEEDS[deed](*channel())
    body = str(os.getpid()).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""


@pytest.mark.parametrize(
    "deed", ["octets", "failed", "spawned", "ready", "drained", "replace", "fds", "close", "flood"]
)
def test_worker_gone_wild(start_server, deed):
    server = start_server(WILD, {"workers_count": 2, "timeouts_graceful": "2s"})
    with Load(server, n_clients=2) as load:
        if deed == "close":  # nobody can tell it to drain; and the next connection that it accepts is its end
            poll(lambda: len(load.served) == 2, "all clients to be connected")
            load.forgive()
        victim = int(text(server, f"/{deed}"))
        said = rf"\(pid {victim}\) sent .* to the supervisor"
        if deed == "close":
            said += rf"|\[{victim}\] \[ERROR\] The application has closed a file descriptor that is the server's"
        server.wait_for_log(said)
        poll(lambda: victim not in workers(server) and len(workers(server)) == 2, "another in its place")
        n = load.n_answered
        poll(lambda: load.failures or load.n_answered > n + 20, "answers")
    assert not load.failures, server.log()
    assert len(re.findall(said, server.log())) == 1 or deed == "close"  # which both may see
    if deed in ("close", "flood"):
        ignore_faults(server)  # it may be aborted


def test_zygote_gone_wild(start_server):
    """A child of the preloaded application has the zygote's channel, writes to it, and has it non-blocking, as gevent's
    sockets are."""
    source = WILD + (
        "import time\n"
        "if not os.path.exists('forked'):\n"
        "    open('forked', 'w').close()\n"
        "    wild = channel()[1]\n"
        "    wild.setblocking(False)\n"
        "    if os.fork() == 0:\n"
        "        while not os.path.exists('go'):\n"
        "            time.sleep(0.01)\n"
        "        wild.send(message(5, pid=1))\n"
        "        os._exit(0)\n"
    )
    server = start_server(source, {"workers_count": 2, "workers_preload": "yes"})
    with Load(server, n_clients=2) as load:
        (server.directory / "go").touch()
        server.wait_for_log("The zygote of generation 1 .* sent a worker that nobody asked for")
        server.wait_for_log("Generation 2 serves")
    assert not load.failures, server.log()


def test_import_gone_wild():
    with Server(WILD + "s = channel()[1]\ns.send(b'x')\nimport time\ntime.sleep(0.5)\n") as server:
        assert exit_status(server.launch()) == 70
        notified(server, "^STATUS=a worker sent nonsense to the supervisor$")


def test_memory_pressure(start_server, tmp_path):
    """As systemd tells of it, by a FIFO: surplus workers go, the others collect their garbage."""
    source = (
        "import gc, weakref\ngc.set_threshold(10**9)\nclass Node: pass\n"
        "def leave_garbage():\n    node = Node()\n    node.itself = node\n    return weakref.ref(node)\n"
        "garbage = leave_garbage()\n"
    ) + APP.replace("body = VERSION", 'body = "uncollected" if garbage() else "collected"')
    os.mkfifo(tmp_path / "pressure")
    fifo = os.open(tmp_path / "pressure", os.O_RDWR)
    try:
        server = start_server(
            source,
            {"workers_count": 2, "workers_min": 1},
            environment={"MEMORY_PRESSURE_WATCH": str(tmp_path / "pressure")},
        )
        assert text(server) == "uncollected"
        os.write(fifo, b"x")
        server.wait_for_log("1 workers from now on, and not 2: memory is short")
        poll(lambda: text(server) == "collected", "garbage to be collected")
        poll(lambda: len(workers(server)) == 1, "one worker to go")
    finally:
        os.close(fifo)
