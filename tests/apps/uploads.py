# SPDX-License-Identifier: MIT
"""A WSGI application that reads request bodies while they come, in the way that the path names."""
import hashlib
import json
import os
import threading
import time
from collections import Counter
from urllib.parse import parse_qs

progress = Counter()  # octets read, by key


def answer(start_response, value, *headers):
    start_response("200 OK", [("Content-Type", "application/json"), *headers])
    return [json.dumps(value).encode()]


def blocks_of(stream, size, key=None):
    while block := stream.read(size):
        progress[key] += len(block)
        yield block


def digest(blocks):
    length, sha256 = 0, hashlib.sha256()
    for block in blocks:
        length += len(block)
        sha256.update(block)
    return {"length": length, "sha256": sha256.hexdigest()}


def state(environ, start_response):
    return answer(start_response, {"progress": progress, "pid": os.getpid()})


def count(environ, start_response, size="65536", key="count"):
    progress[key] += 0
    said = {name: environ.get(name) for name in ("CONTENT_LENGTH", "HTTP_TRANSFER_ENCODING", "wsgi.input_terminated")}
    return answer(start_response, {**said, **digest(blocks_of(environ["wsgi.input"], int(size), key))})


def read(environ, start_response, **arguments):
    return answer(start_response, digest([environ["wsgi.input"].read()]))


def by_lines(environ, start_response):
    return answer(start_response, digest(environ["wsgi.input"]))


def by_thread(environ, start_response):
    """As libraries do that send an upload on."""
    result = {}
    thread = threading.Thread(target=lambda: result.update(digest(blocks_of(environ["wsgi.input"], 1000))))
    thread.start()
    thread.join()
    return answer(start_response, result)


def pieces(environ, start_response):
    """Answers each piece as it comes, with its length."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    while piece := environ["wsgi.input"].read1(100):
        yield b"%d\n" % len(piece)


def echo(environ, start_response, size="65536"):
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    return blocks_of(environ["wsgi.input"], int(size))


def unread(environ, start_response, key="unread"):
    progress[key] += 1
    start_response("403 Forbidden", [("Content-Type", "text/plain")])
    return [b"unread"]


def partly(environ, start_response, size):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ["wsgi.input"].read(int(size))]


def late(environ, start_response):
    """Answers first and reads then."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"first,"
    yield environ["wsgi.input"].read()


def raises(environ, start_response):
    raise ValueError("on purpose")


def caught(environ, start_response):
    """What reads raise, again and again."""
    seen = []
    for _ in range(3):
        try:
            environ["wsgi.input"].read()
        except OSError as error:
            seen.append([type(error).__name__, error.strerror])
    return answer(start_response, seen)


def hang(environ, start_response):
    environ["wsgi.input"].read()
    time.sleep(3600)


def app(environ, start_response):
    arguments = {key: values[0] for key, values in parse_qs(environ["QUERY_STRING"]).items()}
    return globals()[environ["PATH_INFO"].strip("/")](environ, start_response, **arguments)
