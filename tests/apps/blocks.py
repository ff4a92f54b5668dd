# SPDX-License-Identifier: MIT
"""An application for load: answers of several kinds, cheap to make, all right."""
import os

DATA = bytes(range(256)) * 400


def late_error():
    yield DATA
    raise ValueError("on purpose")


def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/error":
        raise ValueError("on purpose")
    headers = [("Content-Type", "application/octet-stream")]
    if path == "/bad-header":
        headers.append(("X-Injected", "a\r\nSet-Cookie: b"))
    if path == "/short":
        headers.append(("Content-Length", "200000"))
    if path == "/file":
        start_response("200 OK", headers)
        return environ["wsgi.file_wrapper"](open(environ["QUERY_STRING"], "rb"))
    start_response("200 OK", headers)
    if path == "/upload":
        return [b"%d" % len(environ["wsgi.input"].read())]
    if path == "/stream":
        return (DATA[i : i + 1000] for i in range(0, 10000, 1000))
    if path == "/late-error":
        return late_error()
    if path in ("/large", "/short"):
        return [DATA]
    if path == "/pid":
        return [b"%d" % os.getpid()]
    return [b"Hello, world!\n"]
