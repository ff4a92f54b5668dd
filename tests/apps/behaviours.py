# SPDX-License-Identifier: MIT
"""A WSGI application of many small ones, right and wrong, chosen by the path: /stream?blocks=3 calls stream() with
{"blocks": "3"}. They say through close() counts (/closes) and wsgi.errors what became of them."""
import functools
import gzip
import io
import json
import os
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from urllib.parse import parse_qs

TEXT = [("Content-Type", "text/plain")]
closes = Counter()
calls = Counter()
kept = {}
lock = threading.Lock()


class Closing:
    """An iterable that counts its close() calls under a key, and in a file, for those that nobody can ask after."""

    def __init__(self, key, blocks, note=None):
        self.key = key
        self.iterator = iter(blocks)
        self.note = note

    def __iter__(self):
        return self

    def __next__(self):
        return next(self.iterator)

    def close(self):
        with lock:
            closes[self.key] += 1
        if self.note:
            with open(self.note, "a") as file:
                file.write("closed\n")


def app(environ, start_response):
    name = environ["PATH_INFO"].strip("/")
    arguments = {key: values[0] for key, values in parse_qs(environ["QUERY_STRING"]).items()}
    with lock:
        calls[name] += 1
    return HANDLERS[name](environ, start_response, **arguments)


HANDLERS = {}


def handler(function):
    HANDLERS[function.__name__] = function
    return function


def wait_for(path):
    """Blocks until the test has made that file."""
    deadline = time.monotonic() + 60
    while not os.path.exists(path):
        if time.monotonic() > deadline:
            raise TimeoutError(path)
        time.sleep(0.005)


# --- what happened ------


def answer_json(start_response, value):
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(value).encode()]


@handler
def state(environ, start_response):
    with lock:
        return answer_json(start_response, {"closes": closes, "calls": calls, "pid": os.getpid()})


@handler
def hello(environ, start_response, **arguments):
    start_response("200 OK", TEXT)
    return [b"Hello, world!\n"]


# --- bodies ------


@handler
def stream(environ, start_response, blocks="3", size="10", key="stream", length=None):
    """Blocks of one letter each, a, b, c …, by a generator."""
    headers = TEXT + ([("Content-Length", length)] if length else [])
    start_response("200 OK", headers)
    return Closing(key, (bytes([97 + i % 26]) * int(size) for i in range(int(blocks))))


