# SPDX-License-Identifier: MIT
"""Hooks that write down each call in the file "events" of the state directory. The file "faults" there, or the variable
HOOKS_FAULTS, says which of them raise: JSON, {"worker_start": "ValueError"}."""
import builtins
import json
import os
import threading

STATE = os.environ["STATE_DIRECTORY"]


def note(event, **details):
    with open(os.path.join(STATE, "events"), "a") as file:
        file.write(json.dumps({"event": event, "pid": os.getpid(), **details}) + "\n")


def fail(name):
    """Raises what is wanted of the hook."""
    faults = json.loads(os.environ.get("HOOKS_FAULTS", "{}"))
    try:
        with open(os.path.join(STATE, "faults")) as file:
            faults = json.load(file)
    except FileNotFoundError:
        pass
    if name in faults:
        raise getattr(builtins, faults[name])(f"fault of {name}")


note("hooks imported")


def worker_start(worker):
    note("worker_start", worker=repr(worker), seat=worker.seat, generation=worker.generation)
    fail("worker_start")


def worker_ready(worker):
    note("worker_ready", worker=repr(worker), generation=worker.generation)
    fail("worker_ready")


def request_started(worker, environ):
    environ["hooks.worker"] = worker
    note("request_started", path=environ["PATH_INFO"], thread=threading.get_ident())
    fail("request_started")


def request_finished(worker, environ, status, duration):
    assert environ["hooks.worker"] is worker
    note("request_finished", path=environ["PATH_INFO"], thread=threading.get_ident(), status=status, duration=duration)
    fail("request_finished")


def worker_exit(worker):
    note("worker_exit", worker=repr(worker), generation=worker.generation)
    fail("worker_exit")
