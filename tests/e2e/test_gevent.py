# SPDX-License-Identifier: MIT
"""workers.class = gevent: what is its own. That the rest is as in the other class, the other tests say when they run with
CGUNICORN_TEST_CLASS=gevent (make check-gevent). With Debian's gevent, or that of CGUNICORN_TEST_VIRTUALENV
(tests/frameworks/run-newest)."""
import json
import os
import subprocess
import sys
import tempfile

import pytest

from client import request
from harness import PACKAGES, SANITIZED, Server, poll
from supervision import ignore_faults, processes, workers

pytestmark = pytest.mark.skipif(
    SANITIZED, reason="AddressSanitizer takes greenlet's copies of stacks for reads beyond their ends")

# What gevent knows to wait, and what it does not: block() holds the hub's thread. Files are made and removed by the test.
SOURCE = """
import json, os, sys, threading, time
import gevent, gevent.local, gevent.monkey
at_import = gevent.monkey.is_module_patched("socket") and gevent.monkey.is_module_patched("threading")
block = gevent.monkey.get_original("time", "sleep")
local = gevent.local.local()
lock = threading.Lock()
state = {"inside": 0, "most": 0}

def answer(start_response, value):
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(value).encode()]

def wait_while(path, sleep):
    while os.path.exists(path):
        sleep(0.002)

def env(environ, start_response, argument):
    return answer(start_response, {
        "patched": at_import, "multithread": environ["wsgi.multithread"],
        "multiprocess": environ["wsgi.multiprocess"], "pid": os.getpid(),
        "is_greenlet": isinstance(gevent.getcurrent(), gevent.Greenlet)})

def wait(environ, start_response, argument):
    with lock:
        state["inside"] += 1
        state["most"] = max(state["most"], state["inside"])
    wait_while(argument, time.sleep)
    with lock:
        state["inside"] -= 1
    return answer(start_response, state)

def hold(environ, start_response, argument):
    open(argument + ".begun", "w").close()
    wait_while(argument, block)
    return answer(start_response, "held")

def look(environ, start_response, argument):
    return answer(start_response, state)

def locals(environ, start_response, argument):
    seen = getattr(local, "value", None)
    local.value = argument
    time.sleep(0)
    return answer(start_response, [seen, local.value])

def big(environ, start_response, argument):
    start_response("200 OK", [])
    return (b"x" * 100000 for _ in range(int(argument)))

def impatient(environ, start_response, argument):
    write = start_response("200 OK", [])
    try:
        with gevent.Timeout(0.2):
            while True:
                write(b"x" * 100000)
    except gevent.Timeout:
        open(argument, "w").close()
    return [b"the end"]

def read(environ, start_response, argument):
    return answer(start_response, len(environ["wsgi.input"].read()))

def read_elsewhere(environ, start_response, argument):
    readers = [gevent.spawn(environ["wsgi.input"].read, 3) for _ in range(2)]
    gevent.joinall(readers)
    return answer(start_response, sorted(str(r.exception or r.value.decode()) for r in readers))

def read_for_a_while(environ, start_response, argument):
    with gevent.Timeout(0.1, False):
        return answer(start_response, environ["wsgi.input"].read().decode())
    return answer(start_response, "too late")

def write_elsewhere(environ, start_response, argument):
    write = start_response("200 OK", [])
    other = gevent.spawn(write, b"from another")
    other.join()
    return [str(other.exception).encode()]

def leave(environ, start_response, argument):
    gevent.spawn(sys.exit, 3)
    time.sleep(0.01)
    return answer(start_response, "stayed")

def kill(environ, start_response, argument):
    gevent.spawn(gevent.getcurrent().kill)
    time.sleep(60)

def child(environ, start_response, argument):
    pid = os.fork()
    if pid == 0:
        gevent.sleep(0.05)
        os._exit(7)
    return answer(start_response, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))

def app(environ, start_response):
    return globals()[environ["PATH_INFO"][1:]](environ, start_response, environ["QUERY_STRING"])
"""

CONFIG = {"workers_class": "gevent", "workers_connections": "1000"}
if "CGUNICORN_TEST_VIRTUALENV" in os.environ:
    CONFIG["app_virtualenv"] = os.environ["CGUNICORN_TEST_VIRTUALENV"]
