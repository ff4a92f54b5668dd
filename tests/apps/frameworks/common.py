# SPDX-License-Identifier: MIT
"""What the applications share: no part of HTTP, which is each framework's own."""
import hashlib
import os
import tempfile
from pathlib import Path
from wsgiref.validate import validator

STATE = Path(os.environ.get("STATE_DIRECTORY", tempfile.gettempdir()))
MARKS = (
    0,
    (1 << 32) - 8,
    1 << 32,
)  # where a file of file_of() has its offset instead of zeros, and at its end
DEFAULT_SIZE = "10"
BLOCK = b"b" * (1 << 20)


def digest(stream):
    """Size and SHA-256 of all that is in there, in blocks."""
    size, sha256 = 0, hashlib.sha256()
    while block := stream.read(1 << 16):
        size += len(block)
        sha256.update(block)
    return {"size": size, "sha256": sha256.hexdigest()}


def described_file(filename, stream):
    return {"filename": filename, **digest(stream)}


def file_of(size):
    """The path of a file of that size, sparse."""
    path = STATE / f"{size}.bin"
    if not path.exists():
        with tempfile.NamedTemporaryFile(dir=STATE, delete=False) as file:
            file.truncate(size)
            for offset in (*MARKS, size - 8):
                if 0 <= offset <= size - 8:
                    file.seek(offset)
                    file.write(offset.to_bytes(8, "big"))
        os.replace(file.name, path)
    return path


def blocks_of(number):
    for _ in range(number):
        yield BLOCK


def stream_lines(number):
    for line in range(number):
        yield f"line {line}\n".encode()


class SizedRead:
    """wsgiref.validate refuses read() without a size, which frameworks rely on and servers have had for long."""

    def __init__(self, stream):
        self.stream = stream

    def read(self, size=-1):
        return self.stream.read(size)

    def __iter__(self):
        return iter(self.stream)

    def __getattr__(self, name):
        return getattr(self.stream, name)


def validated(app):
    def inner(environ, start_response):
        environ["wsgi.input"] = SizedRead(environ["wsgi.input"])
        return app(environ, start_response)

    return validator(inner)


def linted(app):
    from webtest.lint import middleware

    return middleware(app)
