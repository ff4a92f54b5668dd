# SPDX-License-Identifier: MIT
"""What is measured otherwise than by requests a second: idle and slow clients, start, memory, two workers, and the bare
applications."""
import json
import os
import socket
import subprocess
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from statistics import mean, median

from measure import BOTH_CORES, Running, load, memory_kib, pin, process_tree, pss_kib
from servers import HERE, PYTHON
from workloads import BY_NAME, Failure, Workload

HELLO, FLASK = BY_NAME["hello"], BY_NAME["flask"]
BUSY = Workload("busy", "5 ms of work", (), b"x" * 13, path="/busy")
TRICKLERS = 200
IDLE = (1000, 10000)
ACCEPTED_WITHIN = 5


# --- clients that are only there ---


def open_connections(port, n):
    sockets = []
    try:
        for _ in range(n):
            sockets.append(socket.create_connection(("127.0.0.1", port), timeout=2))
    except OSError as error:
        close_all(sockets)
        raise Failure(f"takes {len(sockets)} of {n} connections") from error
    return sockets


def close_all(sockets):
    for s in sockets:
        s.close()


def is_open(s):
    """Whether the server has closed it not. What it has sent, as an error before that, does not count."""
    s.setblocking(False)
    try:
        while s.recv(4096):
            pass
        return False
    except BlockingIOError:
        return True
    except OSError:
        return False


def await_accepted(running, n):
    """Until the server has accepted so many: one that defers (TCP_DEFER_ACCEPT) gets those that are silent a second late, and
    the work of that is not what idle connections cost. A server that never accepts so many is not waited for."""
    deadline = time.monotonic() + ACCEPTED_WITHIN
    while sum(connections_by_process(running)) < n and time.monotonic() < deadline:
        time.sleep(0.1)


