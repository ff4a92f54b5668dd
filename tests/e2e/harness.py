# SPDX-License-Identifier: MIT
"""Runs cgunicorn in the foreground for the end-to-end tests. The HTTP side is in client.py.

The listening sockets are bound here and passed as systemd would (LISTEN_FDS), so that no port is guessed and
connecting never races with the start; readiness comes through a NOTIFY_SOCKET."""
import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from pathlib import Path

import pytest

from client import Connection

HERE = Path(__file__).resolve().parent
APPS = HERE.parent / "apps"
BUILD = Path(os.environ.get("CGUNICORN_BUILD_DIR", "build")).resolve()
PROGRAM = BUILD / "cgunicorn"
SANITIZED = os.environ.get("CGUNICORN_SANITIZED") == "1"

# workers.class of all servers that do not say otherwise, as if the applications had been written for it.
WORKER_CLASS = os.environ.get("CGUNICORN_TEST_CLASS", "threads")

FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))

# Where the frameworks are, when the interpreter has them not: tests/pythons/run.
PACKAGES = os.environ.get("CGUNICORN_TEST_PACKAGES")

of_threads = pytest.mark.skipif(WORKER_CLASS != "threads", reason="is told of class threads")


def worker_directory(door):
    """Where the server finds its workers: the build directory, from which it takes the module, if there is one; for
    "program" a directory that only has the program."""
    if door == "module":
        return BUILD
    directory = BUILD / "tests/e2e/program"
    directory.mkdir(parents=True, exist_ok=True)
    for program in BUILD.glob("cgunicorn-worker-*"):
        with contextlib.suppress(FileExistsError):
            (directory / program.name).symlink_to(program)
    return directory


WORKERS = worker_directory(os.environ.get("CGUNICORN_TEST_DOOR", "module"))
# What of it runs: the module in the interpreter of the site, else the program.
MODULE = next(WORKERS.glob("_cgunicorn.*"), None)
WORKER = MODULE or next(WORKERS.glob("cgunicorn-worker-*"), None)
EXECUTED = os.path.realpath(sys.executable) if MODULE else str(WORKER)

# How long anything may take before the test gives up; generous, as machines may be loaded.
DEADLINE = 90 if SANITIZED else 30

# Lines that no run may leave behind: reports of sanitizers, processes that died.
FAULTS = re.compile(
    r"Sanitizer|runtime error:|Fatal Python error|Segmentation fault|Assertion .* failed|core dumped"
    r"|Iterator garbage collected without being closed"
)


def poll(condition, what="", deadline=None, interval=0.01):
    """Calls condition until its result is true, and returns that."""
    end = time.monotonic() + (deadline or DEADLINE)
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline or DEADLINE} s: {what or condition}")
        time.sleep(interval)


def packages_of(virtualenv):
    """Its site-packages, which a free-threaded Python has elsewhere."""
    return Path(sysconfig.get_path("purelib", "venv", {"base": str(virtualenv)}))


def clean_environment(directory):
    """What a service of systemd would see, nothing of the caller's own service or Python."""
    environment = {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LANG": "C.UTF-8",
        "HOME": str(directory),
        "CGUNICORN_LIBEXECDIR": str(WORKERS),
        "CACHE_DIRECTORY": str(directory),
        "STATE_DIRECTORY": str(directory),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    if SANITIZED:
        environment.update(
            PYTHONMALLOC="malloc",
            ASAN_OPTIONS="detect_leaks=0:handle_segv=1:abort_on_error=0",
            UBSAN_OPTIONS="print_stacktrace=1",
        )
    if PACKAGES:
        environment["PYTHONPATH"] = PACKAGES
    for name in ("LSAN_OPTIONS", "GCOV_PREFIX", "GCOV_PREFIX_STRIP"):
        if name in os.environ:
            environment[name] = os.environ[name]
    return environment


CAUGHT_UP = "X_CAUGHT_UP=1"  # a message of our own


class NotifySocket:
    """The service manager's end of sd_notify(3): always read, as a sender waits while its messages are not."""

    def __init__(self, path):
        self.path = path
        self.messages = []
        self.n_seen = 0
        self.arrival = threading.Condition()
        self.is_closed = False
        self.has_caught_up = False
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self.socket.bind(str(path))
        self.socket.settimeout(0.05)
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self):
        while not self.is_closed:
            try:
                message = self.socket.recv(65536).decode()
            except TimeoutError:
                continue
            with self.arrival:
                if message == CAUGHT_UP:
                    self.has_caught_up = True
                else:
                    self.messages.append(message)
                self.arrival.notify_all()

    def catch_up(self):
        """Until all that was sent before is in messages."""
        with self.arrival:
            self.has_caught_up = False
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as own:
            own.sendto(CAUGHT_UP.encode(), str(self.path))
        with self.arrival:
            assert self.arrival.wait_for(lambda: self.has_caught_up, DEADLINE)

    def receive(self):
        """Looks at one message more, or waits a moment for it; whether there was one."""
        with self.arrival:
            if self.n_seen == len(self.messages):
                self.arrival.wait(0.05)
            if self.n_seen == len(self.messages):
                return False
            self.n_seen += 1
            return True

    def lines(self):
        return [line for message in list(self.messages) for line in message.splitlines()]

    def close(self):
        self.is_closed = True
        self.thread.join()
        self.socket.close()