@handler
def big(environ, start_response, size="20000000", key="big"):
    """One large block."""
    start_response("200 OK", TEXT)
    return Closing(key, [bytes(range(256)) * (int(size) // 256)])


@handler
def big_close(environ, start_response, size):
    """Blocks of 100,000 octets, and the application ends the connection."""
    start_response("200 OK", TEXT + [("Connection", "close")])
    return (b"x" * 100000 for _ in range(int(size) // 100000))


@handler
def stepwise(environ, start_response, path, key="stepwise", note=None):
    """The second block is computed when the test allows it."""
    start_response("200 OK", TEXT)

    def blocks():
        yield b"first"
        wait_for(path)
        yield b"second"

    return Closing(key, blocks(), note)


@handler
def bursts(environ, start_response, path, rounds, size, by):
    """Three blocks, after which the application waits for the test to say that it has them, by a file PATH.ROUND; and again.
    by: generator or write."""

    def blocks():
        for i in range(int(rounds)):
            for letter in b"abc":
                yield bytes([letter]) * int(size)
            wait_for(f"{path}.{i}")

    write = start_response("200 OK", TEXT)
    if by == "generator":
        return blocks()
    for block in blocks():
        write(block)
    return []


@handler
def stepwise_write(environ, start_response, path):
    write = start_response("200 OK", TEXT)
    write(b"first")
    wait_for(path)
    return [b"second"]


@handler
def waiting(environ, start_response, path, key="waiting", begun=None):
    """Answers when the test allows it. begun: a file that tells the test that it was called."""
    if begun:
        open(begun, "x").close()
    wait_for(path)
    start_response("200 OK", TEXT)
    return Closing(key, [b"done"])


@handler
def unread(environ, start_response):
    """Leaves the body alone."""
    start_response("200 OK", TEXT)
    return [b"unread"]


@handler
def partly_read(environ, start_response):
    start_response("200 OK", TEXT)
    return [environ["wsgi.input"].read(3)]


@handler
def status(environ, start_response, line, key="status", length=None, content="body that must not be seen"):
    start_response(line, TEXT + ([("Content-Length", length)] if length else []))
    return Closing(key, [content.encode()])


@handler
def iterable(environ, start_response, kind):
    class Sequence:
        def __getitem__(self, index):
            return [b"one,", b"two,", b"three"][index]

    class Iterator:
        def __init__(self):
            self.blocks = [b"three", b"two,", b"one,"]

        def __iter__(self):
            return self

        def __next__(self):
            if not self.blocks:
                raise StopIteration
            return self.blocks.pop()

    def generator():
        start_response("200 OK", TEXT)
        yield b"one,"
        yield b"two,"
        yield b"three"

    if kind == "late generator":
        return generator()
    start_response("200 OK", TEXT)
    return {
        "list": lambda: [b"one,", b"two,", b"three"],
        "tuple": lambda: (b"one,", b"two,", b"three"),
        "single": lambda: [b"one,two,three"],
        "empty list": lambda: [],
        "empty blocks": lambda: [b"", b"one,", b"", b"", b"two,", b"three", b""],
        "only empty blocks": lambda: [b"", b""],
        "getitem": Sequence,
        "iterator": Iterator,
        "map": lambda: map(str.encode, ["one,", "two,", "three"]),
        "dict": lambda: {b"one,": 1, b"two,": 2, b"three": 3},
        "bytesio": lambda: io.BytesIO(b"one,two,three"),
    }[kind]()


@handler
def headers(environ, start_response, count="3"):
    fields = [
        ("X-B", "2"),
        ("Set-Cookie", "a=1; Path=/"),
        ("X-A", "1"),
        ("Set-Cookie", "b=2; Path=/"),
        ("X-Latin", "caf\xe9"),
        ("X-B", "3"),
        ("X-Empty", ""),
    ]
    fields += [(f"X-Number-{i}", "v" * 100) for i in range(int(count))]
    start_response("200 OK", fields)
    return [b"headers"]


@handler
def own_date(environ, start_response):
    start_response("200 OK", TEXT + [("Date", "Sun, 06 Nov 1994 08:49:37 GMT"), ("Server", "mine")])
    return [b"dated"]


@handler
def own_close(environ, start_response):
    start_response("200 OK", TEXT + [("Connection", "close")])
    return [b"closing"]


# --- write() ------


@handler
def write(environ, start_response, length=None):
    put = start_response("200 OK", TEXT + ([("Content-Length", length)] if length else []))
    put(b"one,")
    put(b"")
    put(b"two,")
    return [b"three"]


@handler
def write_only(environ, start_response):
    start_response("200 OK", TEXT)(b"written")
    return []


@handler
def write_str(environ, start_response):
    start_response("200 OK", TEXT)("text")
    return []


# --- start_response ------


@handler
def replaced(environ, start_response):
    """exc_info before the headers are sent: another status, other headers."""
    start_response(
        "200 OK", [("X-First", "1"), ("Content-Length", "5"), ("Date", "Sun, 06 Nov 1994 08:49:37 GMT")]
    )
    try:
        raise ValueError("before")
    except ValueError:
        start_response("503 Replaced", [("X-Second", "2")], sys.exc_info())
    return [b"replaced body"]


@handler
def replaced_in_generator(environ, start_response):
    start_response("200 OK", [("X-First", "1")])
    yield b""
    try:
        raise ValueError("before")
    except ValueError:
        start_response("503 Replaced", [("X-Second", "2")], sys.exc_info())
    yield b"replaced body"


@handler
def replaced_too_late(environ, start_response, key="replaced_too_late"):
    start_response("200 OK", TEXT)

    def blocks():
        yield b"first"
        try:
            raise ValueError("the original error")
        except ValueError:
            start_response("500 Too Late", TEXT, sys.exc_info())
        yield b"never"

    return Closing(key, blocks())


@handler
def exc_info_none(environ, start_response):
    start_response("200 OK", TEXT, None)
    return [b"fine"]


@handler
def started_twice(environ, start_response):
    start_response("200 OK", TEXT)
    start_response("200 OK", TEXT)
    return [b"never"]


@handler
def not_started(environ, start_response, key="not_started"):
    return Closing(key, [b"never"])


@handler
def not_started_generator(environ, start_response):
    yield b"never"


@handler
def not_started_empty(environ, start_response):
    return []


@handler
def start_arguments(environ, start_response):
    start_response("200 OK")
    return [b"never"]


@handler
def stale(environ, start_response, step):
    """Uses what belonged to an earlier request."""
    if step == "keep":
        kept.update(
            environ=environ,
            write=start_response("200 OK", TEXT),
            start_response=start_response,
            input=environ["wsgi.input"],
        )
        return [b"kept"]
    try:
        if step == "write":
            kept["write"](b"stale octets")
        elif step == "start_response":
            kept["start_response"]("500 Stale", TEXT)
        elif step == "exc_info":
            try:
                raise ValueError("stale")
            except ValueError:
                kept["start_response"]("500 Stale", TEXT, sys.exc_info())
        elif step == "read":
            start_response("200 OK", TEXT)
            return [repr(kept["input"].read()).encode()]
        outcome = b"no error"
    except Exception as error:  # whatever it is, it must not touch this response
        outcome = type(error).__name__.encode()
    start_response("200 OK", TEXT)
    return [outcome]


# --- errors ------

EXCEPTIONS = {
    "ValueError": lambda: ValueError("a secret of the application"),
    "SystemExit": lambda: SystemExit(3),
    "KeyboardInterrupt": lambda: KeyboardInterrupt(),
    "GeneratorExit": lambda: GeneratorExit(),
    "RecursionError": lambda: recurse(),
    "MemoryError": lambda: MemoryError(),
    "StopIteration": lambda: StopIteration(),
    "UnicodeError": lambda: ValueError("\ud800 lone surrogate \x1b[31m caf\xe9"),
    "BadStr": lambda: BadStr(),
}


class BadStr(Exception):
    def __str__(self):
        raise RuntimeError("no text")


def recurse():
    return recurse()


@handler
def raises(environ, start_response, when, what="ValueError", key="raises", length=None):
    """when: before, started (start_response was called), empty (after an empty block), first (after a block), close."""
    if when == "before":
        raise EXCEPTIONS[what]()
    start_response("200 OK", TEXT + [("X-Lost", "1")] + ([("Content-Length", length)] if length else []))
    if when == "started":
        raise EXCEPTIONS[what]()

    class Blocks(Closing):
        def __init__(self):
            super().__init__(key, [b"" if when == "empty" else b"first", b"second"])
            self.n = 0

        def __next__(self):
            self.n += 1
            if self.n == 2 and when != "close":
                raise EXCEPTIONS[what]()
            return super().__next__()

        def close(self):
            super().close()
            if when == "close":
                raise EXCEPTIONS[what]()

    return Blocks()


# --- garbage ------


def started(value):
    """Calls start_response rightly and returns the value."""

    def inner(environ, start_response):
        start_response("200 OK", TEXT)
        return value() if callable(value) else value

    return inner


def head(status, fields):
    """Calls start_response with that."""

    def inner(environ, start_response):
        start_response(status, fields)
        return [b"never"]

    return inner


def generated(*blocks):
    return started(lambda: (block for block in blocks))


# Where the fault is known before any octet went out.
GARBAGE = {
    "none": started(None),
    "int": started(7),
    "str": started("text"),
    "bytes": started(b"text"),
    "object": started(object()),
    "list of str": started(["text"]),
    "list of None": started([None]),
    "list of int": started([7]),
    "list of list": started([[b"text"]]),
    "generator of str": generated("text"),
    "generator of None": generated(None),
    "empty then str": generated(b"", "text"),
    "iter fails": started(type("I", (), {"__iter__": lambda self: 1 / 0})),
    "next missing": started(type("I", (), {"__iter__": lambda self: 7})),
    "status int": head(200, []),
    "status bytes": head(b"200 OK", []),
    "status None": head(None, []),
    "status empty": head("", []),
    "status without reason": head("200", []),
    "status without space": head("200OK", []),
    "status of two digits": head("99 Low", []),
    "status of four digits": head("2000 High", []),
    "status of letters": head("abc def", []),
    "status with a sign": head("+20 OK", []),
    "status leading space": head(" 200 OK", []),
    "status LF": head("200 OK\nX-Injected: 1", []),
    "status CRLF": head("200 OK\r\nX-Injected: 1", []),
    "status CR": head("200 OK\rX-Injected: 1", []),
    "status NUL": head("200 O\0K", []),
    "status ESC": head("200 \x1b[1mOK", []),
    "status beyond latin-1": head("200 \u20ac", []),
    "status lone surrogate": head("200 \udc80", []),
    "status 100": head("100 Continue", []),
    "status 101": head("101 Switching Protocols", []),
    "headers None": head("200 OK", None),
    "headers int": head("200 OK", 7),
    "headers dict": head("200 OK", {"X-A": "1"}),
    "headers str": head("200 OK", "X-A: 1"),
    "header str": head("200 OK", ["X-A: 1"]),
    "header of two letters": head("200 OK", ["ab"]),
    "header None": head("200 OK", [None]),
    "header of one": head("200 OK", [("X-A",)]),
    "header of three": head("200 OK", [("X-A", "1", "2")]),
    "name bytes": head("200 OK", [(b"X-A", "1")]),
    "name None": head("200 OK", [(None, "1")]),
    "name empty": head("200 OK", [("", "1")]),
    "name with space": head("200 OK", [("X A", "1")]),
    "name with colon": head("200 OK", [("X-A:", "1")]),
    "name LF": head("200 OK", [("X-A\nX-Injected", "1")]),
    "name CRLF": head("200 OK", [("X-A\r\nX-Injected", "1")]),
    "name NUL": head("200 OK", [("X-\0A", "1")]),
    "name beyond ASCII": head("200 OK", [("X-\xe9", "1")]),
    "name beyond latin-1": head("200 OK", [("X-\u20ac", "1")]),
    "value int": head("200 OK", [("X-A", 7)]),
    "value None": head("200 OK", [("X-A", None)]),
    "value bytes": head("200 OK", [("X-A", b"1")]),
    "value LF": head("200 OK", [("X-A", "1\nX-Injected: 1")]),
    "value CRLF": head("200 OK", [("X-A", "1\r\nX-Injected: 1")]),
    "value CR": head("200 OK", [("X-A", "1\rX-Injected: 1")]),
    "value NUL": head("200 OK", [("X-A", "1\0")]),
    "value ESC": head("200 OK", [("X-A", "\x1b[1m")]),
    "value DEL": head("200 OK", [("X-A", "\x7f")]),
    "value beyond latin-1": head("200 OK", [("X-A", "\u20ac")]),
    "value lone surrogate": head("200 OK", [("X-A", "\udc80")]),
    "transfer-encoding": head("200 OK", [("Transfer-Encoding", "chunked")]),
    "transfer-encoding folded case": head("200 OK", [("tRANSFER-eNCODING", "identity")]),
    "keep-alive": head("200 OK", [("Keep-Alive", "timeout=5")]),
    "upgrade": head("200 OK", [("Upgrade", "websocket")]),
    "te": head("200 OK", [("TE", "trailers")]),
    "content-length letters": head("200 OK", [("Content-Length", "abc")]),
    "content-length negative": head("200 OK", [("Content-Length", "-1")]),
    "content-length sign": head("200 OK", [("Content-Length", "+5")]),
    "content-length empty": head("200 OK", [("Content-Length", "")]),
    "content-length list": head("200 OK", [("Content-Length", "5, 5")]),
    "content-length twice": head("200 OK", [("Content-Length", "5"), ("Content-Length", "6")]),
    "content-length overflow": head("200 OK", [("Content-Length", "9" * 30)]),
}

# Where a block went out before the fault.
LATE_GARBAGE = {
    "str": generated(b"first", "second"),
    "None": generated(b"first", None),
    "int": generated(b"first", 7),
    "list": generated(b"first", [b"second"]),
}


@handler
def garbage(environ, start_response, kind):
    return GARBAGE[kind](environ, start_response)


@handler
def late_garbage(environ, start_response, kind):
    return LATE_GARBAGE[kind](environ, start_response)


# --- wsgi.input, wsgi.errors ------


def call(stream, operation, argument):
    if operation == "next":
        return next(stream, b"")
    method = getattr(stream, operation)
    return method() if argument is None else method(argument)


@handler
def input_operations(environ, start_response, seed, length):
    """A random walk of reads over wsgi.input and over a BytesIO of the same octets: answers where they differ."""
    generator = random.Random(int(seed))
    model = io.BytesIO(pattern(int(length)))
    differences = []
    for _ in range(60):
        operation = generator.choice(["read", "read", "readline", "readline", "readlines", "next"])
        argument = generator.choice(
            [0, 1, 2, 7, 64, 1000, 5000] + ([None] if operation != "read" else [1, 3])
        )
        if operation in ("readline", "readlines") and generator.random() < 0.3:
            argument = generator.choice([None, -1, 0])
        if operation == "next":
            argument = None
        expected = call(model, operation, argument)
        got = call(environ["wsgi.input"], operation, argument)
        if expected != got:
            differences.append(f"{operation}({argument}): {got!r:.80} instead of {expected!r:.80}")
            break
    for argument in (None, -1, 10, 0):
        expected, got = call(model, "read", argument), call(environ["wsgi.input"], "read", argument)
        if expected != got:
            differences.append(f"final read({argument}): {len(got)} instead of {len(expected)}")
    return answer_json(start_response, differences)


def pattern(length):
    """Octets in lines of many lengths, with all octets among them."""
    generator = random.Random(length)
    data = bytearray()
    while len(data) < length:
        data += generator.randbytes(generator.choice([0, 1, 5, 80, 300])).replace(b"\n", b"") + b"\n"
    return bytes(data[:length])


@handler
def input_iterate(environ, start_response):
    return answer_json(start_response, [line.decode("latin-1") for line in environ["wsgi.input"]])


@handler
def input_bad_arguments(environ, start_response):
    """Each must raise TypeError and leave the body as it was."""
    outcomes = []
    for name, arguments in [
        ("read", ("x",)),
        ("read", (1, 2)),
        ("readline", (b"",)),
        ("readlines", ({},)),
        ("read", (1.5,)),
    ]:
        try:
            getattr(environ["wsgi.input"], name)(*arguments)
            outcomes.append("no error")
        except Exception as error:
            outcomes.append(type(error).__name__)
    outcomes.append(environ["wsgi.input"].read().decode())
    return answer_json(start_response, outcomes)


@handler
def errors(environ, start_response, mark):
    stream = environ["wsgi.errors"]
    stream.write(f"{mark} caf\xe9 \u20ac\n")
    stream.writelines([f"{mark} one\n", f"{mark} two\n"])
    print(mark, "printed", file=stream)
    stream.flush()
    thread = threading.Thread(target=lambda: print(mark, "from a thread", file=stream, flush=True))
    thread.start()
    thread.join()
    print(mark, "on stdout")
    print(mark, "on stderr", file=sys.stderr)
    try:
        stream.write(b"bytes")
        outcome = "no error"
    except TypeError:
        outcome = "TypeError"
    return answer_json(start_response, outcome)


# --- wsgi.file_wrapper ------


class ReadOnly:
    """The least that PEP 3333 asks of a file-like object."""

    def __init__(self, data):
        self.inner = io.BytesIO(data)

    def read(self, size):
        return self.inner.read(size)


class Upper(io.BufferedReader):
    """A file whose descriptor does not hold what read() gives."""

    def read(self, size=-1):
        return super().read(size).upper()


def piped(data):
    reading, writing = os.pipe()
    os.write(writing, data)
    os.close(writing)
    return os.fdopen(reading, "rb")


def spooled(data):
    result = tempfile.SpooledTemporaryFile()
    result.write(data)
    result.seek(0)
    return result


def temporary(data):
    result = tempfile.NamedTemporaryFile()
    result.write(data)
    result.seek(0)
    return result


def open_as(kind, path):
    with open(path, "rb") as file:
        data = file.read(60000)
    return {
        "file": lambda: open(path, "rb"),
        "unbuffered": lambda: open(path, "rb", buffering=0),
        "updated": lambda: open(path, "r+b"),
        "bytesio": lambda: io.BytesIO(data),
        "readonly": lambda: ReadOnly(data),
        "upper": lambda: Upper(io.FileIO(path)),
        "pipe": lambda: piped(data),
        "gzip": lambda: gzip.open(path, "rb"),
        "temporary": lambda: temporary(data),
        "spooled": lambda: spooled(data),
    }[kind]()


def counting(close, key):
    def inner():
        with lock:
            closes[key] += 1
        close()

    return inner


@handler
def file(
    environ,
    start_response,
    path,
    kind="file",
    seek="0",
    read="0",
    length=None,
    key="file",
    use="return",
    block=None,
):
    """use: return the wrapper, iterate over it here, wrap it in a generator."""
    opened = open_as(kind, path)
    if int(seek):
        opened.seek(int(seek))
    if int(read):
        opened.read(int(read))
    if hasattr(opened, "close"):
        opened.close = counting(opened.close, key)
    wrapper = environ["wsgi.file_wrapper"](opened, *([int(block)] if block else []))
    start_response("200 OK", TEXT + ([("Content-Length", length)] if length else []))
    if use == "iterate":
        data = [block for block in wrapper]
        getattr(wrapper, "close", lambda: None)()
        return data
    if use == "generator":
        return Closing(key + " generator", (block for block in wrapper))
    return wrapper


@handler
def device(environ, start_response, path, length):
    start_response("200 OK", TEXT + [("Content-Length", length)])
    return environ["wsgi.file_wrapper"](open(path, "rb"))


@handler
def bad_file(environ, start_response, kind, path):
    """What is no file for wsgi.file_wrapper."""
    start_response("200 OK", TEXT)
    if kind == "closed":
        opened = open(path, "rb")
        opened.close()
    else:
        opened = {"none": None, "int": 7, "text": io.StringIO("text"), "text file": open(path)}[kind]
    return environ["wsgi.file_wrapper"](opened)


@handler
def file_is_closed(environ, start_response, path):
    """Sends a file; asked again, says whether that was closed."""
    if "file" not in kept:
        kept["file"] = open(path, "rb")
        start_response("200 OK", TEXT)
        return environ["wsgi.file_wrapper"](kept["file"])
    return answer_json(start_response, kept.pop("file").closed)


# --- files by their names, early hints ------


def own_body(key):
    with lock:
        calls[f"body of {key}"] += 1
    yield b"own"


@handler
def hand_off(environ, start_response, status="200 OK", key="hand_off", use="return", fields="{}"):
    """Names a file in its fields; its own body says when it is asked for."""
    headers = list(json.loads(fields).items())
    if use == "lazily":
        return lazily(start_response, status, headers)
    write = start_response(status, headers)
    if use == "write":
        write(b"own")
    return Closing(key, own_body(key))


def lazily(start_response, status, headers):
    start_response(status, headers)
    yield b""
    yield from own_body("lazily")


@handler
def hints(environ, start_response, headers="[]", times="1", path=None, then="hello", **arguments):
    """Sends early hints, waits for the test's file, goes on as another handler."""
    headers = [tuple(pair) for pair in json.loads(headers)]
    for _ in range(int(times)):
        environ["wsgi.early_hints"](headers)
    with lock:
        calls[f"{then} after {times} hints"] += 1
    if path is not None:
        wait_for(path)
    return HANDLERS[then](environ, start_response, **arguments)


# --- threads ------


@functools.lru_cache
def barrier(n):
    return threading.Barrier(n, timeout=60)


@handler
def meet(environ, start_response, n):
    """Answers when n requests are in here at one time."""
    barrier(int(n)).wait()
    start_response("200 OK", TEXT)
    return [b"met"]