class Tricklers:
    """Clients that send an octet of a request head each second, and never its end."""

    def __init__(self, port, n):
        self.sockets = open_connections(port, n)
        self.is_over = threading.Event()
        self.started = time.monotonic()
        self.send(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
        self.thread = threading.Thread(target=self.trickle)
        self.thread.start()

    def send(self, octets):
        for s in self.sockets:
            try:
                s.send(octets)
            except OSError:
                pass

    def trickle(self):
        while not self.is_over.wait(1):
            self.send(b"x")

    def stop(self):
        """How many the server has closed."""
        self.is_over.set()
        self.thread.join()
        n = sum(not is_open(s) for s in self.sockets)
        close_all(self.sockets)
        return n


def measure_idle(server, seconds, rounds, log):
    """hello beside 1,000 and 10,000 connections that have made no request: what is kept of its rate, which is measured
    before and after, and what a connection costs: {number: figures}, or of a number that is too many: what is wrong."""
    samples, failures = {n: [] for n in IDLE}, {}
    for _ in range(rounds):
        with Running(server, "plain", 1, log) as running:
            alone = [load(running, HELLO, seconds, 16)["rps"]]
            before = memory_kib(process_tree(running.process.pid), "Rss")
            sockets, of_round = [], []
            try:
                for n in [n for n in IDLE if not failures]:
                    sockets += open_connections(running.port, n - len(sockets))
                    await_accepted(running, n)
                    beside = load(running, HELLO, seconds, 16)
                    kib = memory_kib(process_tree(running.process.pid), "Rss") - before
                    of_round.append((n, {"kept": beside["rps"], "p99_ms": beside["p99_ms"], "kib_each": max(kib, 0) / n,
                                         "held": sum(map(is_open, sockets))}))
            except Failure as failure:
                failures[n] = str(failure)
            finally:
                close_all(sockets)
            if not failures:
                alone.append(load(running, HELLO, seconds, 16)["rps"])
        for n, figures in of_round:
            samples[n].append({**figures, "kept": figures["kept"] / mean(alone)})
    results = {n: {key: median(s[key] for s in of) for key in of[0]} for n, of in samples.items() if of}
    return results, failures


def measure_slow(server, seconds, rounds, log):
    """hello beside clients that never end their request head; and whether they are closed, where the server says when."""
    with Running(server, "plain", 1, log) as running:
        kept, closed = [], None
        for last in [False] * (rounds - 1) + [True]:
            alone = load(running, HELLO, seconds, 16)
            tricklers = Tricklers(running.port, TRICKLERS)
            try:
                beside = load(running, HELLO, seconds, 16)
                kept.append(beside["rps"] / alone["rps"])
                if last and server.head_timeout:
                    time.sleep(max(0, tricklers.started + server.head_timeout + 2 - time.monotonic()))
            finally:
                n = tricklers.stop()
            closed = n if last and server.head_timeout else closed
    return {"kept": median(kept), "closed": closed}


class Crowd:
    """Clients that send a head at an octet a second, a body at 1 KB/s, and that read 1 MB at 10 KB/s."""

    def __init__(self, port, n):
        self.heads, self.bodies, self.readers = (open_connections(port, n) for _ in range(3))
        self.is_over = threading.Event()
        self.n_ended = 0
        for sockets, octets in ((self.heads, b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: "),
                                (self.bodies, b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n"),
                                (self.readers, b"GET /megabyte HTTP/1.1\r\nHost: a\r\n\r\n")):
            for s in sockets:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                s.sendall(octets)
        self.thread = threading.Thread(target=self.trickle)
        self.thread.start()

    def trickle(self):
        while not self.is_over.wait(0.1):  # a tenth of them each, so that there is always something to do
            self.heads, self.bodies, self.readers = (s[-20:] + s[:-20] for s in (self.heads, self.bodies, self.readers))
            for head, body, reader in list(zip(self.heads, self.bodies, self.readers))[:20]:
                try:
                    head.send(b"x")
                    body.send(b"x" * 1000)
                    self.n_ended += not reader.recv(10000)
                except OSError:
                    self.n_ended += 1

    def stop(self):
        """How many were closed, or had no answer."""
        self.is_over.set()
        self.thread.join()
        close_all(self.heads + self.bodies + self.readers)
        return self.n_ended


def measure_crowd(server, seconds, rounds, log):
    """An application that is busy for 5 ms a request, beside slow clients of each kind: what is kept of its rate."""
    kept = []
    with Running(server, "plain", 1, log) as running:
        for _ in range(rounds):
            alone = load(running, BUSY, 3 * seconds, 16)
            crowd = Crowd(running.port, TRICKLERS)
            try:
                time.sleep(1)  # until the answers of the readers are made
                beside = load(running, BUSY, 3 * seconds, 16)
            finally:
                n_ended = crowd.stop()
            if n_ended:
                raise Failure(f"{n_ended} of the slow clients were closed")
            kept.append(beside["rps"] / alone["rps"])
    return {"kept": median(kept)}


# --- start and memory ---

# After so many, the pages that a preloaded application shares are to be shared still.
LATER_REQUESTS = 10000


def seconds_of(command, environment):
    start = time.monotonic()
    subprocess.run(command, env=environment, check=True, preexec_fn=pin(BOTH_CORES[:1]), cwd=HERE / "apps")
    return time.monotonic() - start


def python_environment():
    return dict(os.environ, PYTHONPATH=str(HERE / "apps"), PYTHONDONTWRITEBYTECODE="1")


def measure_start(server, rounds, log):
    """Medians, ms: from exec to the first answer, and from exec to the end of an interpreter that only imports Flask."""
    times = {"plain": [], "flask_app": []}
    imports = []
    for _ in range(rounds):
        for app, values in times.items():
            with Running(server, app, 1, log) as running:
                values.append(running.seconds_to_answer)
        imports.append(seconds_of([PYTHON, "-c", "import flask_app"], python_environment()))
    return {"hello_ms": median(times["plain"]) * 1000, "flask_ms": median(times["flask_app"]) * 1000,
            "import_ms": median(imports) * 1000, "import_ratio": median(times["flask_app"]) / median(imports)}


def measure_memory(server, workers, log):
    """MiB of PSS with Flask after some load: all processes, and the one that was started; and times that after more."""
    with Running(server, "flask_app", workers, log) as running:
        load(running, FLASK, 1, 16 * workers)
        pss, root = pss_kib(running.process.pid), memory_kib([running.process.pid])
        requests = 0
        while requests < LATER_REQUESTS:
            requests += load(running, FLASK, 1, 16 * workers)["rps"]
        return {"pss_mib": pss / 1024, "root_mib": root / 1024, "later_ratio": pss_kib(running.process.pid) / pss}


# --- two workers ---


def established(port):
    """The inodes of the server's ends of its connections."""
    inodes = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == "01" and int(fields[1].partition(":")[2], 16) == port:
            inodes.add(f"socket:[{fields[9]}]")
    return inodes


def connections_by_process(running):
    inodes = established(running.port)
    counts = []
    for pid in process_tree(running.process.pid):
        try:
            links = [os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir()]
        except OSError:
            continue
        counts.append(len(inodes.intersection(links)))
    return counts


@contextmanager
def sampled(seconds, function, results):
    timer = threading.Timer(seconds, lambda: results.append(function()))
    timer.start()
    try:
        yield
    finally:
        timer.join()


def measure_two(server, seconds, rounds, log):
    """Both on all cores, wrk too: CPU time a request of two workers against one, and the largest share of connections."""
    ratios, shares, samples = [], [], []
    with Running(server, "plain", 1, log, cores=BOTH_CORES) as one, Running(server, "plain", 2, log) as two:
        for _ in range(rounds):
            counts = []
            alone = load(one, HELLO, seconds, 64)
            with sampled(seconds / 2, lambda: connections_by_process(two), counts):
                both = load(two, HELLO, seconds, 64)
            ratios.append(both["cpu_usec"] / alone["cpu_usec"])
            shares.append(max(counts[0]) / max(1, sum(counts[0])))
            samples.append(both)
    return {"cpu_ratio": median(ratios), "share": median(shares),
            **{key: median(s[key] for s in samples) for key in ("rps", "cpu_usec")}}


# --- four workers of one thread ---


def measure_tail(server, rounds, log, drain):
    """How long 16 clients wait, at 320 requests a second on all cores, without and beside those of their requests that sleep
    for 200 ms, one in 100: then all four threads sleep for less than a hundredth of the time."""
    samples = []
    with Running(server, "plain", 4, log, cores=BOTH_CORES) as running:
        for _ in range(rounds):
            calm, beside = (run_drain(drain, [running.port, "/", 16, 5, 320, every, "/slow"]) for every in (0, 100))
            samples.append({"p50_ms": beside["p50_ms"], "p99_ms": beside["p99_ms"], "calm_p99_ms": calm["p99_ms"],
                            "p50_ratio": beside["p50_ms"] / calm["p50_ms"], "p99_ratio": beside["p99_ms"] / calm["p99_ms"]})
    return {key: median(s[key] for s in samples) for key in samples[0]}


def run_drain(drain, arguments):
    output = subprocess.run([drain, *map(str, arguments)], capture_output=True, text=True, check=True).stdout
    result = json.loads(output)
    if any(result["errors"].values()):
        raise Failure(f"errors: {result['errors']}")
    return result


# --- the applications alone ---


def measure_bare(workload):
    """CPU µs of one call in a loop by Debian's interpreter, or in as many greenlets as there are connections."""
    greenlets = [workload.path, str(workload.connections)] if workload.connections else []
    output = subprocess.run([PYTHON, HERE / "bare", f"{workload.app}:app", *greenlets], env=python_environment(), check=True,
                            capture_output=True, text=True, preexec_fn=pin(BOTH_CORES[:1])).stdout
    return float(output)
