# SPDX-License-Identifier: MIT
"""log.access = FILE: a line a response, with gunicorn's atoms."""
import json
import re

import pytest

from client import request
from harness import poll

ALL_ATOMS = (
    "%(h)s|%(l)s|%(u)s|%(t)s|%(r)s|%(s)s|%(m)s|%(U)s|%(q)s|%(H)s|%(b)s|%(B)s|%(f)s|%(a)s|%(T)s|%(D)s|%(M)s|"
    "%(L)s|%(p)s|%({x-test}i)s|%({X-Test}i)s|%({missing}i)s|%({content-type}o)s|%({x-nothing}o)s|100%%"
)
NAMES = ("h l u t r s m U q H b B f a T D M L p x-test X-Test missing content-type x-nothing percent").split()


class Logged:
    """A server with an access log, and the lines that it wrote."""

    def __init__(self, start_server, tmp_path, app="behaviours:app", **config):
        self.path = tmp_path / "access.log"
        # One worker: each writes its lines when it gets to that, which may be after another's answer to the next request.
        self.server = start_server(app, {"log_access": self.path, "workers_count": 1, **config})

    def lines(self, count):
        poll(lambda: self.path.exists() and self.path.read_bytes().count(b"\n") >= count, f"{count} lines")
        data = self.path.read_bytes()
        assert data.endswith(b"\n")
        lines = data.split(b"\n")[:-1]
        assert len(lines) == count, lines
        return lines


@pytest.fixture
def logged(start_server, tmp_path):
    return Logged(start_server, tmp_path)


@pytest.fixture
def with_atoms(start_server, tmp_path):
    return Logged(start_server, tmp_path, log_access_format=ALL_ATOMS)


def atoms(line):
    values = line.decode("ascii").split("|")
    assert len(values) == len(NAMES), values
    return dict(zip(NAMES, values))


def test_default_format(logged):
    logged.server.get("/hello?a=b", "Referer: http://example.org/x", "User-Agent: test/1.0 (x; y)")
    line = logged.lines(1)[0].decode()
    assert re.fullmatch(
        r'127\.0\.0\.1 - - \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] "GET /hello\?a=b HTTP/1\.1" 200 14 '
        r'"http://example\.org/x" "test/1\.0 \(x; y\)"',
        line,
    ), line


def test_default_format_with_nothing_to_say(logged):
    logged.server.get("/status?line=204+No+Content")
    line = logged.lines(1)[0].decode()
    assert re.search(r'"GET /status\?line=204\+No\+Content HTTP/1\.1" 204 0 "-" "-"$', line), line


def test_all_atoms(with_atoms):
    server = with_atoms.server
    pid = json.loads(server.get("/state").body)["pid"]
    response = server.get(
        "/big?size=1024&key=x%20y",
        "X-Test: value",
        "Authorization: Basic dXNlcjpzZWNyZXQ=",
        "Referer: http://example.org/",
        "User-Agent: agent",
    )
    assert len(response.body) == 1024
    values = atoms(with_atoms.lines(2)[1])
    fixed = {name: value for name, value in values.items() if name not in "tTDML"}
    assert fixed == {
        "h": "127.0.0.1",
        "l": "-",
        "u": "user",
        "r": "GET /big?size=1024&key=x%20y HTTP/1.1",
        "s": "200",
        "m": "GET",
        "U": "/big",
        "q": "size=1024&key=x%20y",
        "H": "HTTP/1.1",
        "b": "1024",
        "B": "1024",
        "f": "http://example.org/",
        "a": "agent",
        "p": f"<{pid}>",
        "x-test": "value",
        "X-Test": "value",
        "missing": "-",
        "content-type": "text/plain",
        "x-nothing": "-",
        "percent": "100%",
    }
    assert values["t"].startswith("[") and values["t"].endswith("]")
    seconds, microseconds, milliseconds = int(values["T"]), int(values["D"]), int(values["M"])
    assert milliseconds == microseconds // 1000 and seconds == microseconds // 1000000
    assert re.fullmatch(r"\d+\.\d{6}", values["L"]) and round(float(values["L"]) * 1000000) == microseconds


@pytest.mark.parametrize(
    "name, value",
    [
        ("REQUEST_METHOD", "POST"),
        ("PATH_INFO", "/hello"),
        ("QUERY_STRING", "a=b"),
        ("SERVER_PROTOCOL", "HTTP/1.1"),
        ("REMOTE_ADDR", "192.0.2.7"),
        ("CONTENT_TYPE", "text/x-test"),
        ("CONTENT_LENGTH", "5"),
        ("HTTP_X_TEST", "value"),
        ("SERVER_NAME", "127.0.0.1"),
        ("wsgi.url_scheme", "https"),
        ("NOTHING", "-"),
    ],
)
def test_environ_atoms(start_server, tmp_path, name, value):
    """What the server itself puts into the environ."""
    logged = Logged(start_server, tmp_path, log_access_format=f"%({{{name}}}e)s")
    fields = [
        "X-Test: value",
        "X-Forwarded-For: 192.0.2.7",
        "X-Forwarded-Proto: https",
        "Content-Type: text/x-test",
    ]
    logged.server.get("/hello?a=b", *fields, method="POST", body=b"12345")
    assert logged.lines(1) == [value.encode()]


