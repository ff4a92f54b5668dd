# SPDX-License-Identifier: MIT
"""Reads wsgi.input in one way a request and compares with an io.BytesIO of the same octets. The first request of a body
reads it whole, each of the others tries the next way; "more" is answered until all ways were tried, then "same"."""

import io

SIZES = [(), (None,), (-1,), (-7,), (0,), (1,), (2,), (3,), (4,), (100,), (5000,), (10**6,), (True,), (2**62,)]
BAD = [("x",), (1.5,), (1, 2)]


def outcome(call):
    try:
        return call()
    except Exception as e:
        return type(e)


names = ["readline", "read", "read1", "readline", "readlines"]


def mixture(f):
    """Small steps across the ends of lines and of the body."""
    out = []
    for name in names:
        for size in SIZES[4:9] + BAD:
            out.append((name, size, outcome(lambda: getattr(f, name)(*size)), f.tell()))
    return out


def into(f):
    out = []
    for size in (0, 1, 6, 5000, 10**6):
        buffer = bytearray(size)
        out.append((outcome(lambda: f.readinto(buffer)), bytes(buffer), f.tell()))
    out.append(outcome(lambda: f.readinto(b"read-only")))
    return out


def iteration(f):
    return iter(f) is f, next(f, None), list(f), next(f, None), f.read()


def wrapped(f):
    with io.TextIOWrapper(io.BufferedReader(f, 7), "latin-1", newline="\n") as text:
        return [text.readline(), text.read(), f.tell()]


def closed(f):
    f.readline()
    before = f.closed
    f.close()
    f.close()
    calls = [f.read, f.readline, f.readlines, f.tell, f.readable, f.seekable, f.flush, lambda: next(f),
             lambda: f.readinto(bytearray(1))]
    return before, f.closed, iter(f) is f, [outcome(c) for c in calls]


def method(name, size):
    def way(f):
        first = f.readline()
        return first, outcome(lambda: getattr(f, name)(*size)), f.tell(), f.read(), f.read(), f.readline()
    return way


WAYS = [mixture, into, iteration, wrapped, closed, list, lambda f: [x for x in iter(f.readline, b"")]]
WAYS += [method(name, size) for name in ("read", "readline", "readlines") for size in SIZES + BAD]
WAYS += [method("read1", size) for size in SIZES + BAD]


def leave_out_read1():
    """It may give less where a body comes in pieces."""
    names.remove("read1")
    del WAYS[-len(SIZES + BAD) :]


data = None
tried = 0


def application(environ, start_response):
    global data, tried
    start_response("200 OK", [("Content-Type", "text/plain")])
    f = environ["wsgi.input"]
    if data is None:
        assert f.readable() and not f.seekable() and not f.writable() and f.flush() is None
        data, tried = f.read(), 0
        assert len(data) == int(environ.get("CONTENT_LENGTH", 0)), len(data)
        return [b"more"]
    got, expected = WAYS[tried](f), WAYS[tried](io.BytesIO(data))
    assert got == expected, (tried, *[(g, e) for g, e in zip(got, expected) if g != e])
    tried += 1
    if tried < len(WAYS):
        return [b"more"]
    data = None
    return [b"same"]
