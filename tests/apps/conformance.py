# SPDX-License-Identifier: MIT
"""The application behind tests/http: it answers with what it was given, as JSON, and below /answer/ as ANSWERS says.
It runs on other servers too."""
import json

TEXT = ("Content-Type", "text/plain")


def raising(*blocks):
    yield from blocks
    raise RuntimeError("the application fails, as it should")


# path: (status, headers, blocks)
ANSWERS = {
    "one-block": lambda: ("200 OK", [TEXT], [b"one block"]),
    "stream": lambda: ("200 OK", [TEXT], (block for block in (b"one ", b"", b"two ", b"three"))),
    "length": lambda: ("200 OK", [TEXT, ("Content-Length", "5")], [b"hello"]),
    "none": lambda: ("200 OK", [TEXT], []),
    "204": lambda: ("204 No Content", [], [b"not to be seen"]),
    "304": lambda: ("304 Not Modified", [("ETag", '"1"')], [b"not to be seen"]),
    "404": lambda: ("404 Not Found", [TEXT], [b"not found"]),
    "date": lambda: ("200 OK", [TEXT, ("Date", "Sun, 06 Nov 1994 08:49:37 GMT")], [b"dated"]),
    "close": lambda: ("200 OK", [TEXT, ("Connection", "close")], [b"closed"]),
    "unread": lambda: ("200 OK", [TEXT], [b"unread"]),
    "too-long": lambda: ("200 OK", [TEXT, ("Content-Length", "5")], [b"hello", b" world"]),
    "too-short": lambda: ("200 OK", [TEXT, ("Content-Length", "11")], [b"hello"]),
    "raises-late": lambda: ("200 OK", [TEXT], raising(b"hello")),
    "transfer-encoding": lambda: ("200 OK", [TEXT, ("Transfer-Encoding", "chunked")], [b"5\r\nhello\r\n0\r\n\r\n"]),
    "two-lengths": lambda: ("200 OK", [TEXT, ("Content-Length", "5"), ("Content-Length", "6")], [b"hello"]),
    "bad-length": lambda: ("200 OK", [TEXT, ("Content-Length", "five")], [b"hello"]),
    "hop-by-hop": lambda: ("200 OK", [TEXT, ("Upgrade", "h2c")], [b"hello"]),
    "interim": lambda: ("103 Early Hints", [TEXT], [b"hello"]),
    "lf-in-value": lambda: ("200 OK", [TEXT, ("X-A", "1\nX-Injected: 2")], [b"hello"]),
    "crlf-in-value": lambda: ("200 OK", [TEXT, ("X-A", "1\r\nX-Injected: 2")], [b"hello"]),
    "cr-in-value": lambda: ("200 OK", [TEXT, ("X-A", "1\rX-Injected: 2")], [b"hello"]),
    "nul-in-value": lambda: ("200 OK", [TEXT, ("X-A", "1\x002")], [b"hello"]),
    "crlf-in-name": lambda: ("200 OK", [TEXT, ("X-A: 1\r\nX-Injected", "2")], [b"hello"]),
    "space-in-name": lambda: ("200 OK", [TEXT, ("X A", "2")], [b"hello"]),
    "crlf-in-status": lambda: ("200 OK\r\nX-Injected: 2", [TEXT], [b"hello"]),
}


def raises(environ, start_response):
    raise RuntimeError("the application fails, as it should")


def app(environ, start_response):
    path = environ.get("PATH_INFO", "")
    if path == "/answer/raises":
        return raises(environ, start_response)
    if path.startswith("/answer/"):
        status, headers, blocks = ANSWERS[path.removeprefix("/answer/")]()
        start_response(status, headers)
        return blocks
    body = environ["wsgi.input"].read()
    answer = {
        "environ": {key: value for key, value in environ.items() if isinstance(value, str)},
        "body": body.decode("latin-1"),
    }
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(answer).encode()]


application = app  # the name that mod_wsgi looks for
