# SPDX-License-Identifier: MIT
"""Starts one server, loads it, and reads what that cost from /proc."""
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

from workloads import EVENTS, Failure, request_octets, verify

HERE = Path(__file__).resolve().parent
TICKS = os.sysconf("SC_CLK_TCK")
BOTH_CORES = sorted(os.sched_getaffinity(0))[:2]


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
    """(user, system) of the process and its descendants."""
    user = system = 0
    for pid in process_tree(root):
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        user += int(fields[11])
        system += int(fields[12])
    return user / TICKS, system / TICKS


def memory_kib(pids, field="Pss"):
    total = 0
    for pid in pids:
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in text.splitlines() if line.startswith(f"{field}:"))
    return total


def pss_kib(root):
    return memory_kib(process_tree(root))


def pin(cores):
    return lambda: os.sched_setaffinity(0, cores)


class Running:
    """A started server that has answered its first request. seconds_to_answer: from exec to that answer; apps: the
    directory of the application; patience: seconds; cores: None: the first for one worker, else both."""

    def __init__(self, server, app, workers, log, apps=HERE / "apps", patience=20, threads=1, environment=None, cores=None):
        self.server, self.port, self.patience = server, free_port(), patience
        self.cores = cores or (BOTH_CORES[:1] if workers == 1 else BOTH_CORES)
        command = [str(word) for word in server.command(f"{app}:app", self.port, workers, threads)]
        environment = dict(os.environ, PYTHONPATH=str(apps), PYTHONDONTWRITEBYTECODE="1", **server.environment,
                           **(environment or {}))
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
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=self.patience / 4)
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


def wrk(running, workload, seconds, connections):
    environment = dict(os.environ)
    if workload.upload:
        environment["BENCH_UPLOAD"] = str(workload.upload)
    if workload.pipeline > 1:
        environment["BENCH_PIPELINE"] = str(workload.pipeline)
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", HERE / "wrk.lua"]
    for line in workload.headers + (["Connection: close"] if workload.close else []):
        command += ["-H", line]
    return command + [f"http://127.0.0.1:{running.port}{workload.path}"], environment


def load(running, workload, seconds, connections, drain=None):
    """One run of the client: its numbers, and the CPU time of the server a request in microseconds."""
    verify(running, workload)
    seconds = max(seconds, workload.seconds_min)
    if workload.client == "events":
        return receive_events(running, workload)
    if workload.client == "drain":
        command, environment = [drain, running.port, workload.path, connections, seconds], None
    else:
        command, environment = wrk(running, workload, seconds, connections)
    before = cpu_seconds(running.process.pid)
    output = subprocess.run([str(word) for word in command], env=environment, capture_output=True, text=True,
                            timeout=seconds + 30, preexec_fn=pin(BOTH_CORES[-1:]), check=False).stdout
    after = cpu_seconds(running.process.pid)
    line = next((line for line in output.splitlines() if line.startswith("{")), None)
    if not line:
        raise Failure("the client did not end well")
    result = json.loads(line)
    faults = {kind: n for kind, n in result["errors"].items()
              if n and not (kind == "read" and running.server.closes_unannounced)}
    if faults or not result["requests"]:
        raise Failure(f"{result['requests']} requests, errors: {faults}")
    user, system = ((b - a) / result["requests"] * 1e6 for a, b in zip(before, after))
    return {"rps": result["requests"] / result["seconds"], "p50_ms": result["p50_ms"], "p99_ms": result["p99_ms"],
            "user_usec": user, "system_usec": system, "cpu_usec": user + system}


def receive_events(running, workload):
    """How long events take from the application to the client, in ms."""
    late, text = [], b""
    with socket.create_connection(("127.0.0.1", running.port), timeout=5) as s:
        s.sendall(request_octets(workload, running.port))
        try:
            while len(late) < EVENTS and (data := s.recv(65536)):
                now = time.monotonic_ns()
                text += data
                made = [int(n) for n in re.findall(rb"data: (\d+)\n\n", text)]
                late += [(now - ns) / 1e6 for ns in made[len(late):]]
        except OSError as error:
            raise Failure(f"only {len(late)} events came: {error}") from error
    if len(late) < EVENTS:
        raise Failure(f"only {len(late)} events came")
    return {"first_ms": late[0], "p50_ms": sorted(late)[EVENTS // 2], "p99_ms": sorted(late)[EVENTS * 99 // 100 - 1]}
