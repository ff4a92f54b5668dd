# SPDX-License-Identifier: MIT
"""The application of the fault campaign: /echo for its load (tests/e2e/load.py), /fault/NAME for what goes wrong. Which
process began which request stands in files of $STATE_DIRECTORY that are shared memory, so that neither a sudden death
nor a lack of descriptors makes it forget any."""
import array
import atexit
import contextlib
import ctypes
import itertools
import mmap
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path

VERSION = "one"
BEGUN_MAX = 1 << 20
DIRECTORY = Path(os.environ.get("STATE_DIRECTORY", "."))
TEXT = [("Content-Type", "text/plain")]


# --- what was begun ---


class Record:
    """The numbers that this process began."""

    def __init__(self):
        self.pid = None
        self.lock = threading.Lock()

    def note(self, number):
        with self.lock:
            if self.pid != os.getpid():
                self.open()
            self.numbers[next(self.indices)] = number

    def open(self):
        with open(DIRECTORY / f"begun.{os.getpid()}", "w+b") as file:
            file.truncate(8 * BEGUN_MAX)
            self.numbers = memoryview(mmap.mmap(file.fileno(), 0)).cast("Q")
        self.indices = itertools.count()
        self.pid = os.getpid()


record = Record()


def read_begun(directory):
    """{number: [process that began it, …]}, for whoever watches."""
    begun = {}
    for path in Path(directory).glob("begun.*"):
        numbers = array.array("Q")
        with path.open("rb") as file:
            while (block := file.read(1 << 16)) and any(block):
                numbers.frombytes(block)
        for number in numbers:
            if number:
                begun.setdefault(number, []).append(int(path.suffix[1:]))
    return begun


def payload(number):
    """A text that no other number has, of up to 1 KB, of 40 KB now and then."""
    word = b"%016x" % (number * 0x9E3779B97F4A7C15 % (1 << 64))
    return word * (2500 if number % 50 == 0 else number % 64 + 1)


# --- what goes wrong: each may return the body of an answer, or an iterable ---


def make_gate(directory=DIRECTORY):
    gate = directory / f"gate.{os.getpid()}"
    gate.touch()
    return gate


def wait_for_gate(gate):
    while gate.exists():
        time.sleep(0.005)


def hold():
    """Until the test removes the file."""
    wait_for_gate(make_gate())


def hold_in_response():
    yield b"begun "
    hold()
    yield b"ended"


def deadlock():
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()


def loop():
    while True:
        pass


def leave_a_child():
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            (DIRECTORY / "daemon.new").write_text(str(os.getpid()))
            (DIRECTORY / "daemon.new").rename(DIRECTORY / "daemon")
            signal.pause()
        os._exit(0)
    os.wait()


def leave_a_thread():
    threading.Thread(target=threading.Event().wait).start()


def allocate():
    memory = bytearray(1 << 30)
    memory[:: mmap.PAGESIZE] = b"x" * len(memory[:: mmap.PAGESIZE])


def own_descriptors(kind):
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            if kind in os.readlink(f"/proc/self/fd/{name}") and int(name) > 2:
                found.append(int(name))
        except OSError:  # that of listdir() itself
            pass
    return found


def close_descriptors(kind):
    for fd in own_descriptors(kind):
        os.close(fd)


def is_listening(fd):
    with socket.socket(fileno=os.dup(fd)) as s:
        return bool(s.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


def is_channel(fd):
    with socket.socket(fileno=os.dup(fd)) as s:
        return s.family == socket.AF_UNIX and s.type == socket.SOCK_SEQPACKET


def close_sockets(chosen):
    for fd in own_descriptors("socket:"):
        if chosen(fd):
            os.close(fd)


taken = []


def exhaust_descriptors():
    """Until the test removes the file."""
    gate = make_gate()
    with contextlib.suppress(OSError):
        while True:
            taken.append(os.open("/dev/null", os.O_RDONLY))
    threading.Thread(target=release_descriptors, args=(gate,), daemon=True).start()


def release_descriptors(gate):
    wait_for_gate(gate)
    while taken:
        os.close(taken.pop())


class RaisesInClose:
    def __iter__(self):
        return iter([b"whole"])

    def close(self):
        raise RuntimeError("close() " + "failed")


def raise_at_exit():
    atexit.register(lambda: 1 / 0)


FAULTS = {
    "sigkill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "sigsegv": lambda: ctypes.string_at(0),
    "_exit": lambda: os._exit(3),
    "abort": os.abort,
    "sys.exit": lambda: sys.exit(3),
    "loop": loop,
    "gil": lambda: max(iter(int, 1)),
    "deadlock": deadlock,
    "hold": hold,
    "response": hold_in_response,
    "daemon": leave_a_child,
    "fork": lambda: os.fork() and None,
    "thread": leave_a_thread,
    "allocate": allocate,
    "close-all": lambda: os.closerange(3, 65536),
    "close-epoll": lambda: close_descriptors("[eventpoll]"),
    "close-events": lambda: close_descriptors("[eventfd]"),
    "close-listeners": lambda: close_sockets(is_listening),
    "close-channel": lambda: close_sockets(is_channel),
    "close-clients": lambda: close_sockets(lambda fd: not is_listening(fd) and not is_channel(fd)),
    "exhaust": exhaust_descriptors,
    "close()": RaisesInClose,
    "atexit": raise_at_exit,
}


# --- the application ---


def echo(environ):
    number = int(environ["QUERY_STRING"])
    record.note(number)
    data = environ["wsgi.input"].read() if environ["REQUEST_METHOD"] == "POST" else payload(number)
    return b"%d %d\n" % (number, os.getpid()) + data


def app(environ, start_response):
    kind, _, name = environ["PATH_INFO"][1:].partition("/")
    if kind == "echo":
        body = echo(environ)
    elif kind == "fault":
        note = DIRECTORY / f"faulted.{environ['QUERY_STRING']}"
        note.with_suffix(".new").write_text(str(os.getpid()))
        note.with_suffix(".new").rename(note)
        body = FAULTS[name]() or b"survived"
    else:
        body = VERSION.encode()
    if not isinstance(body, bytes):
        start_response("200 OK", TEXT)
        return body
    start_response("200 OK", [*TEXT, ("Content-Length", str(len(body)))])
    return [body]
