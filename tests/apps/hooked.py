# SPDX-License-Identifier: MIT
"""An application that writes down beside recording_hooks what happens to it."""
import atexit
import os
import time

from recording_hooks import STATE, note

note("application imported")
atexit.register(note, "atexit")

TEXT = [("Content-Type", "text/plain")]


class Closing:
    def __init__(self, blocks):
        self.blocks = blocks

    def __iter__(self):
        return iter(self.blocks)

    def close(self):
        note("close")


def failing_blocks():
    yield b"first"
    raise ValueError("fault of a block")


def read_only(worker):
    try:
        worker.seat = 7
    except (AttributeError, TypeError):
        return "read-only"
    return "changed"


def app(environ, start_response):
    note("called", path=environ["PATH_INFO"])
    name = environ["PATH_INFO"]
    if name == "/raise":
        raise ValueError("fault of the application")
    if name == "/file":
        start_response("200 OK", [*TEXT, ("X-Sendfile", os.path.join(STATE, "nothing"))])
        return []
    if name == "/wait":  # until the test removes the file
        open(os.path.join(STATE, "waiting"), "w").close()
        while os.path.exists(os.path.join(STATE, "waiting")):
            time.sleep(0.01)
    start_response("404 Not Found" if name == "/missing" else "200 OK", TEXT)
    if name == "/worker":
        worker = environ["hooks.worker"]
        return [f"{worker!r} {tuple(worker)} {read_only(worker)}".encode()]
    if name == "/generator":
        return (block for block in [b"one", b"two"])
    if name == "/late":
        return failing_blocks()
    if name == "/long":
        return Closing([b"x" * 65536] * 10000)
    return Closing([b"hello"])