class Server:
    """One `cgunicorn serve`; the end of a `with` block removes what is left of it.

    app: "module:callable" of tests/apps, or the source of a module with an `app`; config: section_key=value, as
    options.def has them; environment: more variables of the process; nofile: RLIMIT_NOFILE; unix: listen on a
    Unix socket instead of TCP; listeners: own listening sockets instead; ini: text of the file for -c; arguments:
    more of the command line; files: {name: text} in its directory; wrapper: a command that the program is started through (it must exec); output: a
    descriptor for stdout and stderr, which log() then does not see.
    """

    def __init__(
        self,
        app,
        config=None,
        *,
        environment=None,
        nofile=None,
        unix=False,
        listeners=None,
        ini=None,
        arguments=(),
        files=None,
        wrapper=(),
        output=None,
    ):
        self.directory = Path(tempfile.mkdtemp(prefix="cgunicorn-test-"))
        self.log_path = self.directory / "log"
        self.process = None
        self.notify = None
        self.faults_reported = 0
        self.config = {"workers.count": "1", "timeouts.graceful": "10s", "app.pythonpath": str(APPS)}
        for name, value in (config or {}).items():
            section, _, key = name.partition("_")
            self.config[f"{section}.{key}"] = str(value)
        if "workers.class" not in self.config and WORKER_CLASS == "gevent":
            self.config["workers.class"] = "gevent"
            self.config["workers.connections"] = self.config.pop("workers.threads", "1")
        if app is not None and "\n" in app:
            (self.directory / "source_app.py").write_text(app)
            self.config.setdefault("app.chdir", str(self.directory))
            app = "source_app:app"
        self.app = app
        self.environment = {**clean_environment(self.directory), **(environment or {})}
        self.nofile = nofile
        self.arguments = list(arguments)
        if ini is not None:
            (self.directory / "site.ini").write_text(ini)
            self.arguments += ["-c", str(self.directory / "site.ini")]
        for name, text in (files or {}).items():
            (self.directory / name).parent.mkdir(parents=True, exist_ok=True)
            (self.directory / name).write_text(text)
        self.wrapper = list(wrapper)
        self.output = output
        self.listeners = listeners if listeners is not None else [self._listener(unix)]
        self.address = self.listeners[0].getsockname() if self.listeners else None

    def _listener(self, unix):
        if not unix:
            listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        else:
            listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            listener.bind(str(self.directory / "socket"))
            listener.listen(1024)
        return listener

    # --- life ---

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.destroy()

    def command(self):
        activate = [sys.executable, "-I", "-S", str(HERE / "activate.py")]
        if self.nofile is not None:
            activate.append(f"--nofile={self.nofile}")
        activate += [str(listener.fileno()) for listener in self.listeners] + ["--"]
        options = [item for key, value in self.config.items() for item in ("--set", f"{key}={value}")]
        serve = [str(PROGRAM), "serve", *options, *self.arguments]
        return activate + self.wrapper + serve + ([self.app] if self.app is not None else [])

    def launch(self):
        """Starts the process without waiting for anything."""
        self.notify = NotifySocket(self.directory / "notify")
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=log if self.output is None else self.output,
                stderr=log if self.output is None else self.output,
                env={**self.environment, "NOTIFY_SOCKET": str(self.notify.path)},
                pass_fds=[listener.fileno() for listener in self.listeners],
                cwd=self.directory,
                start_new_session=True,
            )
        return self

    def start(self):
        """Until it is ready; nothing is left of one that does not start."""
        try:
            self.launch()
            self.wait_for_notification("READY=1")
        except BaseException:
            self.destroy()
            raise
        return self

    def wait_for_notification(self, line):
        end = time.monotonic() + DEADLINE
        while line not in self.notify.lines():
            if self.process.poll() is not None:
                self.notify.catch_up()
                said = f"exited with {self.process.returncode} before {line}\n{self.log()}"
                assert line in self.notify.lines(), said
            elif not self.notify.receive():
                assert time.monotonic() < end, f"no {line} within {DEADLINE} s\n{self.log()}"

    def wait(self):
        """The exit status of the supervisor, which must end by itself. Its notifications are taken meanwhile, as it
        may wait for that (sd_notify_barrier(3))."""
        end = time.monotonic() + DEADLINE
        while self.process.poll() is None:
            self.notify.receive()
            assert time.monotonic() < end, f"does not end within {DEADLINE} s\n{self.log()}"
        self.notify.catch_up()
        return self.process.returncode

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self):
        """Ends the server as `systemctl stop` does; everything must be well in the end."""
        try:
            if self.process is not None:
                if self.process.poll() is None:
                    self.signal(signal.SIGTERM)
                status = self.wait()
                assert status == 0, f"exit status {status}\n{self.log()}"
                poll(lambda: not self.pids(), "processes left behind")
                self.check_faults()
        finally:
            self.destroy()

    def destroy(self):
        """Removes what is left, whatever state it is in."""
        if self.process is not None:
            for pid in self.pids():
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            self.process.wait()
        if self.notify is not None:
            self.notify.close()
        for listener in self.listeners:
            listener.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    # --- what it says ---

    def log(self):
        """Everything on stdout and stderr so far."""
        return self.log_path.read_bytes().decode("utf-8", "backslashreplace")

    def wait_for_log(self, pattern, start=0):
        """Waits for a match of the regular expression behind the first `start` characters."""
        compiled = re.compile(pattern)
        try:
            return poll(lambda: compiled.search(self.log(), start), pattern)
        except AssertionError as error:
            raise AssertionError(f"{error}\nlog:\n{self.log()[start:]}") from None

    def check_faults(self):
        """Fails once for each new report of a crash or a sanitizer in the log."""
        log = self.log()
        faults = list(FAULTS.finditer(log, self.faults_reported))
        self.faults_reported = len(log)
        assert not faults, f"{[fault.group() for fault in faults]} in the log:\n{log}"

    def check_alive(self):
        assert self.process.poll() is None, f"exited with {self.process.returncode}\n{self.log()}"
        self.check_faults()

    # --- its processes ---

    def pids(self):
        """All processes of this server: it was started in a session of its own, which its children stay in."""
        result = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    fields = (entry / "stat").read_text().rpartition(")")[2].split()
                except OSError:  # gone meanwhile
                    continue
                if int(fields[3]) == self.process.pid and fields[0] != "Z":
                    result.append(int(entry.name))
        return sorted(result)

    # --- clients ---

    def connect(self, **options):
        """A new client connection."""
        family = socket.AF_UNIX if isinstance(self.address, str) else socket.AF_INET
        return Connection(family, self.address, timeout=DEADLINE, **options)

    def get(self, target="/", *fields, method="GET", body=None):
        """One request on a connection of its own."""
        with self.connect() as connection:
            return connection.request(method, target, *fields, body=body)

    @property
    def port(self):
        return self.address[1]

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"


@contextlib.contextmanager
def running(*arguments, **options):
    """A Server that is started, and stopped at the end of the `with` block."""
    server = Server(*arguments, **options).start()
    try:
        yield server
    finally:
        server.stop()


class Pool:
    """Servers by what they were started with; equal ones are shared."""

    def __init__(self):
        self.servers = {}

    def get(self, app, *, environment=None, unix=False, **config):
        key = (app, unix, tuple(sorted((environment or {}).items())), tuple(sorted(config.items())))
        server = self.servers.get(key)
        if server is None:
            server = Server(app, config, environment=environment, unix=unix).start()
            self.servers[key] = server
            server.first_pids = set(server.pids())
        return server

    def check(self):
        """After each test, so that a crash is laid at the right door; a broken server is not used again."""
        for key, server in list(self.servers.items()):
            try:
                server.check_alive()
                gone = server.first_pids - set(server.pids())
                assert not gone, f"processes {gone} were replaced\n{server.log()}"
            except AssertionError:
                del self.servers[key]
                server.destroy()
                raise

    def stop(self):
        errors = []
        while self.servers:
            server = self.servers.popitem()[1]
            try:
                server.stop()
            except AssertionError as error:
                errors.append(error)
        assert not errors, "\n".join(map(str, errors))
