# SPDX-License-Identifier: MIT
"""app.hooks: when they are called, with what, and what becomes of their failures; what runs at the end of a worker."""
import json
import os
import re
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from client import request
from harness import APPS, PROGRAM, SANITIZED, WORKER_CLASS, Server, clean_environment, of_threads, poll
from supervision import assert_that_parents_answer, ignore_faults, notified, release, reload, wait_for_file, workers, zygotes

preload = pytest.mark.parametrize("preload", ["no", "yes"])


def events(server, *names, pid=None):
    """What was noted, in order; names: only these."""
    path = server.directory / "events"
    found = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [e for e in found if (not names or e["event"] in names) and pid in (None, e["pid"])]


def names_of(found):
    return [event["event"] for event in found]


@pytest.fixture
def hooked(start_server):
    """hooked(section_key=value…): a server of the application and the hooks that take notes."""

    def start(**config):
        return start_server("hooked:app", {"app_hooks": "recording_hooks", **config})

    return start


def set_faults(server, **faults):
    """hook=exception; replaced at once, as workers may read it at any time."""
    new = server.directory / "faults.new"
    new.write_text(json.dumps(faults))
    new.rename(server.directory / "faults")


# --- when ---


@preload
def test_order(hooked, preload):
    server = hooked(workers_preload=preload)
    zygote, worker = zygotes(server), workers(server)
    assert server.get("/").body == b"hello"
    server.signal(signal.SIGTERM)
    assert server.wait() == 0
    imports = ["hooks imported", "application imported"]
    request = ["request_started", "called", "close", "request_finished"]
    end = ["worker_exit", "atexit"]
    found = {pid: names_of(events(server, pid=pid)) for pid in zygote | worker}
    (zygote,), (worker,) = zygote, worker
    if preload == "yes":
        assert found[zygote] == imports, "the zygote ends without the application's atexit"
        assert found[worker] == ["worker_start", "worker_ready", *request, *end]
    else:
        assert found[zygote] == []
        assert found[worker] == [imports[0], "worker_start", imports[1], "worker_ready", *request, *end]
    assert len(events(server)) == sum(map(len, found.values())), "and nobody else"


def test_ready_waits_for_worker_ready():
    slow = """
import os, time

def worker_ready(worker):
    open("preparing", "w").close()
    while os.path.exists("preparing"):
        time.sleep(0.01)

def app(environ, start_response):
    start_response("200 OK", [])
    return [b"prepared"]
"""
    with Server(slow, {"app_hooks": "source_app"}) as server:
        server.launch()
        wait_for_file(server, "preparing")
        notified(server, "^STATUS=Loading the application$")
        assert "READY=1" not in server.notify.lines()
        release(server, "preparing")
        server.wait_for_notification("READY=1")
        assert server.get("/").body == b"prepared"
        server.stop()


@preload
def test_reload(hooked, preload):
    """Each worker of each generation: once started, once ready, once at its end."""
    server = hooked(workers_count=2, workers_preload=preload)
    reload(server)
    poll(lambda: len(events(server, "atexit")) == 2, "the end of the old workers")
    server.signal(signal.SIGTERM)
    assert server.wait() == 0
    for name in ("worker_start", "worker_ready", "worker_exit"):
        assert sorted(e["generation"] for e in events(server, name)) == [1, 1, 2, 2]
    assert sorted(e["seat"] for e in events(server, "worker_start")) == [0, 0, 1, 1]
    for pid in {event["pid"] for event in events(server, "worker_start")}:
        found = names_of(events(server, pid=pid))
        assert found[-2:] == ["worker_exit", "atexit"] and len(set(found)) == len(found)


