# SPDX-License-Identifier: MIT
"""The smallest applications: what is measured with them is the server."""
import os

HELLO = b"x" * 13
JSON = b'{"name": "' + b"x" * 1012 + b'"}'
BIG = b"x" * 102400


def headers(body, content_type="text/plain"):
    return [("Content-Type", content_type), ("Content-Length", str(len(body)))]


HELLO_HEADERS, JSON_HEADERS, BIG_HEADERS = headers(HELLO), headers(JSON, "application/json"), headers(BIG)


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


def upload(environ, start_response):
    answer = b"%d" % len(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
    start_response("200 OK", headers(answer))
    return [answer]


def mark(environ, start_response):
    """What tests/bench/instructions sees go by."""
    os.getpriority(os.PRIO_PROCESS, 0)
    start_response("200 OK", HELLO_HEADERS)
    return [HELLO]


OTHERS = {"/json": json, "/big": big, "/upload": upload, "/mark": mark}
