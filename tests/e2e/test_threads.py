# SPDX-License-Identifier: MIT
"""Requests side by side in one worker."""
import json

import pytest

from client import request
from harness import of_threads, poll


def state(site):
    return json.loads(site.get("/state").body)


@pytest.mark.parametrize("threads", [2, 4, 16])
def test_requests_run_at_once(server, threads):
    """Each waits in the application for all the others."""
    site = server("behaviours:app", workers_threads=threads)
    for _ in range(3):
        connections = [site.connect() for _ in range(threads)]
        for connection in connections:
            connection.send(request(target=f"/meet?n={threads}"))
        for connection in connections:
            assert connection.read_response().body == b"met"
            connection.close()


def test_slow_request_does_not_hold_up_others(server, tmp_path):
    site = server("behaviours:app", workers_threads=4)
    slow = [site.connect() for _ in range(3)]
    for connection in slow:
        connection.send(request(target=f"/waiting?path={tmp_path}/go"))
    for _ in range(50):
        assert site.get("/hello").body == b"Hello, world!\n"
    assert not any(connection.is_readable() for connection in slow)
    (tmp_path / "go").touch()
    for connection in slow:
        assert connection.read_response().body == b"done"
        connection.close()


def test_more_requests_than_threads_wait_for_their_turn(server, tmp_path):
    site = server("behaviours:app", workers_threads=2)
    before = state(site)["calls"].get("waiting", 0)
    connections = [site.connect() for _ in range(10)]
    for connection in connections:
        connection.send(request(target=f"/waiting?path={tmp_path}/go"))
    (tmp_path / "go").touch()
    for connection in connections:
        assert connection.read_response().body == b"done"
        connection.close()
    assert state(site)["calls"]["waiting"] == before + 10


def test_pipelined_requests_keep_their_order(server):
    """On one connection one request runs at a time, however many threads there are."""
    site = server("behaviours:app", workers_threads=4)
    with site.connect() as connection:
        targets = ["/stream?blocks=50&size=1000", "/hello", "/big?size=256000", "/hello"] * 8
        connection.send(b"".join(request(target=target) for target in targets))
        sizes = [len(connection.read_response().body) for _ in targets]
    assert sizes == [50000, 14, 256000, 14] * 8


def test_idle_clients_hold_no_thread(server):
    site = server("behaviours:app", workers_threads=2)
    idle = [site.connect() for _ in range(50)]
    for number, connection in enumerate(idle):
        connection.send(
            [b"", b"GET / HT", request("POST", "/hello", "Content-Length: 100") + b"x"][number % 3]
        )
    assert site.get("/hello").body == b"Hello, world!\n"
    for connection in idle:
        connection.close()


@pytest.mark.parametrize("threads", [1, 2])
def test_slow_readers_hold_no_thread(server, threads):
    site = server("behaviours:app", workers_threads=threads)
    slow = [site.connect(receive_buffer=4096) for _ in range(4)]
    for connection in slow:
        connection.send(request(target="/big?size=5000192"))
        connection.wait_readable()
    assert site.get("/hello").body == b"Hello, world!\n"
    for connection in slow:
        assert len(connection.read_response().body) == 5000192
        connection.close()


@pytest.mark.parametrize("n", [1, 20])
def test_an_answer_does_not_wait_for_a_slow_request_behind_it(server, tmp_path, n):
    site = server("behaviours:app")
    with site.connect() as connection:
        connection.send(request(target="/hello") * n + request(target=f"/waiting?path={tmp_path}/go"))
        for _ in range(n):
            assert connection.read_response().status == 200
        (tmp_path / "go").touch()
        assert connection.read_response().body == b"done"


def test_exceptions_stay_with_their_request(server):
    site = server("behaviours:app", workers_threads=4)
    pid = state(site)["pid"]
    connections = [site.connect() for _ in range(40)]
    targets = ["/hello", "/raises?when=before", "/raises?when=started&what=SystemExit", "/stream"] * 10
    for connection, target in zip(connections, targets):
        connection.send(request(target=target))
    statuses = []
    for connection in connections:
        statuses.append(connection.read_response().status)
        connection.close()
    assert statuses == [200, 500, 500, 200] * 10
    assert state(site)["pid"] == pid


def test_several_workers_share_the_listener(server, tmp_path):
    """Requests that wait in one worker leave the others free."""
    site = server("behaviours:app", workers_count=3)
    slow = []
    for begun in (tmp_path / "first", tmp_path / "second"):
        slow.append(site.connect())
        slow[-1].send(request(target=f"/waiting?path={tmp_path}/go&begun={begun}"))
        poll(begun.exists)
    assert site.get("/hello").status == 200
    (tmp_path / "go").touch()
    for connection in slow:
        assert connection.read_response().body == b"done"
        connection.close()


THREADS = """
import json, os, threading, time

def app(environ, start_response):
    if environ["PATH_INFO"] == "/wait":
        open(f'{environ["QUERY_STRING"]}.{threading.get_native_id()}', "w").close()
        while os.path.exists(environ["QUERY_STRING"]):
            time.sleep(0.002)
    names = {task: open(f"/proc/self/task/{task}/comm").read().strip() for task in os.listdir("/proc/self/task")}
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({
        "python": threading.current_thread().name, "system": names[str(threading.get_native_id())],
        "all": sorted(names.values()), "is_main": os.getpid() == threading.get_native_id(),
        "environ": [environ["wsgi.multithread"], environ["wsgi.multiprocess"]]}).encode()]
"""


@of_threads
def test_names_of_threads(server, tmp_path):
    """As top -H, py-spy and faulthandler show them."""
    site = server(THREADS, workers_threads=3)
    (tmp_path / "gate").touch()
    connections = [site.connect() for _ in range(3)]
    for connection in connections:
        connection.send(request(target=f"/wait?{tmp_path}/gate"))
    poll(lambda: len(list(tmp_path.glob("gate.*"))) == 3, "all threads to be in the application")
    (tmp_path / "gate").unlink()
    seen = {}
    for connection in connections:
        answer = json.loads(connection.read_response().body)
        seen[answer["python"]] = answer["system"]
        assert {"runner-1", "runner-2", "spare"} <= set(answer["all"])
        assert (answer["python"] == "MainThread") == answer["is_main"]
        connection.close()
    assert set(seen) == {"MainThread", "runner-1", "runner-2"}
    assert all(name == seen[name] for name in ("runner-1", "runner-2"))


@of_threads
@pytest.mark.parametrize(
    "config, expected",
    [
        ({}, [False, False]),
        ({"workers_threads": 2}, [True, False]),
        ({"workers_count": 2}, [False, True]),
        ({"workers_count": 1, "workers_max": 2}, [False, True]),
        ({"workers_count": 2, "workers_max": 2, "workers_min": 1, "workers_threads": 2}, [True, True]),
        ({"workers_count": 3, "workers_max": 1}, [False, False]),
    ],
    ids=["1 thread", "2 threads", "2 workers", "up to 2 workers", "1 to 2 workers of 2 threads", "1 worker at most"],
)
def test_environ_tells_what_runs_at_once(server, config, expected):
    assert json.loads(server(THREADS, **config).get().body)["environ"] == expected
