# SPDX-License-Identifier: MIT
"""A server under load, and the blows that it is dealt."""
import os
import signal
import time
from pathlib import Path

from client import request
from harness import APPS, Server, poll
from load import Load
from supervision import zygotes

SOURCE = (APPS / "faulty.py").read_text()


def children(pid):
    try:
        return {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}
    except FileNotFoundError:
        return set()


def title(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def is_zombie(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def accepts(pid, inode):
    """Whether a process waits for connections to the listener of that inode: proc_pid_fdinfo(5), of its epoll."""
    try:
        for fd in Path(f"/proc/{pid}/fd").iterdir():
            if os.readlink(fd) == "anon_inode:[eventpoll]":
                if f" ino:{inode:x} " in Path(f"/proc/{pid}/fdinfo/{fd.name}").read_text():
                    return True
    except (FileNotFoundError, ProcessLookupError):
        pass
    return False


class Target:
    """server: a running harness.Server of faulty.py."""

    def __init__(self, server, n_workers):
        self.server = server
        self.n_workers = n_workers
        self.directory = server.directory
        self.site = server.directory / "site"
        self.inode = os.fstat(server.listeners[0].fileno()).st_ino
        self.hit = []
        self.struck_at = None
        self.n_calls = 0
        self.load = Load(server.connect)
        self.n_descriptors = self.count_descriptors()

    # --- what there is ---

    @property
    def supervisor(self):
        return self.server.process.pid

    def workers(self):
        return {pid for pid in children(self.supervisor) if title(pid).startswith("cgunicorn: worker")}

    def a_worker(self):
        return min(self.workers())

    def zygote(self):
        (pid,) = zygotes(self.server)
        return pid

    def count_descriptors(self):
        return len(os.listdir(f"/proc/{self.supervisor}/fd"))

    def states(self):
        """What systemd was told."""
        while self.server.notify.receive():
            pass
        return [line for line in self.server.notify.lines() if line in ("READY=1", "RELOADING=1")]

    def is_quiet(self):
        """No reload is on, and nothing is left of those before."""
        return self.states()[-1] == "READY=1" and len(children(self.supervisor)) == self.n_workers + 1

    # --- blows ---

    def strike(self, pid, number=signal.SIGKILL):
        """A signal to a process in which requests may fail from now on."""
        self.hit.append(pid)
        self.struck_at = time.monotonic()
        os.kill(pid, number)

    def call(self, name, method="POST", connection=None):
        """A request for the fault of that name: its connection, and the worker that has begun it."""
        self.n_calls += 1
        connection = connection or self.server.connect()
        connection.send(request(method, f"/fault/{name}?{self.n_calls}"))
        note = self.directory / f"faulted.{self.n_calls}"
        self.struck_at = time.monotonic()
        poll(note.exists, f"/fault/{name} to be begun")
        return connection, int(note.read_text())

    def call_hit(self, name):
        """As call(); requests in that worker may fail."""
        connection, pid = self.call(name)
        self.hit.append(pid)
        return connection, pid

    def gate(self, pid):
        return self.directory / f"gate.{pid}"

    def wait_for_gate(self, pid):
        poll(self.gate(pid).exists, "the application to hold")

    def write_app(self, source):
        (self.site / "source_app.py").write_text(source)
        self.struck_at = time.monotonic()

    def reload(self):
        self.struck_at = time.monotonic()
        self.server.signal(signal.SIGHUP)

    def begin_again(self):
        """A new supervisor, after the end of the one before."""
        self.server.notify.close()
        self.server.notify.path.unlink()
        self.server.start()

    # --- recovery ---

    def is_whole(self):
        return len({pid for pid in self.workers() if accepts(pid, self.inode)} - set(self.hit)) == self.n_workers

    def wait_until_whole(self):
        """Full strength: as many workers as there shall be wait for connections. Returns the milliseconds since the blow."""
        try:
            poll(self.is_whole, "full strength", interval=0.001)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.server.log()}") from None
        return (time.monotonic() - self.struck_at) * 1000

    def check_every_worker_answers(self):
        """As many requests as there are workers, all held at once: with one thread each, each has another worker."""
        held = []
        for _ in range(self.n_workers):
            connection, pid = self.call("hold")
            self.wait_for_gate(pid)
            held.append((connection, pid))
        assert {pid for _, pid in held} == self.workers()
        for connection, pid in held:
            self.gate(pid).unlink()
            assert connection.read_response().body == b"survived"
            connection.close()

    def check_nothing_is_left(self):
        """No zombie, no descriptor more in the supervisor, no process but those that should be."""
        poll(lambda: not [pid for pid in children(self.supervisor) if is_zombie(pid)], "the dead to be reaped")
        poll(lambda: len(children(self.supervisor)) == self.n_workers + 1, "no child more than a zygote and workers")
        poll(lambda: self.count_descriptors() <= self.n_descriptors, "no descriptor more in the supervisor")


def start(config=None, n_workers=2, prepare=None, **options):
    """A running Target; the caller destroys its server. prepare(server): called before its start."""
    server = Server("source_app:app", {"workers_count": n_workers, **(config or {})}, **options)
    try:
        server.config["app.chdir"] = str(server.directory / "site")
        (server.directory / "site").mkdir()
        (server.directory / "site/source_app.py").write_text(SOURCE)
        if prepare:
            prepare(server)
        server.launch()
        server.notify.path.chmod(0o777)
        server.wait_for_notification("READY=1")
        return Target(server, n_workers)
    except BaseException:
        server.destroy()
        raise
