# SPDX-License-Identifier: MIT
"""The interpreter inside a worker: what applications use of Python and of their process works as under python3."""
import json
import re
import subprocess
import sys

import pytest

from harness import SANITIZED, WORKER, WORKER_CLASS, of_threads
from supervision import assert_that_parents_answer

# Its allocator may be locked by another thread at the fork, and stays so in the child.
not_by_asan = pytest.mark.skipif(SANITIZED, reason="AddressSanitizer's allocator does not survive a fork beside threads")
# A program of gevent alone, without any server, waits for ever in one of sixty runs.
not_by_gevent = pytest.mark.skipif(WORKER_CLASS == "gevent", reason="gevent 22.10 misses the end of a child now and then")


@pytest.fixture(params=["1", "4"], ids=["one thread", "four threads"])
def attempt(server, request):
    site = server("inside:app", workers_threads=request.param)

    def inner(name):
        response = site.get(f"/{name}")
        assert response.status == 200
        answer = json.loads(response.body)
        assert "error" not in answer, answer["error"]
        return answer["value"]

    return inner


def test_child_processes(attempt):
    assert attempt("run") == [0, 7, -15]
    assert attempt("output") == "through a pipe"


@not_by_asan
@not_by_gevent
def test_fork(attempt):
    assert attempt("fork") == 5


@not_by_asan
@not_by_gevent
@pytest.mark.parametrize("threads", ["1", "4"])
@pytest.mark.parametrize("trial, expected", [("fork_and_exit", 6), ("fork_and_return", "parent")])
def test_forked_children_do_not_serve(start_server, threads, trial, expected):
    """Whatever way a child of os.fork() leaves the application, it ends there, and its parent answers, once."""
    site = start_server("inside:app", {"workers_threads": threads})
    pids = site.pids()
    with site.connect() as connection:
        response = connection.request("GET", f"/{trial}")
        assert (response.status, json.loads(response.body)) == (200, {"value": expected})
        assert json.loads(connection.request("GET", "/pid").body)["value"] in pids
    assert site.pids() == pids


@not_by_asan
@not_by_gevent
def test_children_of_close_do_not_serve(start_server):
    site = start_server(
        """
import os

class Result(list):
    def close(self):
        if os.fork() > 0:
            os.wait()

def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "6")])
    return Result([b"parent"])
"""
    )
    assert_that_parents_answer(site)


def test_children_inherit_nothing_of_the_server(attempt):
    state = attempt("child_state")
    assert set(state["fds"]) <= {0, 1, 2, 3}, "0, 1, 2 and the directory that ls reads"
    standard = (1 << 31) - 1  # 32 and 33 are glibc's own
    assert int(state["SigBlk:"], 16) & standard == 0
    assert int(state["SigIgn:"], 16) & standard == 0, "a program in a pipeline must die of SIGPIPE"


@of_threads  # the pool's threads read pipes by what gevent does not know
@pytest.mark.parametrize("kind", [pytest.param("fork", marks=not_by_asan), "spawn"])
def test_multiprocessing(attempt, kind):
    assert attempt(f"pool_{kind}") == [1, 2, 3]


def test_threads_and_event_loops(attempt):
    assert attempt("threads") == list(range(20))
    assert attempt("event_loop") == "slept"
    assert attempt("daemon_thread") == "started"


def test_signals_have_their_defaults(attempt):
    assert attempt("alarm") == [True, True, True]


def test_standard_streams(attempt):
    assert attempt("stdin") is True
    assert attempt("main_module") == "__main__"


@pytest.mark.parametrize("variables", [{"LANG": ""}, {"LANG": "C.UTF-8"}, {"LC_ALL": "POSIX"}], ids=str)
def test_encodings_are_those_of_python3(start_server, variables):
    """A service often has no LANG at all."""
    site = start_server("inside:app", environment=variables)
    code = "import sys; sys.path.insert(0, sys.argv[1]); import inside, json; print(json.dumps(inside.encodings()))"
    expected = subprocess.run(
        [sys.executable, "-B", "-c", code, site.config["app.pythonpath"]],
        env={**site.environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        check=True,
    ).stdout
    assert json.loads(site.get("/encodings").body)["value"] == json.loads(expected)


@pytest.mark.parametrize("preload", ["no", "yes"])
@pytest.mark.parametrize("threads", ["1", "4"])
def test_exit_handlers_run_when_the_server_stops(start_server, preload, threads):
    site = start_server("inside:app", {"workers_preload": preload, "workers_threads": threads})
    pid = json.loads(site.get("/pid").body)["value"]
    site.get("/daemon_thread")
    site.signal(15)
    assert site.wait() == 0
    assert f"exit handler of {pid}\n" in site.log()


def test_extension_modules(start_server):
    """Each of the standard library loads, also where the interpreter itself is no library."""
    site = start_server(
        """
import importlib, json, sysconfig
from pathlib import Path

def app(environ, start_response):
    files = Path(sysconfig.get_config_var("DESTSHARED")).glob("*.so")
    modules = [importlib.import_module(file.name.split(".")[0]) for file in files]
    start_response("200 OK", [])
    return [json.dumps([module.__name__ for module in modules]).encode()]
"""
    )
    assert {"_ctypes", "_sqlite3", "_ssl"} <= set(json.loads(site.get().body))


def exported_by(file):
    output = subprocess.run(["nm", "-D", "--defined-only", file], stdout=subprocess.PIPE, text=True, check=True).stdout
    return {line.split()[2] for line in output.splitlines() if re.search(" [TDBR] ", line)}


def test_functions_for_extension_modules(start_server):
    """What they find is what the interpreter exports: all of it, and nothing that they have themselves."""
    names = [name for name in exported_by(sys.executable) if re.match("_?Py", name)]
    site = start_server(
        """
import ctypes, json

def app(environ, start_response):
    names = json.load(environ["wsgi.input"])
    start_response("200 OK", [])
    return [json.dumps([name for name in names if not hasattr(ctypes.pythonapi, name)]).encode()]
"""
    )
    assert json.loads(site.get(method="POST", body=json.dumps(names).encode()).body) == []
    assert not {"llhttp_init", "ini_parse"} & exported_by(WORKER)
