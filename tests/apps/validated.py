# SPDX-License-Identifier: MIT
"""An application under wsgiref.validate, which checks the server's half of PEP 3333 too."""
from wsgiref.validate import validator


def plain(environ, start_response):
    stream = environ["wsgi.input"]
    how = environ["QUERY_STRING"]
    if how == "lines":
        body = b"".join(stream)
    elif how == "readline":
        body = b"".join(iter(stream.readline, b""))
    elif how == "readlines":
        body = b"".join(stream.readlines())
    else:
        body = b"".join(iter(lambda: stream.read(7), b""))
    environ["wsgi.errors"].write("validated\n")
    environ["wsgi.errors"].flush()
    write = start_response("200 OK", [("Content-Type", "application/octet-stream")])
    if how == "write":
        write(b"written:")
    if how == "generator":
        return (bytes([octet]) for octet in body)
    return [body]


app = validator(plain)