else:
    pytest.importorskip("gevent")


@pytest.fixture
def start(start_server):
    return lambda **config: start_server(SOURCE, {**CONFIG, **config})


@pytest.fixture
def site(server):
    return server(SOURCE, **CONFIG)


@pytest.fixture
def gate(tmp_path):
    """A file that handlers wait for the end of."""
    (tmp_path / "gate").touch()
    return tmp_path / "gate"


def value(response):
    assert response.status == 200, response
    return json.loads(response.body)


def ask(server, n, target):
    """That many requests, each on a connection of its own, without their answers."""
    connections = [server.connect() for _ in range(n)]
    for connection in connections:
        connection.send(request(target=target))
    return connections


def answers(connections):
    results = []
    for connection in connections:
        results.append(value(connection.read_response()))
        connection.close()
    return results


# --- many at once ------


@pytest.mark.parametrize("preload", ["yes", "no"])
def test_environ(start, preload):
    server = start(workers_preload=preload, workers_count=2)
    answer = value(server.get("/env"))
    assert answer.pop("pid") in workers(server)
    assert answer == {"patched": True, "multithread": True, "multiprocess": True, "is_greenlet": True}


def test_requests_run_at_once(site, gate):
    connections = ask(site, 300, f"/wait?{gate}")
    poll(lambda: value(site.get("/look"))["inside"] == 300, "300 requests in the application")
    gate.unlink()
    assert len(answers(connections)) == 300
    assert value(site.get("/look"))["inside"] == 0


def test_no_more_than_workers_connections_run_at_once(start, gate):
    server = start(workers_connections=3)
    connections = ask(server, 8, f"/wait?{gate}")
    gate.unlink()
    assert max(state["most"] for state in answers(connections)) <= 3


def test_each_request_has_locals_of_its_own(site):
    with site.connect() as connection:
        for name in "ab":
            assert value(connection.request(target=f"/locals?{name}")) == [None, name]


def test_pipelined_requests_keep_their_order(site):
    with site.connect() as connection:
        targets = [f"/locals?{n}" for n in range(100)]
        connection.send(b"".join(request(target=target) for target in targets))
        for n in range(100):
            assert value(connection.read_response()) == [None, str(n)]


# --- slow clients hold a greenlet at most ------


def test_slow_readers(start):
    server = start(limits_response_memory="4K", limits_response_file="0")
    connections = ask(server, 20, "/big?50")
    for _ in range(20):
        assert value(server.get("/look"))["inside"] == 0
    for connection in connections:
        assert len(connection.read_response().body) == 5000000
        connection.close()


def test_exception_thrown_into_a_wait_for_the_client(start, tmp_path):
    """The application may catch it, and goes on."""
    server = start(limits_response_memory="4K", limits_response_file="0")
    with server.connect() as connection:
        connection.send(request(target=f"/impatient?{tmp_path}/given-up"))
        poll((tmp_path / "given-up").exists, "the application to give up")
        assert value(server.get("/look"))["inside"] == 0
        assert connection.read_response().body.strip(b"x") == b"the end"


def test_slow_writers(start):
    server = start(request_buffering="no")
    connections = [server.connect() for _ in range(20)]
    for connection in connections:
        connection.send(request("POST", "/read", "Content-Length: 10") + b"hello")
    for _ in range(20):
        assert value(server.get("/look"))["inside"] == 0
    for connection in connections:
        connection.send(b"world")
    assert answers(connections) == [10] * 20


def test_body_is_read_by_other_greenlets(start):
    server = start(request_buffering="no")
    with server.connect() as connection:
        connection.send(request("POST", "/read_elsewhere", "Content-Length: 6"))
        assert value(server.get("/look"))["inside"] == 0
        connection.send(b"abcdef")
        assert value(connection.read_response()) == ["abc", "another thread or greenlet is reading wsgi.input"]


def test_exception_thrown_into_a_wait_for_the_body(start):
    server = start(request_buffering="no")
    with server.connect() as connection:
        connection.send(request("POST", "/read_for_a_while", "Content-Length: 6"))
        assert value(connection.read_response()) == "too late"