def test_duration_is_that_of_the_request(with_atoms, tmp_path):
    with with_atoms.server.connect() as connection:
        connection.send(request(target=f"/waiting?path={tmp_path}/go"))
        with pytest.raises(TimeoutError):
            connection.socket.settimeout(0.25)
            connection.socket.recv(1)
        connection.socket.settimeout(30)
        (tmp_path / "go").touch()
        connection.read_response()
    assert int(atoms(with_atoms.lines(1)[0])["D"]) >= 200000


def test_sizes_are_those_of_the_body(with_atoms):
    server = with_atoms.server
    with server.connect() as connection:
        connection.request("GET", "/hello")
        connection.request("HEAD", "/hello")
        connection.request("GET", "/stream?blocks=3&size=10")
        connection.request("GET", "/stream?length=15")
        connection.request("GET", "/iterable?kind=empty+list")
        connection.request("GET", "/status?line=304+Not+Modified")
    sizes = [(values["B"], values["b"]) for values in map(atoms, with_atoms.lines(6))]
    assert sizes == [(size, size) for size in ("14", "0", "30", "15", "0", "0")]


def test_octets_of_the_client_are_escaped(with_atoms):
    server = with_atoms.server
    server.get('/hello?a="b"\\c', 'X-Test: "quoted" \\ caf\xe9\tx', 'User-Agent: "', "Referer: \xff")
    line = with_atoms.lines(1)[0]
    assert not re.search(rb"[^\x20-\x7e]", line)
    values = atoms(line)
    assert (
        values["x-test"] == '\\"quoted\\" \\\\ caf\\xE9\\x09x'
        or values["x-test"] == '\\"quoted\\" \\\\ caf\\xe9\\x09x'
    )
    assert values["a"] == '\\"' and values["f"].lower() == "\\xff"
    assert values["q"] == 'a=\\"b\\"\\\\c'


def test_refused_requests_forge_no_lines(with_atoms):
    server = with_atoms.server
    for octets in (
        b'GET /\x1b[31m\nforged - - "GET / HTTP/1.1" 200 HTTP/1.1\r\nHost: a\r\n\r\n',
        b"GET /no-host HTTP/1.1\r\nUser-Agent: refused\r\n\r\n",
    ):
        with server.connect() as connection:
            connection.send(octets)
            assert connection.read_response().status == 400
    server.get("/hello")
    lines = poll(lambda: [line for line in with_atoms.path.read_bytes().split(b"\n") if line], "lines")
    poll(lambda: b"/hello" in with_atoms.path.read_bytes(), "the last line")
    lines = with_atoms.path.read_bytes().split(b"\n")[:-1]
    assert not any(re.search(rb"[^\x20-\x7e]", line) for line in lines)
    assert not any(line.startswith(b"forged") for line in lines)
    refused = [values for values in map(atoms, lines) if values["s"] == "400" and "/no-host" in values["r"]]
    assert len(refused) == 1


def test_failures_are_logged_once(with_atoms):
    with_atoms.server.get("/raises?when=before")
    with with_atoms.server.connect() as connection:
        connection.send(request(target="/raises?when=first"))
        connection.read_head()
        connection.wait_gone()
    statuses = [atoms(line)["s"] for line in with_atoms.lines(2)]
    assert statuses == ["500", "200"]


def test_address_is_that_of_the_client_behind_the_proxy(logged):
    logged.server.get("/hello", "X-Forwarded-For: 192.0.2.7")
    assert logged.lines(1)[0].startswith(b"192.0.2.7 - - ")


def test_lines_are_whole_with_several_workers(start_server, tmp_path):
    logged = Logged(start_server, tmp_path, workers_count=2, workers_threads=2)
    connections = [logged.server.connect() for _ in range(20)]
    for _ in range(10):
        for connection in connections:
            connection.send(request("GET", "/hello", "User-Agent: " + "x" * 500) * 5)
        for connection in connections:
            for _ in range(5):
                assert connection.read_response().status == 200
    for connection in connections:
        connection.close()
    for line in logged.lines(1000):
        assert re.fullmatch(rb'127\.0\.0\.1 - - \[[^]]+\] "GET /hello HTTP/1\.1" 200 14 "-" "x{500}"', line)


def test_file_is_appended_to(start_server, tmp_path):
    (tmp_path / "access.log").write_text("an older line\n")
    logged = Logged(start_server, tmp_path)
    logged.server.get("/hello")
    assert logged.lines(2)[0] == b"an older line"


def test_off_by_default(server):
    site = server("behaviours:app")
    start = len(site.log())
    site.get("/hello?unmistakable")
    assert "unmistakable" not in site.log()[start:]


def test_full_disk_does_not_stop_requests(start_server):
    """Lines that can't be written are dropped; the requests go on."""
    server = start_server("behaviours:app", {"log_access": "/dev/full"})
    for _ in range(20):
        assert server.get("/hello").status == 200
