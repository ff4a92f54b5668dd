# SPDX-License-Identifier: MIT
"""A WSGI application that answers with what it was given, as JSON: the environ's strings, the body, and how often it
was called."""
import hashlib
import json
import os
import sys

calls = 0


def app(environ, start_response):
    global calls
    calls += 1
    body = environ["wsgi.input"].read()
    answer = {
        "calls": calls,
        "pid": os.getpid(),
        "environ": {key: value for key, value in environ.items() if isinstance(value, str)},
        "types": {key: type(value).__name__ for key, value in environ.items()},
        "wsgi": {
            key: value
            for key, value in environ.items()
            if key.startswith("wsgi.") and isinstance(value, (bool, tuple))
        },
        "length": len(body),
        "sha256": hashlib.sha256(body).hexdigest(),
        "body": body[:4096].decode("latin-1"),
        "cwd": os.getcwd(),
        "os.environ": dict(os.environ),
        "sys": {
            "path": sys.path,
            "prefix": sys.prefix,
            "executable": sys.executable,
            "version": sys.version_info[:2],
        },
    }
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(answer).encode()]
