# SPDX-License-Identifier: MIT
"""The applications of call.c."""

import atexit
import gc
import io
import itertools
import sys
import tempfile
import time
import warnings
from wsgiref.validate import validator


def hello(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"Hello, world"]


exception = None


def raising(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    raise exception


def echo(environ, start_response):
    """Gives the GIL away in the middle of everything."""
    time.sleep(0)
    path, host, n = environ["PATH_INFO"], environ["HTTP_HOST"], environ["HTTP_X_N"]
    time.sleep(0)
    data = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "text/plain")])
    time.sleep(0)
    return [f"{path} {host} {n} ".encode(), data]


# --- the validator: its iterator complains on stderr if close() was not called

kind = None
warnings.simplefilter("error")


class _Stderr(io.StringIO):
    pass


_file = tempfile.TemporaryFile()
_file.write(b"contents")
atexit.register(_file.close)


def _plain(environ, start_response):
    write = start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
    environ["wsgi.errors"].flush()
    if kind == "list":
        return [b"a", b"b"]
    if kind == "generator":
        return (b for b in [b"a", b"", b"b"])
    if kind == "empty":
        return []
    if kind == "write":
        write(b"written")
        return [b"and returned"]
    if kind == "file":
        _file.seek(0)
        return environ["wsgi.file_wrapper"](open(_file.fileno(), "rb", closefd=False))
    if kind == "read":
        body = environ["wsgi.input"]
        return [body.read(2), body.readline(), *body.readlines(), body.read(-1), *body]
    return [b"one"]


def validated(environ, start_response):
    saved, sys.stderr = sys.stderr, _stderr
    try:
        return validator(_plain)(environ, start_response)
    finally:
        gc.collect()
        sys.stderr = saved


_stderr = _Stderr()


def complaints():
    return _stderr.getvalue()


# --- leaks

KINDS = ["one", "list", "generator", "iterator", "write", "file", "iterated file", "read", "keep", "error", "late error",
         "bad block", "bad header", "exc_info", "too long", "too short", "cycle", "close error", "no start"]
outcomes = set()
_counter = itertools.count()
_kept = []


def references():
    """Of all objects; only a debug build of CPython counts them."""
    return getattr(sys, "gettotalrefcount", int)()


class _Cycle:
    def __init__(self, environ):
        self.environ = environ
        environ["me"] = self

    def __iter__(self):
        return iter([b"cycle"])


class _CloseError(list):
    def close(self):
        raise ValueError("close")


def _late_error():
    yield b"begun"
    raise ValueError("late")


def mixture(environ, start_response):
    # 19 kinds and 5 heads have no common factor: each kind meets each head.
    kind = KINDS[next(_counter) % len(KINDS)]
    outcomes.add(kind)
    if kind == "no start":
        return [b"x"]
    if kind == "bad header":
        start_response("200 OK", [("A", "b\n")])
    headers = {"too long": [("Content-Length", "2")], "too short": [("Content-Length", "2000")]}.get(kind, [])
    write = start_response("200 OK", headers)
    if kind == "list":
        return [b"a", b"b" * 100]
    if kind == "generator":
        return (b for b in (b"a", b"", b"b"))
    if kind == "iterator":
        return iter([b"abc"])
    if kind == "write":
        write(b"written")
        return ()
    if kind == "file":
        _file.seek(0)
        return environ["wsgi.file_wrapper"](open(_file.fileno(), "rb", closefd=False))
    if kind == "iterated file":
        return environ["wsgi.file_wrapper"](io.BytesIO(b"x" * 20000))
    if kind == "read":
        print("read", len(environ["wsgi.input"].read(3)), end="", file=io.StringIO())
        return environ["wsgi.input"].readlines() or [b"none"]
    if kind == "keep":
        _kept[:] = [environ, start_response, write]
    if kind == "error":
        raise ValueError("error")
    if kind == "late error":
        return _late_error()
    if kind == "bad block":
        return [b"a", None]
    if kind == "exc_info":
        try:
            raise KeyError("x")
        except KeyError:
            start_response("500 No", [("B", "c")], sys.exc_info())
        return [b"x"]
    if kind == "too long":
        return (b for b in (b"abc", b"def"))
    if kind == "cycle":
        return _Cycle(environ)
    if kind == "close error":
        return _CloseError([b"x"])
    return [b"one"]