# --- a greenlet that lets nobody else go on ------


def test_clients_do_not_wait_for_a_greenlet_that_blocks(start, gate):
    server = start(timeouts_head="1s", limits_body_memory="4K")
    idle, slow = server.connect(), server.connect()
    slow.send(b"GET / HTTP/1.1\r\n")
    with server.connect() as connection:
        connection.send(request(target=f"/hold?{gate}"))
        assert slow.read_response().status == 408
        idle.assert_closed()
        upload = server.connect()
        upload.send(request("POST", "/read", "Content-Length: 10000000", "Expect: 100-continue"))
        assert upload.read_head().status == 100
        upload.send(b"x" * 10000000)
        gate.unlink()
        assert value(connection.read_response()) == "held"
        assert value(upload.read_response()) == 10000000
    for other in idle, slow, upload:
        other.close()


def test_answers_do_not_wait_for_a_greenlet_that_blocks(site, gate):
    """Those before it in the same turn are kept back, to be sent together."""
    first = [site.connect() for _ in range(5)]
    other = gate.with_name("other")
    other.touch()
    with site.connect() as holder, site.connect() as last:
        holder.send(request(target=f"/hold?{other}"))
        poll(other.with_name("other.begun").exists, "the first one to hold the others up")
        for connection in first:
            connection.send(request(target="/look"))
        last.send(request(target=f"/hold?{gate}"))
        other.unlink()
        assert value(holder.read_response()) == "held"
        assert len(answers(first)) == 5
        gate.unlink()
        assert value(last.read_response()) == "held"


def test_connections_go_to_other_workers(start, gate):
    server = start(workers_count=2)
    with server.connect() as connection:
        connection.send(request(target=f"/hold?{gate}"))
        poll(gate.with_name("gate.begun").exists, "one worker to be held up")
        for _ in range(20):
            assert value(server.get("/look"))["inside"] == 0
        gate.unlink()
        assert value(connection.read_response()) == "held"


def test_elastic_site_grows_where_greenlets_block(start, gate):
    """The thousand that the worker could run beside it are none that are free."""
    server = start(workers_min=1, workers_max=2, workers_count=1, workers_grow_after="50ms")
    with server.connect() as holder:
        holder.send(request(target=f"/hold?{gate}"))
        poll(gate.with_name("gate.begun").exists, "the first one to hold the others up")
        assert value(server.get("/look"))["inside"] == 0
        server.wait_for_log("2 workers from now on, and not 1: requests have waited")
        gate.unlink()
        assert value(holder.read_response()) == "held"


# --- timeouts.request ------


def test_request_that_waits_for_too_long(start, gate):
    server = start(timeouts_request="1s")
    old = workers(server)
    with server.connect() as connection:
        connection.send(request(target=f"/wait?{gate}"))
        assert connection.read_response().status == 504
    server.wait_for_log(
        r"has run GET /wait\?\S+ for \d\.\d s[^\n]+\nStack \(most recent call first\):\n(  File [^\n]+\n)*?"
        r'  File "[^"]+source_app.py", line \d+ in wait\n'
    )
    poll(lambda: not old & set(processes(server)), "the old worker to end")
    assert value(server.get("/env"))["pid"] not in old


def test_all_wait_for_one_for_too_long(start, gate):
    """The one that waits does not run: what is said is where the other stands, that keeps it from that."""
    server = start(timeouts_request="2s")
    other = gate.with_name("other")
    other.touch()
    waiting = ask(server, 1, f"/wait?{other}")[0]
    poll(lambda: value(server.get("/look"))["inside"] == 1, "a request in the application")
    holding = ask(server, 1, f"/hold?{gate}")[0]
    for connection in waiting, holding:
        assert connection.read_response().status == 504
        connection.close()
    server.wait_for_log(
        r"has run GET /wait[^\n]+\nStack \(most recent call first\):\n(  File [^\n]+\n)*?"
        r'  File "[^"]+source_app.py", line \d+ in hold\n(  File [^\n]+\n)*That greenlet, this one or another,'
    )
    gate.unlink()


