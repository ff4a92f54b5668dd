# SPDX-License-Identifier: MIT
"""The smallest applications: what is measured with them is the server."""
import os
import time
from functools import partial

HELLO = b"x" * 13
JSON = b'{"name": "' + b"x" * 1012 + b'"}'
BIG = b"x" * 102400
MEGABYTE = b"x" * 1000000
CHUNK = b"x" * 1024
FILE = os.environ.get("BENCH_FILE", "")


def headers(body, content_type="text/plain"):
    return [("Content-Type", content_type), ("Content-Length", str(len(body)))]


HELLO_HEADERS, JSON_HEADERS, BIG_HEADERS = headers(HELLO), headers(JSON, "application/json"), headers(BIG)
MEGABYTE_HEADERS = headers(MEGABYTE)
CHUNK_HEADERS = [("Content-Type", "text/plain")]
EVENTS_HEADERS = [("Content-Type", "text/event-stream")]


def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/":
        start_response("200 OK", HELLO_HEADERS)
        return [HELLO]
    return OTHERS[path](environ, start_response)


def json(environ, start_response):
    start_response("200 OK", JSON_HEADERS)
    return [JSON]


def big(environ, start_response):
    start_response("200 OK", BIG_HEADERS)
    return [BIG]


def echo(environ, start_response):
    body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
    start_response("200 OK", headers(body))
    return [body]


def upload(environ, start_response):
    answer = b"%d" % len(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
    start_response("200 OK", headers(answer))
    return [answer]


def gen(environ, start_response):
    start_response("200 OK", CHUNK_HEADERS)
    return chunks()


def chunks():
    for _ in range(100):
        yield CHUNK


def file(environ, start_response):
    """As frameworks do it: the server's way if it has one."""
    stream = open(FILE, "rb")
    length = os.fstat(stream.fileno()).st_size
    start_response("200 OK", [("Content-Type", "application/octet-stream"), ("Content-Length", str(length))])
    if "wsgi.file_wrapper" in environ:
        return environ["wsgi.file_wrapper"](stream, 65536)
    return iter(partial(stream.read, 65536), b"")


def sleep(environ, start_response):
    time.sleep(0.005)
    start_response("200 OK", HELLO_HEADERS)
    return [HELLO]


def slow(environ, start_response):
    time.sleep(0.2)
    start_response("200 OK", HELLO_HEADERS)
    return [HELLO]


def busy(environ, start_response):
    end = time.thread_time() + 0.005
    while time.thread_time() < end:
        pass
    start_response("200 OK", HELLO_HEADERS)
    return [HELLO]


def megabyte(environ, start_response):
    start_response("200 OK", MEGABYTE_HEADERS)
    return [MEGABYTE]


def events(environ, start_response):
    start_response("200 OK", EVENTS_HEADERS)
    return ticks()


def ticks():
    """Each event says when it was made."""
    for _ in range(100):
        yield b"data: %d\n\n" % time.monotonic_ns()
        time.sleep(0.005)


def mark(environ, start_response):
    """What tests/bench/instructions sees go by."""
    os.getpriority(os.PRIO_PROCESS, 0)
    start_response("200 OK", HELLO_HEADERS)
    return [HELLO]


OTHERS = {
    "/json": json, "/big": big, "/echo": echo, "/upload": upload, "/gen": gen, "/file": file, "/sleep": sleep,
    "/events": events, "/mark": mark, "/slow": slow, "/busy": busy, "/megabyte": megabyte,
}
