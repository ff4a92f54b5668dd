# SPDX-License-Identifier: MIT
"""Deployments as they happen: what a reload takes up, and that none costs a request, neither good ones nor broken ones.

CGUNICORN_TEST_RELOADS: reloads under load, for each kind of client (6). CGUNICORN_TEST_DEPLOYS: deployments of broken code (8)."""
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness import DEADLINE, WORKER, packages_of, poll, running
from supervision import APP, ignore_faults, in_background, notified, processes, reload, text, workers, write_app, zygotes

RELOADS = int(os.environ.get("CGUNICORN_TEST_RELOADS", "6"))
DEPLOYS = int(os.environ.get("CGUNICORN_TEST_DEPLOYS", "8"))

# --- what a reload takes up ---

OF_A_PACKAGE = """
from shop import version

def app(environ, start_response):
    start_response("200 OK", [])
    return [version.NAME.encode()]
"""


def write_package(directory, name):
    (directory / "shop").mkdir(parents=True)
    (directory / "shop/__init__.py").touch()
    (directory / "shop/version.py").write_text(f"NAME = {name!r}\n")


@pytest.mark.parametrize("preload", ["yes", "no"])
def test_new_package(start_server, tmp_path, preload):
    """Put in place by a rename, as deployments do, under the same path."""
    write_package(tmp_path / "current", "one")
    server = start_server(OF_A_PACKAGE, {"workers_preload": preload, "app_pythonpath": tmp_path / "current"})
    assert text(server) == "one"
    write_package(tmp_path / "next", "two")
    (tmp_path / "current").rename(tmp_path / "before")
    (tmp_path / "next").rename(tmp_path / "current")
    reload(server)
    assert text(server) == "two"


IN_ITS_DIRECTORY = """
import os
CODE = {code!r}

def app(environ, start_response):
    start_response("200 OK", [])
    return [f"{{CODE}} in {{open('data').read()}}, {{os.getpid()}}".encode()]
"""


def write_release(directory, name):
    directory.mkdir()
    (directory / "app.py").write_text(IN_ITS_DIRECTORY.format(code=name))
    (directory / "data").write_text(name)


@pytest.mark.parametrize("preload, answer", [("yes", "one in two"), ("no", "two in two")])
def test_directory_that_was_replaced(start_server, tmp_path, preload, answer):
    """Without a reload: a worker that comes later is in the directory that its code is from; and never in one that is gone."""
    write_release(tmp_path / "site", "one")
    server = start_server("app:app", {"app_chdir": tmp_path / "site", "workers_preload": preload})
    first = text(server)
    assert first.startswith("one in one, ")
    shutil.rmtree(tmp_path / "site")
    write_release(tmp_path / "site", "two")
    os.kill(int(first.split()[-1]), 9)
    assert text(server).startswith(f"{answer}, ")


def test_new_virtualenv(tmp_path):
    """Another path in the INI file: other packages, also for the workers that come later."""
    for name in ("one", "two"):
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / name], check=True)
        write_package(packages_of(tmp_path / name), name)

    def ini(name):
        return f"[app]\nvirtualenv = {tmp_path / name}\n"

    with running(OF_A_PACKAGE, ini=ini("one")) as server:
        assert text(server) == "one"
        (server.directory / "site.ini").write_text(ini("two"))
        reload(server)
        assert text(server) == "two"
        shutil.rmtree(tmp_path / "one")
        poll(lambda: len(workers(server)) == 1, "the old worker to go")
        (worker,) = workers(server)
        os.kill(worker, 9)
        poll(lambda: workers(server) - {worker}, "the next worker")
        assert text(server) == "two"


def mapped_files(pid, path):
    """The numbers of the files that the process has mapped under that name."""
    lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    return {int(line.split()[4]) for line in lines if line.endswith(f" {path}")}


def test_new_worker_program(start_server, tmp_path):
    """As a package manager replaces it: a new file under the same name. The supervisor stays."""
    program = tmp_path / WORKER.name
    shutil.copy2(WORKER, program)
    server = start_server(APP, environment={"CGUNICORN_LIBEXECDIR": str(tmp_path)})

    def runs_it():
        ours = {os.stat(program).st_ino}
        return all(mapped_files(pid, program) == ours for pid in workers(server) | zygotes(server))

    assert runs_it()
    shutil.copy2(program, tmp_path / "new")
    os.rename(tmp_path / "new", program)
    assert not runs_it()
    reload(server)
    poll(lambda: len(processes(server)) == 3 and runs_it(), "the new program")
    assert text(server) == "one"
    program.unlink()
    reload(server, 3)
    notified(server, r"last reload failed: there is no worker for Python 3\.\S+ in .* \(there: none\)")
    assert text(server) == "one"


