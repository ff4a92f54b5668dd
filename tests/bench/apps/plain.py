# SPDX-License-Identifier: MIT
"""The smallest applications: what is measured with them is the server."""
HELLO = b"x" * 13
BIG = b"x" * 102400
HELLO_HEADERS = [("Content-Type", "text/plain"), ("Content-Length", str(len(HELLO)))]
BIG_HEADERS = [("Content-Type", "text/plain"), ("Content-Length", str(len(BIG)))]


def app(environ, start_response):
    if environ["REQUEST_METHOD"] == "POST":
        answer = b"%d" % len(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(answer)))])
        return [answer]
    if environ["PATH_INFO"] == "/big":
        start_response("200 OK", BIG_HEADERS)
        return [BIG]
    start_response("200 OK", HELLO_HEADERS)
    return [HELLO]