def test_worker_exit_comes_after_the_last_request(hooked):
    server = hooked()
    with server.connect() as connection:
        connection.send(request("GET", "/wait"))
        wait_for_file(server, "waiting")
        server.signal(signal.SIGTERM)
        notified(server, "^STOPPING=1")
        release(server, "waiting")
        assert connection.read_response().body == b"hello"
    assert server.wait() == 0
    found = names_of(events(server))
    assert found[-4:] == ["close", "request_finished", "worker_exit", "atexit"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_killed_worker_runs_nothing(hooked, number):
    server = hooked()
    (pid,) = workers(server)
    os.kill(pid, number)
    poll(lambda: len(events(server, "worker_ready")) == 2, "a successor")
    assert names_of(events(server, pid=pid))[-1] == "worker_ready"


# --- with what ---


def test_worker_object(hooked):
    server = hooked(workers_preload="yes")
    (pid,) = workers(server)
    site = re.search(r"site='(.*?)'", events(server, "worker_start")[0]["worker"])[1]
    shown = f"cgunicorn.Worker(seat=0, generation=1, pid={pid}, site='{site}')"
    assert {e["worker"] for e in events(server, "worker_start", "worker_ready")} == {shown}
    assert server.get("/worker").body.decode() == f"{shown} {(0, 1, pid, site)} read-only"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    "path, status",
    [("/", 200), ("/generator", 200), ("/missing", 404), ("/raise", 500), ("/file", 403)],
)
def test_status(hooked, path, status, method):
    """What the client got, also where it is the server's answer: to a failure, to a file that it must not send."""
    server = hooked(app_sendfile_roots=APPS)
    assert server.get(path, method=method).status == status
    (finished,) = poll(lambda: events(server, "request_finished"))
    assert (finished["path"], finished["status"]) == (path, status)
    assert 0 < finished["duration"] < 60
    assert events(server, "request_started")[0]["thread"] == finished["thread"]


def test_status_of_a_response_that_was_cut(hooked):
    server = hooked()
    with server.connect() as connection:
        connection.send(request("GET", "/late"))
        assert connection.read_until_close().startswith(b"HTTP/1.1 200 OK\r\n")
    (finished,) = poll(lambda: events(server, "request_finished"))
    assert finished["status"] == 200
    server.wait_for_log("fault of a block")


def test_client_that_left(hooked):
    server = hooked(limits_response_memory="4K", limits_response_file="1M")
    with server.connect() as connection:
        connection.send(request("GET", "/long"))
        poll(lambda: events(server, "called"))
    (finished,) = poll(lambda: events(server, "request_finished"))
    assert names_of(events(server))[-2:] == ["close", "request_finished"]
    assert finished["status"] == 200, "the head was sent"