# --- under load ---


class Wrk:
    """wrk for as long as the with block lasts; then its report."""

    def __init__(self, server, connections, *fields):
        command = ["wrk", "-t1", f"-c{connections}", "-d1h", "--timeout", f"{DEADLINE}s"]
        command += [*(word for field in fields for word in ("-H", field)), server.url]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.report = None

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.process.send_signal(2)
        self.report = self.process.communicate()[0]

    def n_answers(self):
        return int(re.search(r"(\d+) requests in", self.report)[1])

    def assert_lost_nothing(self):
        assert "Socket errors" not in self.report and "Non-2xx" not in self.report, self.report
        assert self.n_answers() > 0


@pytest.mark.skipif(not shutil.which("wrk"), reason="wrk is not installed")
@pytest.mark.parametrize("fields", [[], ["Connection: close"]], ids=["keep-alive", "close"])
@pytest.mark.parametrize("preload", ["yes", "no"])
def test_reloads_under_load(start_server, preload, fields):
    server = start_server(APP, {"workers_count": 2, "workers_preload": preload, "reload_check_path": "/"})
    with Wrk(server, 64, *fields) as wrk:
        for number in range(RELOADS):
            write_app(server, APP.replace("one", str(number)))
            reload(server, number + 2)
    wrk.assert_lost_nothing()
    print(f"{RELOADS} reloads, preload = {preload}, {fields}: {wrk.n_answers()} requests, none failed")
    assert text(server) == str(RELOADS - 1)
    assert server.log().count(" serves, with 2 workers") == RELOADS


# What is deployed, and what the log has to say about it.
BROKEN = {
    "syntax": ("def app(:\n    pass\n", "SyntaxError: invalid syntax"),
    "import": ("raise RuntimeError('broken ' + 'source')\n", "RuntimeError: broken source"),
    "module": ("import no_such_module\n" + APP, "ModuleNotFoundError: No module named 'no_such_module'"),
    "name": ("application = None\n", "app"),
    "ini": (None, r"workers\.count: \"many\" is no whole number"),
    "hang": ("import time\ntime.sleep(1000)\n", r"not loaded within timeouts\.load"),
    "crash": (APP.replace("path = environ", "os.kill(os.getpid(), 9)\n    path = environ"),
              r"worker 0 was killed by signal 9 \(SIGKILL\)"),
    "error": (APP.replace('"200 OK"', '"500 Broken"'), r"GET / was answered with 500 Broken: one"),
}
INI = {"ini": "[workers]\ncount = many\n", "hang": "[timeouts]\nload = 1s\n"}


@pytest.mark.parametrize("preload", ["yes", "no"])
def test_broken_deployments_under_load(start_server, preload):
    """The old code serves, everybody, throughout; the reason is in the log each time."""
    options = {"workers_count": 2, "workers_preload": preload, "reload_check_path": "/"}
    server = start_server(APP, options, ini="")
    before = workers(server)
    answers, is_over = [], []

    def ask(fields):
        while not is_over:
            with server.connect() as client:
                closes = False
                while not (closes or is_over):
                    response = client.request("GET", "/", *fields)
                    answers.append((response.status, response.body))
                    closes = response.closes

    askers = [in_background(ask, fields) for fields in ([], [], ["Connection: close"], ["Connection: close"])]
    for number in range(DEPLOYS):
        name = list(BROKEN)[number % len(BROKEN)]
        source, reason = BROKEN[name]
        (server.directory / "site.ini").write_text(INI.get(name, ""))
        if source:
            write_app(server, source)
        start = len(server.log())
        reload(server, number + 2)
        server.wait_for_log(f"Reload failed, generation 1 goes on serving: [^\0]*{reason}", start)
        notified(server, r"^STATUS=2/2 workers, .* generation 1; last reload failed: ", number + 1)
        assert workers(server) >= before
        ignore_faults(server)
    is_over.append(True)
    for thread, result in askers:
        thread.join()
        assert result["value"] is None
    assert set(answers) == {(200, b"one")}
    print(f"{DEPLOYS} broken deployments, preload = {preload}: {len(answers)} requests, none failed")
    (server.directory / "site.ini").write_text("")
    write_app(server, APP.replace("one", "two"))
    reload(server, DEPLOYS + 2)
    assert text(server) == "two"
