# SPDX-License-Identifier: MIT
"""Starts one server, asks whether it answers right, loads it with wrk, and reads what it cost from /proc."""
import http.client
import json
import os
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
UPLOAD = 1000000
TICKS = os.sysconf("SC_CLK_TCK")
# What a browser sends through a proxy, beside Host.
BROWSER = [
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8",
    "Accept-Language: en-GB,en;q=0.7,de;q=0.3",
    "Accept-Encoding: gzip, deflate, br",
    "Referer: https://www.example.org/some/where/index.html",
    "Cookie: session=0123456789abcdef0123456789abcdef; theme=dark; csrftoken=abcdefghijklmnop",
    "X-Forwarded-For: 203.0.113.7",
    "X-Forwarded-Proto: https",
    "X-Request-Id: 6f1c9a5e-8f3d-4a53-9d0f-2f6d0b1d7e11",
]
BOTH_CORES = sorted(os.sched_getaffinity(0))[:2]


class Failure(Exception):
    """The server does not do what the workload needs; the text says what."""


@dataclass
class Workload:
    name: str
    app: str
    path: str = "/"
    upload: bool = False
    close: bool = False
    expected: bytes = b""


WORKLOADS = [
    Workload("hello", "plain", expected=b"x" * 13),
    Workload("close", "plain", close=True, expected=b"x" * 13),
    Workload("big", "plain", path="/big", expected=b"x" * 102400),
    Workload("upload", "plain", path="/upload", upload=True, expected=b"%d" % UPLOAD),
    Workload("flask", "flask_app", expected=b"Hello from Flask"),
    Workload("django", "django_app", expected=b"Hello from Django"),
]


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def process_tree(root):
    """The pids of root and of all its descendants."""
    children = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found, queue = [], [root]
    while queue:
        pid = queue.pop()
        found.append(pid)
        queue += children.get(pid, [])
    return found


def cpu_seconds(root):
    total = 0
    for pid in process_tree(root):
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def pss_kib(root):
    total = 0
    for pid in process_tree(root):
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))
    return total


def pin(cores):
    return lambda: os.sched_setaffinity(0, cores)


class Running:
    """A started server that has answered its first request. seconds_to_answer: from exec to that answer; apps: the
    directory of the application; patience: seconds."""

    def __init__(self, server, app, workers, log, apps=HERE / "apps", patience=20):
        self.server, self.port, self.patience = server, free_port(), patience
        self.cores = BOTH_CORES[:1] if workers == 1 else BOTH_CORES
        command = [str(word) for word in server.command(f"{app}:app", self.port, workers)]
        environment = dict(os.environ, PYTHONPATH=str(apps), PYTHONDONTWRITEBYTECODE="1", **server.environment)
        self.log = open(log, "ab")
        start = time.monotonic()
        self.process = subprocess.Popen(command, cwd=apps, env=environment, stdin=subprocess.DEVNULL,
                                        stdout=self.log, stderr=self.log, start_new_session=True,
                                        preexec_fn=pin(self.cores))
        try:
            self.await_answer(start + patience)
        except BaseException:
            self.stop()
            raise
        self.seconds_to_answer = time.monotonic() - start

    def await_answer(self, deadline):
        while True:
            try:
                if self.request()[0] == 200:
                    return
                raise Failure("its first answer is not 200")
            except OSError as error:
                if self.process.poll() is not None:
                    raise Failure(f"ended with status {self.process.returncode}") from error
                if time.monotonic() > deadline:
                    raise Failure("does not answer in time") from error
                time.sleep(0.001)

    def request(self, method="GET", path="/", body=None, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=self.patience / 2)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return response.status, response.read()
        except http.client.HTTPException as error:
            raise Failure(f"{type(error).__name__}") from error
        finally:
            connection.close()

    def stop(self):
        """Ends the whole tree, whatever it thinks of it."""
        pids = process_tree(self.process.pid)
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(0.5)
        except subprocess.TimeoutExpired:
            pass
        for pid in pids[1:] + ([self.process.pid] if self.process.returncode is None else []):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait()
        self.log.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def probe(running, workload):
    """Raises Failure unless the answer is the right one."""
    if running.server.is_limit:
        return
    body = b"x" * UPLOAD if workload.upload else None
    try:
        status, answer = running.request("POST" if body else "GET", workload.path, body)
    except OSError as error:
        raise Failure(f"no answer: {error}") from error
    if status != 200 or answer != workload.expected:
        raise Failure(f"wrong answer: {status}, {len(answer)} octets")
    if workload.close:
        probe_close(running.port)


def probe_close(port):
    with socket.create_connection(("127.0.0.1", port), timeout=3) as s:
        s.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        try:
            while s.recv(65536):
                pass
        except OSError as error:
            raise Failure("ignores Connection: close") from error


def load(running, workload, seconds, connections):
    """One run of wrk: its numbers, and the CPU time of the server a request in microseconds."""
    probe(running, workload)
    environment = dict(os.environ)
    if workload.upload:
        environment["BENCH_UPLOAD"] = str(UPLOAD)
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", HERE / "wrk.lua"]
    if workload.close:
        command += ["-H", "Connection: close"]
    command.append(f"http://127.0.0.1:{running.port}{workload.path}")
    before = cpu_seconds(running.process.pid)
    output = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=seconds + 30,
                            preexec_fn=pin(BOTH_CORES[-1:]), check=False).stdout
    used = cpu_seconds(running.process.pid) - before
    line = next((line for line in output.splitlines() if line.startswith("{")), None)
    if not line:
        raise Failure("wrk did not end well")
    result = json.loads(line)
    faults = {kind: n for kind, n in result["errors"].items()
              if n and not (kind == "read" and running.server.closes_unannounced)}
    if faults or not result["requests"]:
        raise Failure(f"{result['requests']} requests, errors: {faults}")
    return {
        "rps": result["requests"] / result["seconds"],
        "p50_ms": result["p50_ms"],
        "p99_ms": result["p99_ms"],
        "cpu_usec": used / result["requests"] * 1e6,
    }