def test_refused_requests_reach_no_hook(hooked):
    server = hooked()
    with server.connect() as connection:
        connection.send(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
        assert connection.read_response().status == 400
    assert not events(server, "request_started", "request_finished")


@preload
def test_threads(hooked, preload):
    server = hooked(workers_threads=4, workers_count=2, workers_preload=preload)

    def ask(number):
        with server.connect() as connection:
            for i in range(25):
                path = f"/{number}/{i}"
                assert connection.request("GET", path).body == b"hello"
                yield path

    with ThreadPoolExecutor(8) as pool:
        paths = [path for result in pool.map(lambda n: list(ask(n)), range(8)) for path in result]
    server.signal(signal.SIGTERM)
    assert server.wait() == 0
    started = {e["path"]: (e["pid"], e["thread"]) for e in events(server, "request_started")}
    finished = {e["path"]: (e["pid"], e["thread"]) for e in events(server, "request_finished")}
    assert started == finished
    assert sorted(started) == sorted(paths)
    assert len(events(server, "request_started", "request_finished")) == 2 * len(paths)


# --- failures ---


@preload
@pytest.mark.parametrize("exception", ["ValueError", "SystemExit", "KeyboardInterrupt"])
@pytest.mark.parametrize("hook", ["worker_start", "worker_ready"])
def test_failure_refuses_the_start(hook, exception, preload):
    config = {"app_hooks": "recording_hooks", "workers_preload": preload}
    with Server("hooked:app", config, environment={"HOOKS_FAULTS": json.dumps({hook: exception})}) as server:
        server.launch()
        assert server.wait() == 70
        assert "READY=1" not in server.notify.lines()
        log = server.log()
        assert f"{hook}() of app.hooks failed: {exception}: fault of {hook}\n" in log
        assert re.search(rf"Traceback.*\n.*recording_hooks.py.*in {hook}\n", log)
        assert not events(server, "worker_exit")


@preload
@pytest.mark.parametrize("hook", ["worker_start", "worker_ready"])
def test_failure_refuses_a_reload(hooked, hook, preload):
    server = hooked(workers_preload=preload)
    former = workers(server)
    set_faults(server, **{hook: "ValueError"})
    server.signal(signal.SIGHUP)
    server.wait_for_log(rf"{hook}\(\) of app.hooks failed: ValueError: fault of {hook}")
    notified(server, "^READY=1", 2)
    assert server.get("/").body == b"hello"
    poll(lambda: workers(server) == former, "the old worker alone")


@pytest.mark.parametrize("exception", ["ValueError", "SystemExit", "GeneratorExit"])
@pytest.mark.parametrize("path", ["/", "/generator", "/raise"])
@pytest.mark.parametrize("threads", [1, 4])
def test_failure_does_not_change_the_response(server, path, exception, threads):
    both = {"request_started": exception, "request_finished": exception}
    environment = {"HOOKS_FAULTS": json.dumps(both)}
    site = server(
        "hooked:app", environment=environment, app_hooks="recording_hooks", workers_threads=threads
    )
    begin = len(site.log())
    with site.connect() as connection:
        for _ in range(2):
            response = connection.request("GET", path)
            assert (response.status, response.body) in {
                "/": [(200, b"hello")],
                "/generator": [(200, b"onetwo")],
                "/raise": [(500, response.body)],
            }[path]
    failures = rf"Error in the application, GET {path}\n(.*\n)*?request_started\(\) of app.hooks failed:\n(.*\n)*?"
    failures += rf"{exception}: fault of request_started\n(.*\n)*?"
    if path == "/raise":
        failures += r"ValueError: fault of the application\n(.*\n)*?"
    failures += rf"request_finished\(\) of app.hooks failed:\n(.*\n)*?{exception}: fault of request_finished\n"
    site.wait_for_log(failures, begin)


def test_failure_at_the_end_is_said(hooked):
    server = hooked()
    set_faults(server, worker_exit="SystemExit")
    server.signal(signal.SIGTERM)
    assert server.wait() == 0
    assert "worker_exit() of app.hooks failed: SystemExit: fault of worker_exit\n" in server.log()
    assert names_of(events(server))[-2:] == ["worker_exit", "atexit"]


def test_hook_of_the_end_that_hangs(start_server):
    server = start_server(
        """
import time

def worker_exit(worker):
    while True:
        time.sleep(1)

def app(environ, start_response):
    start_response("200 OK", [])
    return []
""",
        {"app_hooks": "source_app", "timeouts_graceful": "1s"},
    )
    server.signal(signal.SIGTERM)
    server.wait_for_log(r"is not done draining after timeouts.graceful=1s: killing it")
    server.wait()
    if WORKER_CLASS == "threads":  # else that of the hub, which waits meanwhile
        assert "in worker_exit\n" in server.log(), "the stack is shown"
    ignore_faults(server)


FORKS = """
import os

def fork_in(place):
    if os.fork() == 0:
        links = [os.path.realpath(f"/proc/self/fd/{fd}") for fd in range(3, 64)]
        with open(f"of-{place}.new", "w") as file:
            file.write(" ".join(link for link in links if ":[" in link))
        os.rename(file.name, f"of-{place}")
        if place == "exit":
            os._exit(0)
    elif place != "exit":
        os.wait()

fork_in("import")

def worker_start(worker):
    fork_in("start")

def worker_ready(worker):
    fork_in("ready")

def worker_exit(worker):
    fork_in("exit")

def app(environ, start_response):
    start_response("200 OK", [])
    return [b"served"]
"""


@pytest.mark.skipif(SANITIZED, reason="AddressSanitizer's allocator does not survive a fork beside threads")
@of_threads  # gevent's hub has descriptors of its own
@preload
def test_forked_children_have_no_socket(start_server, preload):
    """Neither a listener nor a channel, the loop or an eventfd; and who comes back from the import or a hook ends there."""
    server = start_server(FORKS, {"app_hooks": "source_app", "workers_preload": preload})
    assert len(workers(server)) == 1
    assert server.get("/").body == b"served"
    server.signal(signal.SIGTERM)
    assert server.wait() == 0
    for place in ("import", "start", "ready", "exit"):
        text = poll((server.directory / f"of-{place}").exists) and (server.directory / f"of-{place}").read_text()
        held = [link for link in text.split() if "socket:" in link or "event" in link]
        assert held == [], place
    assert server.log().count("A process that the application forked left the application") == 3


# Its allocator may be locked by another thread at the fork, and stays so in the child.
@pytest.mark.skipif(SANITIZED, reason="AddressSanitizer's allocator does not survive a fork beside threads")
@pytest.mark.parametrize("place", ["request_started", "request_finished"])
def test_forked_children_do_not_serve(start_server, place):
    """A child of a hook that forgets to end, ends; its parent answers, once."""
    server = start_server(
        f"""
import os

def fork_in(place):
    if place == {place!r} and os.fork() == 0:
        return
    if place == {place!r}:
        os.wait()

def request_started(worker, environ):
    fork_in("request_started")

def request_finished(worker, environ, status, duration):
    fork_in("request_finished")

def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "6")])
    return [b"parent"]
""",
        {"app_hooks": "source_app"},
    )
    assert_that_parents_answer(server)


# --- modules ---


def check(directory, source, hooks="source_hooks"):
    """`cgunicorn check`: exit status and what it says."""
    (directory / "source_hooks.py").write_text(source)
    (directory / "source_app.py").write_text("def app(environ, start_response): pass\n")
    ini = f"[app]\nmodule = source_app:app\nchdir = {directory}\nhooks = {hooks}\n"
    (directory / "site.ini").write_text(ini)
    result = subprocess.run(
        [PROGRAM, "check", directory / "site.ini"], env=clean_environment(directory), capture_output=True, text=True
    )
    return result.returncode, result.stdout + result.stderr


OWN = "def worker_start(worker): pass\n"


@pytest.mark.parametrize(
    "source, said",
    [
        ("raise ValueError('broken')", "ValueError: broken\nTraceback"),
        ("import nothing_like_this", "No module named 'nothing_like_this'"),
        ("x = 1", "it has none of worker_start, worker_ready, "),
        ("worker_start = 1", "its worker_start is no function, but an object of type int"),
        ("def worker_exit(server, worker): pass", "can't be called as worker_exit(worker): missing a required argument"),
        (
            "def request_finished(worker, environ): pass",
            "can't be called as request_finished(worker, environ, status, duration): too many positional arguments",
        ),
    ],
)
def test_check_of_broken_hooks(tmp_path, source, said):
    status, text = check(tmp_path, source + "\n")
    assert status == 70
    assert "cannot load the hooks of the module 'source_hooks'" in text and said in text


@pytest.mark.parametrize(
    "source",
    [
        OWN,
        "def worker_start(*args, **keywords): pass\n",
        "def worker_exit(worker, more=None): pass\n",
        "class Hook:\n    def __call__(self, worker): pass\nworker_ready = Hook()\n",
        "from functools import partial\nworker_start = partial(print, 'started')\n",
        "import gc\ndef collect(worker): gc.collect()\nworker_ready = collect\n",
    ],
)
def test_check_of_good_hooks(tmp_path, source):
    status, text = check(tmp_path, source)
    assert status == 0 and re.fullmatch(f"{tmp_path}/site.ini: ok, .*\n", text)


def test_check_of_missing_hooks(tmp_path):
    status, text = check(tmp_path, OWN, "nowhere.hooks")
    assert (status, "No module named 'nowhere'" in text) == (70, True)
    status, text = check(tmp_path, OWN, "shop/hooks.py")
    assert status == 78
    assert 'site.ini:4: app.hooks: "shop/hooks.py" is no module' in text


@preload
def test_names_of_gunicorn(start_server, preload):
    source = OWN + "def post_fork(server, worker): pass\ndef when_ready(server): pass\non_exit = 3\n"
    source += "def app(environ, start_response):\n    start_response('200 OK', [])\n    return [b'served']\n"
    server = start_server(source, {"app_hooks": "source_app", "workers_preload": preload})
    assert server.get("/").body == b"served"
    assert "when_ready() has no equivalent, post_fork() is worker_start() here; see cgunicorn-migration(7)\n" in server.log()
    assert "on_exit" not in server.log()


# --- what they are for ---


def test_database_connections_after_preload(start_server):
    """Django opens a connection while it is imported; the workers that are forked then must not share it."""
    pytest.importorskip("django")
    server = start_server(
        """
import json, os
import django
from django.conf import settings

settings.configure(DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "database"}})
django.setup()
from django.db import connections
from django.db.backends.signals import connection_created

opened = []
connection_created.connect(lambda **keywords: opened.append(os.getpid()), weak=False)

def query():
    with connections["default"].cursor() as cursor:
        return cursor.execute("select 6 * 7").fetchone()[0]

query()

def worker_start(worker):
    connections.close_all()

def app(environ, start_response):
    body = json.dumps([query(), opened, os.getpid()]).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
""",
        {"app_hooks": "source_app", "workers_preload": "yes"},
    )
    (zygote,) = zygotes(server)
    (worker,) = workers(server)
    assert json.loads(server.get("/").body) == [42, [zygote, worker], worker]


# --- the end of a worker ---

ENDING = """
import atexit, concurrent.futures, multiprocessing, os, threading, time

def note(text):
    with open("notes", "a") as file:
        file.write(text + "\\n")

atexit.register(note, "atexit")
end = threading.Event()

def wait_and_note(text):
    end.wait()
    note(text)

def worker_ready(worker):
    global pool
    threading.Thread(target=wait_and_note, args=("thread",)).start()
    threading.Thread(target=time.sleep, args=(3600,), daemon=True).start()
    pool = concurrent.futures.ThreadPoolExecutor(2)
    for i in range(3):
        pool.submit(wait_and_note, "task")
    {process}

def worker_exit(worker):
    note("worker_exit")
    end.set()

def app(environ, start_response):
    start_response("200 OK", [])
    return [b"served"]
"""

PROCESS = """multiprocessing.get_context("fork").Process(target=time.sleep, args=(3600,), daemon=True).start()"""


@preload
@pytest.mark.parametrize("threads", [1, 4])
def test_threads_and_processes_at_the_end(start_server, preload, threads):
    """As at the end of python3: threads are waited for, but daemons; executors finish their tasks; then atexit, which
    ends daemonic processes."""
    source = ENDING.format(process="pass" if SANITIZED else PROCESS)
    server = start_server(
        source, {"app_hooks": "source_app", "workers_preload": preload, "workers_threads": threads}
    )
    assert server.get("/").body == b"served"
    server.signal(signal.SIGTERM)
    assert server.wait() == 0
    notes = (server.directory / "notes").read_text().split()
    assert notes[0] == "worker_exit" and notes[-1] == "atexit"
    assert sorted(notes[1:-1]) == ["task", "task", "task", "thread"]
    assert "killing it" not in server.log()


ENDLESS = """
import threading, time

def endless():
    while True:
        time.sleep(0.05)

def worker_ready(worker):
    threading.Thread(target=endless).start()

def app(environ, start_response):
    start_response("200 OK", [])
    return [b"served"]
"""


@of_threads  # a greenlet ends with the hub
def test_thread_that_never_ends(start_server):
    """It holds a stop or a reload no longer than timeouts.graceful."""
    server = start_server(ENDLESS, {"app_hooks": "source_app", "timeouts_graceful": "1s"})
    former = workers(server)
    reload(server)
    server.wait_for_log("is not done draining after timeouts.graceful=1s: killing it")
    server.wait_for_log("in endless\n")
    poll(lambda: not former & workers(server), "the old worker to be gone")
    assert server.get("/").body == b"served"
    server.signal(signal.SIGTERM)
    assert server.wait() == 0
    ignore_faults(server)


@of_threads
def test_thread_that_never_ends_without_supervisor(start_server):
    server = start_server(ENDLESS, {"app_hooks": "source_app", "timeouts_graceful": "0"})
    os.kill(server.process.pid, signal.SIGKILL)
    server.process.wait()
    poll(lambda: not server.pids(), "the worker to be gone")
    assert "in endless\n" in server.log()
    server.process = None  # it did not stop as stop() wants it
