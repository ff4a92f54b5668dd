# SPDX-License-Identifier: MIT
"""What the servers are asked for, and what a right answer is."""
import socket
from dataclasses import dataclass, field

UPLOAD = 1000000
FILE = 10485760
PIPELINE = 16
EVENTS = 100

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


class Failure(Exception):
    """The server does not do what the workload needs; the text says what."""


@dataclass
class Workload:
    """client: wrk, drain (for large answers) or events. own: which of limit and floor do it. expected: the body, or its
    size. threads: of the application. servers: who alone does it; none: all but special ones. connections: 0: as many as
    in the rest of the run. seconds_min: of one run of the client, where the beginning counts in a shorter one."""

    name: str
    title: str
    own: tuple
    expected: bytes | int
    app: str = "plain"
    path: str = "/"
    client: str = "wrk"
    upload: int = 0
    pipeline: int = 1
    close: bool = False
    headers: list = field(default_factory=list)
    threads: int = 1
    servers: tuple = ()
    connections: int = 0
    seconds_min: int = 1


LIMIT = ("limit", "limit-batch")
ALL = LIMIT + ("floor",)
GEVENT = ("cgunicorn-gevent", "gunicorn-new-gevent")
HELLO = b"x" * 13
WORKLOADS = [
    Workload("hello", "13 octets", ALL, HELLO),
    Workload("close", "13 octets, Connection: close", ALL, HELLO, close=True),
    Workload("json", "1 KiB, 10 request fields", ALL, 1024, path="/json", headers=BROWSER),
    Workload("big", "100 KiB", LIMIT, 102400, path="/big", client="drain"),
    Workload("echo", "POST of 1 KiB, sent back", LIMIT, b"x" * 1024, path="/echo", upload=1024),
    Workload("upload", "POST of 1 MB", LIMIT, b"%d" % UPLOAD, path="/upload", upload=UPLOAD),
    Workload("gen", "generator, 100 × 1 KiB", LIMIT, b"x" * 102400, path="/gen"),
    Workload("file", "wsgi.file_wrapper, 10 MiB", LIMIT, FILE, path="/file", client="drain"),
    Workload("pipeline", f"13 octets, {PIPELINE} requests at once", ALL, HELLO, pipeline=PIPELINE),
    Workload("events", "an event each 5 ms", (), 0, path="/events", client="events"),
    Workload("sleep", "5 ms of sleep, 16 threads, 64 connections", (), HELLO, path="/sleep", threads=16, connections=64,
             seconds_min=3),
    Workload("gevent", "13 octets, by gevent", (), HELLO, servers=GEVENT, connections=64),
    Workload("gevent64", "5 ms of sleep by gevent, 64 connections", (), HELLO, path="/sleep", servers=GEVENT,
             connections=64),
    Workload("gevent512", "5 ms of sleep by gevent, 512 connections", (), HELLO, path="/sleep", servers=GEVENT,
             connections=512),
    Workload("flask", "Flask", ("floor",), b"Hello from Flask", app="flask_app"),
    Workload("django", "Django without middleware, and so without Content-Length", ("floor",), b"Hello from Django",
             app="django_app"),
    Workload("django-common", "Django with its security and common middleware", ("floor",), b"Hello from Django",
             app="django_common_app"),
]
BY_NAME = {workload.name: workload for workload in WORKLOADS}


def request_octets(workload, port):
    method = "POST" if workload.upload else "GET"
    lines = [f"{method} {workload.path} HTTP/1.1", f"Host: 127.0.0.1:{port}", *workload.headers]
    lines += [f"Content-Length: {workload.upload}"] if workload.upload else []
    lines += ["Connection: close"] if workload.close else []
    return ("\r\n".join(lines + ["", ""])).encode() + b"x" * workload.upload


def verify(running, workload):
    """Raises Failure unless the answer is the right one."""
    if workload.client == "events":
        return
    try:
        status, answer = running.request("POST" if workload.upload else "GET", workload.path, b"x" * workload.upload or None,
                                         dict(line.split(": ", 1) for line in workload.headers))
    except OSError as error:
        raise Failure(f"no answer: {error}") from error
    expected = len(HELLO) if running.server.is_own() and workload.upload == UPLOAD else workload.expected
    right = len(answer) == expected if isinstance(expected, int) else answer == expected
    if status != 200 or not right:
        raise Failure(f"wrong answer: {status}, {len(answer)} octets")
    if workload.close or workload.pipeline > 1:
        verify_connection(running.port, workload)


def verify_connection(port, workload):
    """That the connection is closed after the answer; that as many answers come as requests were sent at once."""
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=3) as s:
        s.sendall(request_octets(workload, port) * workload.pipeline)
        try:
            while (workload.close or received.count(b"HTTP/1.1 200") < workload.pipeline) and (data := s.recv(65536)):
                received += data
        except OSError as error:
            raise Failure("ignores Connection: close" if workload.close else "does not answer pipelined requests") from error
    if received.count(b"HTTP/1.1 200") != workload.pipeline:
        raise Failure("does not answer each of the pipelined requests")
