# SPDX-License-Identifier: MIT
"""What the machine runs out of: file descriptors, room for spooled bodies."""
import fcntl
import json
import os
import socket
import subprocess

import pytest

from client import Truncated, request
from harness import DEADLINE, Server, of_threads, poll
from supervision import workers

# Requests wait in it until the pipe has a writer, so that their connections can't be closed to make room.
GATE = """
import os, threading

gate = threading.Event()

def watch():
    with open(os.environ["GATE"]):
        gate.set()

threading.Thread(target=watch, daemon=True).start()

def app(environ, start_response):
    if environ["PATH_INFO"] != "/pid":
        gate.wait(60)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
"""


@pytest.fixture
def exhausted(start_server, tmp_path):
    """A server with more clients than descriptors, its worker's process, the clients, and what opens the gate."""
    os.mkfifo(tmp_path / "gate")
    site = start_server(
        GATE, {"workers_threads": "100"}, nofile=64, environment={"GATE": str(tmp_path / "gate")}
    )
    pid = int(site.get("/pid").body)
    connections = [site.connect() for _ in range(100)]
    for connection in connections:
        connection.send(request("GET", "/", "Connection: close"))
    site.wait_for_log("(?i)too many open files")
    yield site, pid, connections, lambda: open(tmp_path / "gate", "w").close()
    for connection in connections:
        connection.close()


@of_threads
def test_descriptors_run_out(exhausted):
    """accept pauses and resumes: everybody is served in the end, and it is said once."""
    site, _, connections, open_gate = exhausted
    assert not any(connection.is_readable() for connection in connections)
    open_gate()
    for connection in connections:
        assert connection.read_response().status == 200
        connection.assert_closed()
    assert site.get().status == 200
    lines = [line for line in site.log().splitlines() if "too many open files" in line.lower()]
    assert len(lines) == 1, lines


def ticks(pid):
    """The time that a process has computed, in hundredths of a second."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


@of_threads
def test_waiting_for_descriptors_is_no_busy_loop(exhausted):
    site, pid, connections, open_gate = exhausted

    before = ticks(pid)
    with pytest.raises(TimeoutError):
        connections[-1].socket.settimeout(2)
        connections[-1].socket.recv(1)
    assert ticks(pid) - before < 50, "of 200 ticks"
    open_gate()
    connections[-1].socket.settimeout(DEADLINE)
    assert connections[-1].read_response().status == 200


def test_clients_that_left_cost_nothing(start_server):
    """No busy loop over connections that ended in one way or another (CVE-2024-49769)."""
    site = start_server("behaviours:app")
    pid = json.loads(site.get("/state").body)["pid"]
    octets = [b"", b"GET", request(), request(target="/big?size=8000000"), b"bad\r\n\r\n" + request() * 100]
    left = []
    for end in ("close", "reset", "send_end"):
        for sent in octets:
            connection = site.connect(receive_buffer=4096)
            connection.send(sent)
            getattr(connection, end)()
            left.append(connection)
    with site.connect() as idle:
        before = ticks(pid)
        with pytest.raises(TimeoutError):
            idle.socket.settimeout(1)
            idle.socket.recv(1)
        assert ticks(pid) - before < 50, "of 100 ticks"
    for connection in left:
        connection.close()
    assert site.get("/hello").status == 200


def unlinked_files(pid):
    """How many files without a name a process has open."""
    links = []
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            links.append(os.readlink(f"/proc/{pid}/fd/{fd}"))
        except FileNotFoundError:  # closed meanwhile
            pass
    return sum(link.startswith("/") and link.endswith(" (deleted)") for link in links)


def test_bodies_of_many_clients_share_memory(start_server):
    """Each of them alone has room in memory, all together have not."""
    site = start_server("echo:app", {"limits_memory": "16M", "limits_body_memory": "1M"})
    (worker,) = workers(site)
    before = unlinked_files(worker)
    body = b"x" * 900_000
    octets = request("POST", body=body)
    connections = [site.connect() for _ in range(40)]
    for connection in connections:
        connection.send(octets[:-1])
    poll(lambda: unlinked_files(worker) - before >= 10, "files for what memory has no room for")
    assert unlinked_files(worker) - before < 40, "files although there was memory"
    for connection in connections:
        connection.send(octets[-1:])
        assert connection.read_response().status == 200
        connection.close()
    poll(lambda: unlinked_files(worker) == before, "files left behind")
    with site.connect() as connection:
        connection.send(octets[:-1])
        assert site.get(method="POST", body=b"y").status == 200
        assert unlinked_files(worker) == before, "the memory was not given back"


def test_memory_of_abandoned_bodies(start_server):
    """Whoever goes away in the middle of an upload takes nothing from the others."""
    site = start_server("echo:app", {"limits_memory": "16M", "limits_body_memory": "1M"})
    (worker,) = workers(site)
    before = unlinked_files(worker)
    body = b"x" * 900_000
    for _ in range(40):
        connection = site.connect()
        connection.send(request("POST", body=body)[:500_000])
        assert site.get(method="POST", body=b"y").status == 200  # meanwhile it has been received
        connection.reset()
    with site.connect() as connection:
        connection.send(request("POST", body=body)[:-1])
        assert site.get(method="POST", body=b"y").status == 200
        assert unlinked_files(worker) == before, "the memory was not given back"
        connection.send(body[-1:])
        assert connection.read_response().status == 200


def test_no_directory_to_spool_into(start_server, tmp_path):
    site = start_server(
        "echo:app", {"limits_body_memory": "4K"}, environment={"CACHE_DIRECTORY": str(tmp_path / "nowhere")}
    )
    for _ in range(2):
        assert site.get(method="POST", body=b"x" * 10000).status == 503
        assert site.get(method="POST", body=b"x" * 1000).status == 200
    site.wait_for_log("nowhere.*No such file or directory")


@pytest.mark.parametrize("reader", ["asleep", "gone"])
def test_log_that_nobody_reads(start_server, reader):
    """A journal that is stuck, or died, stops no request; when it is read again, it is told what it missed."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    site = start_server("behaviours:app", output=writing)
    os.close(writing)
    if reader == "gone":
        os.close(reading)
    for _ in range(100):  # some hundred octets each
        with site.connect() as connection:
            connection.send(b"GET /a-target-of-some-length HTTP/1.1\r\n\r\n")
            assert connection.read_response().status == 400
        assert site.get("/raises?when=before").status == 500
    assert site.get("/hello").status == 200
    if reader == "asleep":
        os.set_blocking(reading, False)
        log = b""
        while b" messages lost" not in log:
            assert site.get("/raises?when=before").status == 500
            try:
                log += os.read(reading, 65536)
            except BlockingIOError:
                pass
        os.close(reading)


