# SPDX-License-Identifier: MIT
"""Slow and hostile clients leave the service available to all others."""
import contextlib
import json

from client import request

# --- fairness -------

# Takes half a millisecond for each request, and says in which order they came.
ORDERED = """
import json, time

calls = []

def app(environ, start_response):
    path = environ["PATH_INFO"]
    start_response("200 OK", [("Content-Type", "text/plain")])
    if path == "/calls":
        return [json.dumps(calls).encode()]
    calls.append(path)
    time.sleep(0.0005)
    return [b"ok"]
"""


def test_pipelining_clients_leave_room_for_others(start_server):
    """20 clients with 200 requests each are there first; a newcomer's turn comes long before their last."""
    site = start_server(ORDERED)
    with contextlib.ExitStack() as stack:
        greedy = [stack.enter_context(site.connect()) for _ in range(20)]
        for connection in greedy:
            connection.send(request(target="/greedy") * 200)
        greedy[0].wait_readable()
        for _ in range(3):
            assert site.get("/newcomer").body == b"ok"
        for connection in greedy:
            for _ in range(200):
                assert connection.read_response().body == b"ok"
    calls = json.loads(site.get("/calls").body)
    assert len(calls) == 4003
    last = max(index for index, path in enumerate(calls) if path == "/newcomer")
    assert last < 2000, f"served after {last} requests of others"


def test_pipelining_clients_take_turns(start_server):
    """Each connection has one request answered before any has the next."""
    site = start_server(ORDERED)
    with contextlib.ExitStack() as stack:
        blocker = stack.enter_context(site.connect())
        blocker.send(request(target="/blocker") * 400)
        blocker.wait_readable()
        greedy = [stack.enter_context(site.connect()) for _ in range(4)]
        for number, connection in enumerate(greedy):
            connection.send(request(target=f"/{number}") * 10)
        for connection in greedy:
            for _ in range(10):
                connection.read_response()
        for _ in range(400):
            blocker.read_response()
    calls = json.loads(site.get("/calls").body)
    for number in range(4):
        places = [index for index, path in enumerate(calls) if path == f"/{number}"]
        others = [path for path in calls[places[0] : places[-1]] if path == "/blocker"]
        assert len(others) >= 5, f"/{number} was served without a pause"
