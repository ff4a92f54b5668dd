# SPDX-License-Identifier: MIT
"""What the tests of reverse proxies share: one that runs in the foreground, and takes its listening sockets from us."""
import contextlib
import os
import socket
import subprocess

from client import Connection
from harness import DEADLINE, running


class Proxy:
    """command: it inherits the listeners; for a `with` block."""

    def __init__(self, command, log_path, listeners, environment=None):
        self.log_path = log_path
        self.listeners = listeners
        with log_path.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[listener.fileno() for listener in listeners],
                env={"PATH": os.environ["PATH"], **(environment or {})},
            )

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.process.terminate()
        self.process.wait(DEADLINE)
        for listener in self.listeners:
            listener.close()

    def connect(self, listener):
        assert self.process.poll() is None, self.log_path.read_text()
        return Connection(socket.AF_INET, listener.getsockname(), timeout=DEADLINE)


@contextlib.contextmanager
def running_behind(proxy, app, config, directory):
    """A server on a Unix and a TCP socket, which proxy(directory, path, port) is for: (server, proxy)."""
    unix = socket.socket(socket.AF_UNIX)
    unix.bind(str(directory / "socket"))
    unix.listen(128)
    tcp = socket.create_server(("127.0.0.1", 0), backlog=128)
    with running(app, config, listeners=[tcp, unix]) as server:
        with proxy(directory, directory / "socket", tcp.getsockname()[1]) as front:
            yield server, front