def can_mount():
    return (
        subprocess.run(
            ["unshare", "-m", "sh", "-c", "mount -t tmpfs tmpfs /mnt"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ).returncode
        == 0
    )


@pytest.fixture
def small_disk(tmp_path):
    """A server whose CACHE_DIRECTORY has room for 256 KiB."""
    if not can_mount():
        pytest.skip("a tmpfs can't be mounted here")
    directory = tmp_path / "cache"
    directory.mkdir()
    server = Server(
        "behaviours:app",
        {"limits_body_memory": "16K", "limits_response_memory": "16K"},
        environment={"CACHE_DIRECTORY": str(directory)},
        wrapper=[
            "unshare",
            "-m",
            "sh",
            "-c",
            f'mount -t tmpfs -o size=256k tmpfs "{directory}" && exec "$@"',
            "sh",
        ],
    )
    yield server
    server.stop()


def test_disk_full_while_spooling_a_body(small_disk):
    small_disk.app = "echo:app"
    site = small_disk.start()
    pid = json.loads(site.get().body)["pid"]
    start = len(site.log())
    for number in range(3):
        with site.connect() as connection:
            connection.send(request("POST", "/", "Content-Length: 1000000"))
            sent = 0
            while sent < 1000000 and not connection.is_readable():
                connection.send(b"x" * 10000)
                sent += 10000
            response = connection.read_response()
            assert response.status == 503 and response.closes
            connection.wait_gone()
        answer = json.loads(site.get(method="POST", body=b"x" * 200000).body)
        assert answer["length"] == 200000, "the room is free again"
        assert answer["pid"] == pid
    site.wait_for_log("(?i)no space left", start)


def test_disk_full_while_a_response_waits(small_disk):
    """The slow client gets all of its response or a cut one; nobody else notices."""
    site = small_disk.start()
    pid = json.loads(site.get("/state").body)["pid"]
    with site.connect(receive_buffer=4096) as slow:
        slow.send(request("GET", "/big?size=8000000&key=disk", "Connection: close"))
        slow.wait_readable()
        poll(lambda: json.loads(site.get("/state").body)["closes"].get("disk"), "close()")
        try:
            assert len(slow.read_response().body) == 8000000
        except (Truncated, ConnectionResetError):
            pass  # cut, and the client can tell
    assert json.loads(site.get("/state").body)["pid"] == pid


def test_connections_of_one_client(server):
    """More are closed, those that are there and those of others go on; one that ends makes room."""
    site = server("echo:app", limits_connections_per_ip="2", proxy_trusted="unix")
    with site.connect() as first, site.connect() as second:
        assert first.request().status == 200 and second.request().status == 200
        with site.connect() as third:
            third.assert_closed()
        with socket.create_connection(site.address, source_address=("127.0.0.2", 0)) as other:
            other.sendall(request())
            assert other.recv(12) == b"HTTP/1.1 200"
        assert first.request().status == 200
    site.wait_for_log("127.0.0.1 .*limits.connections_per_ip")

    def answers():
        try:
            return site.get().status == 200
        except (Truncated, ConnectionError):
            return False

    poll(answers, "room again")


def test_connections_of_a_trusted_proxy(server):
    site = server("echo:app", limits_connections_per_ip="1")
    with site.connect() as first, site.connect() as second:
        assert first.request().status == 200 and second.request().status == 200
