# SPDX-License-Identifier: MIT
"""What tests of the supervisor share: an application whose requests wait for the test, and a look at the processes."""
import os
import re
import signal
import threading
from pathlib import Path

from harness import poll

APP = """
import json, os, subprocess, time

VERSION = "one"

def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/wait":  # until the test removes the file
        open("waiting", "w").close()
        while os.path.exists("waiting"):
            time.sleep(0.01)
    if path == "/orphan":
        subprocess.run(["sh", "-c", "sleep 0.05 & echo $! > orphan"], check=True)
    if path == "/environ":
        body = json.dumps(dict(os.environ))
    elif path == "/fds":
        fds = {fd: os.path.realpath(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")}
        body = json.dumps({fd: name for fd, name in fds.items() if os.path.lexists(f"/proc/self/fd/{fd}")})
    elif path == "/process":
        body = open("/proc/self/status").read() + f"Pgrp:\\t{os.getpgrp()}\\n"
    elif path == "/pid":
        body = str(os.getpid())
    else:
        body = VERSION
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body.encode())))])
    return [body.encode()]
"""

# An import that takes until the test removes the file "importing".
SLOW = 'import os, time\nopen("importing", "w").close()\nwhile os.path.exists("importing"): time.sleep(0.01)\n' + APP

BROKEN = 'raise ValueError("broken " + "source")\n'

# A user who has no processes, also not those of another run of the tests at the same time: for RLIMIT_NPROC, which counts
# all processes of a user, and does not hold for root.
OTHER = 20000 + os.getpid() % 40000


def processes(server):
    """Every process that came from the server, by the session that the harness began."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                title = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
            except OSError:
                continue
            if int(fields[3]) == server.process.pid and fields[0] != "Z":
                found[int(entry.name)] = title
    return found


def zygotes(server):
    return {pid for pid, title in processes(server).items() if title.startswith("cgunicorn: zygote")}


def workers(server, generation=r"\d+"):
    title_of_one = re.compile(rf"cgunicorn: worker \d+ gen {generation}\b")
    return {pid for pid, title in processes(server).items() if title_of_one.match(title)}


def text(server, target="/"):
    response = server.get(target)
    assert response.status == 200
    return response.body.decode()


def write_app(server, source):
    (server.directory / "source_app.py").write_text(source)


def wait_for_file(server, name):
    poll(lambda: (server.directory / name).exists(), f"file {name}")


def release(server, name):
    (server.directory / name).unlink()


def notified(server, pattern, count=1):
    """Waits until `count` messages to systemd match."""

    def enough():
        server.notify.receive()
        return sum(bool(re.search(pattern, message, re.M)) for message in server.notify.messages) >= count

    try:
        poll(enough, pattern)
    except AssertionError:
        raise AssertionError(f"{pattern} not {count} times in {server.notify.messages}\n{server.log()}") from None


def exit_status(server):
    """Of a server that ends by itself; its messages are read meanwhile, as sd_notify_barrier(3) waits for that."""
    poll(lambda: not server.notify.receive() and server.process.poll() is not None, "the server to end")
    return server.process.returncode


def reload(server, count=2):
    """SIGHUP, and waits for the count-th READY=1."""
    server.signal(signal.SIGHUP)
    notified(server, "^READY=1", count)


def inodes_of(server, connection):
    """Of the server's end of a TCP connection: a set of one; empty when that is gone, and now and then when others come and
    go while they are listed."""
    ends = [f"0100007F:{port:04X}" for port in (server.port, connection.socket.getsockname()[1])]
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()]
    return {fields[9] for fields in lines if fields[1:3] == ends}


def in_background(function, *arguments):
    result = {}

    def run():
        try:
            result["value"] = function(*arguments)
        except BaseException as error:  # for the main thread to see
            result["value"] = error

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, result


def assert_that_parents_answer(server):
    """The application forks; a child of it that comes back ends, and its parent answers, once."""
    pids = server.pids()
    with server.connect() as connection:
        for _ in range(3):
            assert connection.request("GET", "/").body == b"parent"
    poll(lambda: server.log().count("left the application: it ends here") == 3, "three children that ended")
    poll(lambda: server.pids() == pids, "the processes that were there before")


def ignore_faults(server):
    """An abort was part of the test."""
    server.faults_reported = len(server.log())
