# SPDX-License-Identifier: MIT
"""service.idle_exit: when a site exits, when not, and that nobody is lost by it. The test plays systemd: it holds the
listening socket, and starts the next instance."""
import contextlib
import os
import signal
import socket
import time

from client import request
from harness import Server, running
from supervision import APP, SLOW, in_background, notified, processes, release, reload, wait_for_file, workers, write_app
from test_supervisor import Foreground, ask

IDLE = "200ms"
LONG_IDLE = "2s"
PINGS = {"WATCHDOG_USEC": "500000"}  # a message each quarter of a second, longer than IDLE


def start(start_server, **config):
    return start_server(APP, {"service_idle_exit": IDLE, **config}, environment=PINGS)


@contextlib.contextmanager
def asked(octets=request(target="/wait"), unix=False, **config):
    """A site, and a connection with those octets that waited for it: one that comes later might find it gone."""
    server = Server(APP, {"service_idle_exit": IDLE, **config}, environment=PINGS, unix=unix)
    with server.connect() as connection:
        connection.send(octets)
        server.start()
        try:
            yield server, connection
        finally:
            server.stop()


def stays(server):
    """For longer than service.idle_exit, by what the supervisor says meanwhile."""
    n = server.notify.lines().count("WATCHDOG=1")
    notified(server, "^WATCHDOG=1$", n + 2)
    assert "STOPPING=1" not in server.notify.lines()


def exits(server, idle=IDLE):
    assert server.wait() == 0
    assert "STOPPING=1" in server.notify.lines()
    assert f"No request for service.idle_exit={idle}" in server.log()
    assert not processes(server)


def next_instance(server, app=APP):
    """On the sockets of one that has ended; for a with statement. Should it not get to all who wait for it in time, nobody
    would start another."""
    return running(app, {"service_idle_exit": LONG_IDLE}, listeners=server.listeners)


def test_without_a_request(start_server):
    exits(start(start_server))


def test_after_a_request():
    with asked(workers_count=2) as (server, connection):
        wait_for_file(server, "waiting")
        begun = time.monotonic()
        release(server, "waiting")
        assert connection.read_response().status == 200
        exits(server)
        assert time.monotonic() - begun >= 0.2
        assert "Stopped after 1 requests" in server.log()


def test_not_during_a_request():
    with asked(workers_count=2) as (server, connection):
        wait_for_file(server, "waiting")
        stays(server)
        release(server, "waiting")
        assert connection.read_response().status == 200
        exits(server)


def test_not_while_a_client_sends():
    with asked(b"GET / HTTP/1.1\r\nHost: ") as (server, connection):
        stays(server)
        connection.send(b"a\r\n\r\n")
        assert connection.read_response().status == 200
        exits(server)


def test_not_during_a_reload():
    with asked() as (server, connection):
        wait_for_file(server, "waiting")
        write_app(server, SLOW)
        reload_thread, _ = in_background(reload, server)
        wait_for_file(server, "importing")
        release(server, "waiting")
        assert connection.read_response().status == 200
        stays(server)
        release(server, "importing")
        reload_thread.join()
        exits(server)


def test_not_while_somebody_waits_to_be_accepted(start_server):
    """The workers have no time for it yet."""
    server = start_server(APP, {"service_idle_exit": LONG_IDLE, "workers_count": 1}, environment=PINGS)
    (pid,) = workers(server)
    os.kill(pid, signal.SIGSTOP)
    with server.connect() as connection:
        connection.send(request())
        n = server.notify.lines().count("WATCHDOG=1")
        notified(server, "^WATCHDOG=1$", n + 10)
        os.kill(pid, signal.SIGCONT)
        assert connection.read_response().status == 200
        exits(server, LONG_IDLE)


def test_open_connections_are_idle_without_a_request():
    """Kept alive, and never used: else one browser would keep a site up. (TCP keeps the unused one from workers for longer
    than the site is up.)"""
    with asked(unix=True) as (server, used):
        wait_for_file(server, "waiting")
        with server.connect() as unused:
            release(server, "waiting")
            assert used.read_response().status == 200
            exits(server)
            for connection in used, unused:
                assert connection.at_end()


def test_a_silent_client_waits_in_the_kernel(start_server):
    """It is not known to the instance that exits, and loses nothing by that."""
    server = start(start_server)
    server.listeners[0].setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 60)
    with server.connect() as silent:
        exits(server)
        silent.send(request())
        with next_instance(server) as following:
            assert server.listeners[0].getsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT) >= 60, "DeferAcceptSec="
            assert silent.read_response().status == 200
            exits(following, LONG_IDLE)


def test_the_next_instance_answers_whoever_came_late(start_server):
    server = start(start_server)
    notified(server, "^STOPPING=1")
    with server.connect() as at_its_end:
        at_its_end.send(request())
        assert server.wait() == 0
        with server.connect() as after:
            after.send(request())
            with next_instance(server) as following:
                assert [at_its_end.read_response().status, after.read_response().status] == [200, 200]
                exits(following, LONG_IDLE)


def test_stop_leaves_who_waits_to_the_next_instance(start_server):
    """A busy worker accepts nobody whom it may not get to serve."""
    server = start_server(APP, {"workers_count": 1})
    thread, result = in_background(server.get, "/wait")
    wait_for_file(server, "waiting")
    with contextlib.ExitStack() as stack:
        waiting = []
        for _ in range(8):
            waiting.append(stack.enter_context(server.connect()))
            waiting[-1].send(request())
        server.signal(signal.SIGTERM)
        notified(server, "^STATUS=Stopping: 1 workers, 1 requests to finish$")  # the worker was told
        release(server, "waiting")
        assert server.wait() == 0
        thread.join()
        assert result["value"].body == b"one"
        stack.enter_context(next_instance(server, APP.replace('"one"', '"two"')))
        answers = [connection.read_response().body for connection in waiting]
        assert answers == sorted(answers) and set(answers) <= {b"one", b"two"} and answers[-1] == b"two", answers


def test_ignored_where_nobody_would_start_it_again(tmp_path, port):
    arguments = ["-w1", "-b", f"127.0.0.1:{port}", "--set", "service.idle_exit=100ms", "--set", "timeouts.graceful=1s"]
    with Foreground(tmp_path, *arguments, "source_app:app") as server:
        server.wait_for_log("service.idle_exit is ignored: no service manager holds the sockets")
        server.wait_for_log("Ready")
        assert ask(socket.AF_INET, ("127.0.0.1", port)).endswith(b"one")
        server.stop()