def test_requests_that_one_keeps_from_running_are_refused(start, gate):
    """When that one has been given up, nobody knows whether the worker will ever run another."""
    server = start(timeouts_request="1s")
    old = workers(server)
    holding = ask(server, 1, f"/hold?{gate}")[0]
    poll(gate.with_name("gate.begun").exists, "the first one to hold the others up")
    connections = ask(server, 3, "/look")
    assert holding.read_response().status == 504
    for connection in connections: # the new worker may have taken those that this one had not accepted
        assert connection.read_response().status in (200, 503)
        connection.close()
    holding.close()
    poll(lambda: not old & workers(server), "the old worker to end")
    gate.unlink()


# --- the end ------


def test_requests_finish_before_the_worker_does(start, gate):
    server = start()
    connections = ask(server, 50, f"/wait?{gate}")
    poll(lambda: value(server.get("/look"))["inside"] == 50, "50 requests in the application")
    old = workers(server)
    server.signal(1)
    poll(lambda: workers(server) - old, "a new worker")
    poll(lambda: value(server.get("/env"))["pid"] not in old, "the new worker to serve")
    gate.unlink()
    assert len(answers(connections)) == 50
    poll(lambda: not old & set(processes(server)), "the old worker to end")


def test_idle_connections_go_to_the_new_generation(start):
    """Without anything else that happens in the old worker; if not, it is killed, as the log says at the end."""
    server = start()
    with server.connect() as connection:
        old = value(connection.request(target="/env"))["pid"]
        server.signal(1)
        poll(lambda: old not in processes(server), "the old worker to end")
        assert value(connection.request(target="/env"))["pid"] in workers(server)


def test_requests_that_do_not_finish_are_cut_off(start, gate):
    server = start(timeouts_graceful="1s")
    connections = ask(server, 3, f"/wait?{gate}")
    poll(lambda: value(server.get("/look"))["inside"] == 3, "3 requests in the application")
    old = workers(server)
    server.signal(1)
    server.wait_for_log("3 requests did not finish within timeouts.graceful|is not done draining")
    poll(lambda: not old & set(processes(server)), "the old worker to end")
    for connection in connections:
        assert connection.wait_gone() == 0
        connection.close()
    assert value(server.get("/look"))["inside"] == 0
    ignore_faults(server)  # the supervisor may be the earlier one, and use SIGABRT


# --- what greenlets do ------


def test_write_is_for_the_greenlet_of_the_request(site):
    assert site.get("/write_elsewhere").body == b"write() is for the greenlet that runs the application"


def test_exit_of_a_greenlet_is_not_the_worker_s(site):
    assert value(site.get("/leave")) == "stayed"
    site.wait_for_log("A greenlet has ended by this")
    assert value(site.get("/leave")) == "stayed"


def test_killed_request_is_an_error_of_the_application(site):
    assert site.get("/kill").status == 500
    site.wait_for_log("GreenletExit")


def test_child_of_the_application_leaves_the_connections_alone(site, gate):
    connections = ask(site, 5, f"/wait?{gate}")
    poll(lambda: value(site.get("/look"))["inside"] == 5, "5 requests in the application")
    assert value(site.get("/child")) == 7
    gate.unlink()
    assert len(answers(connections)) == 5


# --- gevent itself ------


@pytest.mark.skipif(bool(PACKAGES), reason="it is among the packages of CGUNICORN_TEST_PACKAGES")
def test_gevent_is_not_installed():
    with tempfile.TemporaryDirectory() as directory:
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", directory], check=True)
        server = Server("echo:app", {"workers_class": "gevent", "app_virtualenv": directory})
        server.launch()
        try:
            assert server.wait() != 0
            assert (
                "workers.class = gevent: the site's Python has no gevent: install the Debian package python3-gevent, or, "
                "where app.virtualenv is set, install gevent there with its pip" in server.log()
            )
        finally:
            server.destroy()


def test_threads_are_not_for_greenlets():
    server = Server("echo:app", {"workers_class": "gevent", "workers_threads": "4"})
    server.launch()
    try:
        assert server.wait() != 0
        assert "workers.threads: 4 with workers.class = gevent" in server.log()
    finally:
        server.destroy()
