# SPDX-License-Identifier: MIT
"""The PROXY protocol: who may say what about a connection, and what becomes of it. HAProxy: test_haproxy.py."""
import functools
import ipaddress
import json
import signal
import socket
import struct

import pytest

from client import Connection, request
from harness import DEADLINE, poll

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
V1 = b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n"
HTTPS = b"\x20\0\x05\x01\0\0\0\0"
LOCAL = SIGNATURE + b"\x20\0\0\0"
UNKNOWN = b"PROXY UNKNOWN\r\n"


def v2(source="192.0.2.7", destination="198.51.100.1", values=b"", ports=(56324, 443)):
    ends = [ipaddress.ip_address(source), ipaddress.ip_address(destination)]
    block = ends[0].packed + ends[1].packed + struct.pack("!HH", *ports) + values
    family = 0x11 if ends[0].version == 4 else 0x21
    return SIGNATURE + struct.pack("!BBH", 0x21, family, len(block)) + block


def v2_unix(source=b"/run/client"):
    block = source.ljust(108, b"\0") + b"/run/proxy".ljust(108, b"\0")
    return SIGNATURE + struct.pack("!BBH", 0x21, 0x31, len(block)) + block


@pytest.fixture
def proxied(server):
    return functools.partial(server, "echo:app", proxy_protocol="all")


def environ_of(response):
    assert response.status == 200, response
    return json.loads(response.body)["environ"]


def ends_of(environ):
    """Who asked whom, as the application sees it."""
    names = ("REMOTE_ADDR", "REMOTE_PORT", "SERVER_NAME", "SERVER_PORT", "wsgi.url_scheme")
    return tuple(environ.get(name) for name in names)


def seen(site, header, *fields):
    with site.connect() as connection:
        connection.send(header + request("GET", "/", *fields))
        return ends_of(environ_of(connection.read_response()))


def assert_refused(site, octets):
    """Closed, with a RST where something was not read, and nothing is said."""
    with site.connect() as connection:
        connection.send(octets)
        assert connection.wait_gone() == 0


CLIENT = ("192.0.2.7", "56324", "198.51.100.1", "443", "http")


@pytest.mark.parametrize("unix", [False, True])
@pytest.mark.parametrize(
    "header, expected",
    [
        (V1, CLIENT),
        (b"PROXY TCP6 2001:db8::7 2001:db8::1 1 65535\r\n", ("2001:db8::7", "1", "2001:db8::1", "65535", "http")),
        (b"PROXY TCP6 ::ffff:192.0.2.7 ::ffff:198.51.100.1 56324 443\r\n", CLIENT),
        (v2(), CLIENT),
        (v2("2001:db8::7", "2001:db8::1"), ("2001:db8::7", "56324", "2001:db8::1", "443", "http")),
        (v2(values=HTTPS), CLIENT[:4] + ("https",)),
        (v2(values=b"\x04\0\x03..." + HTTPS + b"\xe0\0\0"), CLIENT[:4] + ("https",)),
        (v2(values=b"\x20\0\x05\x06\0\0\0\0"), CLIENT),
    ],
)
def test_addresses(proxied, unix, header, expected):
    assert seen(proxied(unix=unix), header) == expected


@pytest.mark.parametrize("header", [LOCAL, UNKNOWN, SIGNATURE + b"\x21\0\0\0"])
def test_without_addresses(proxied, header):
    """The connection's own are as good as any."""
    site = proxied()
    with site.connect() as connection:
        own = connection.socket.getsockname()
        connection.send(header + request())
        assert ends_of(environ_of(connection.read_response())) == (
            own[0],
            str(own[1]),
            "127.0.0.1",
            str(site.port),
            "http",
        )
    assert seen(proxied(unix=True), header) == ("", None, "localhost", "80", "http")


@pytest.mark.parametrize("unix", [False, True])
def test_client_on_a_unix_socket(proxied, unix):
    address, port, _, _, scheme = seen(proxied(unix=unix), v2_unix())
    assert (address, port, scheme) == ("", None, "http")


@pytest.mark.parametrize("address", ["::1", "::"])
def test_ipv6_listener(start_server, address):
    """A wildcard too, where the destination takes the place of each connection's own address."""
    listener = socket.create_server((address, 0), family=socket.AF_INET6, backlog=16)
    site = start_server(
        "echo:app", {"proxy_protocol": f"[{address}]:{listener.getsockname()[1]}"}, listeners=[listener]
    )
    for header, expected in [(V1, CLIENT), (v2(), CLIENT)]:
        with Connection(socket.AF_INET6, ("::1", site.port), timeout=DEADLINE) as connection:
            connection.send(header + request())
            assert ends_of(environ_of(connection.read_response())) == expected
    with Connection(socket.AF_INET6, ("::1", site.port), timeout=DEADLINE) as connection:
        connection.send(LOCAL + request())
        assert ends_of(environ_of(connection.read_response()))[2:4] == ("::1", str(site.port))


@pytest.mark.parametrize("header", [V1, v2("2001:db8::7", "2001:db8::1", HTTPS)])
def test_every_split(proxied, header):
    site = proxied()
    octets = header + request("GET", "/", "Connection: close")
    expected = seen(site, header)
    for at in range(1, len(octets)):
        with site.connect() as connection:
            connection.send(octets[:at])
            connection.send(octets[at:])
            assert ends_of(environ_of(connection.read_response())) == expected, at


@pytest.mark.parametrize("header", [V1, v2(values=HTTPS)])
def test_octet_by_octet(proxied, header):
    with proxied().connect() as connection:
        connection.send_slowly(header + request())
        assert ends_of(environ_of(connection.read_response()))[:4] == CLIENT[:4]


def test_the_longest_header(proxied):
    padding = b"\x04" + struct.pack("!H", 4096 - 16 - 12 - 3)
    header = v2(values=padding + bytes(4096 - 16 - 12 - 3))
    assert len(header) == 4096 and seen(proxied(), header) == CLIENT
    assert_refused(proxied(), v2(values=padding + bytes(4096)))


def test_pipelining_and_keep_alive(proxied):
    """One header a connection; all its requests are that client's."""
    with proxied().connect() as connection:
        connection.send(V1 + request(target="/1") + request("POST", "/2", body=b"body") + request(target="/3"))
        for number in "123":
            environ = environ_of(connection.read_response())
            assert environ["PATH_INFO"] == f"/{number}" and ends_of(environ) == CLIENT
        for number in "45":
            assert ends_of(environ_of(connection.request("GET", f"/{number}"))) == CLIENT


def test_a_second_header(proxied):
    """It is a request, and none: the client may have sent it."""
    with proxied().connect() as connection:
        connection.send(V1 + V1 + request())
        assert connection.read_response().status == 400
        connection.assert_closed()
    with proxied().connect() as connection:
        connection.send(V1)
        assert ends_of(environ_of(connection.request())) == CLIENT
        connection.send(v2("192.0.2.8") + request())
        assert connection.read_response().status in (400, 505)
        connection.assert_closed()


@pytest.mark.parametrize("unix", [False, True])
@pytest.mark.parametrize(
    "octets",
    [
        request(),
        b"\r\n" + V1 + request(),
        b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\n" + request(),
        b"PROXY TCP4 192.0.2.07 198.51.100.1 56324 443\r\n" + request(),
        b"PROXY TCP4 192.0.2.7  198.51.100.1 56324 443\r\n" + request(),
        b"PROXY UNKNOWN " + bytes(200),
        v2(values=b"\x03\0\x04\0\0\0\0") + request(),
        v2(values=b"\x20\0\x05\x01") + request(),
        SIGNATURE + b"\x22\x11\0\x0c" + bytes(12) + request(),
        SIGNATURE + b"\x21\x12\0\x0c" + bytes(12) + request(),
        SIGNATURE + b"\x21\x11\xff\xff",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
def test_absent_or_malformed(proxied, unix, octets):
    assert_refused(proxied(unix=unix), octets)
    assert seen(proxied(unix=unix), V1) == CLIENT


@pytest.mark.parametrize("size", [0, 1, 5, 20, len(V1) - 1])
def test_an_end_within_the_header(proxied, size):
    with proxied().connect() as connection:
        connection.send(V1[:size])
        connection.send_end()
        connection.assert_closed()


@pytest.mark.parametrize("sent", [b"", V1[:20], v2()[:20], V1])
def test_timeout(proxied, sent):
    """timeouts.head is for the header too, and nothing is answered before a request begins."""
    with proxied(timeouts_head="1s").connect() as connection:
        connection.send(sent)
        connection.assert_closed()


def test_timeout_of_a_request(proxied):
    with proxied(timeouts_head="1s").connect() as connection:
        connection.send(V1 + b"GET / HTTP/1.1\r\n")
        assert connection.read_response().status == 408
        connection.assert_closed()


@pytest.mark.parametrize("unix, trusted", [(False, "unix 192.0.2.0/24"), (True, "127.0.0.1"), (False, "")])
def test_strangers(proxied, unix, trusted):
    """Whatever they send."""
    site = proxied(unix=unix, proxy_trusted=trusted)
    for octets in (V1 + request(), v2() + request(), request(), LOCAL):
        with site.connect() as connection:
            try:
                connection.send(octets)
            except (BrokenPipeError, ConnectionResetError):
                continue
            assert connection.wait_gone() == 0


def test_what_is_noted(start_server):
    """Once a minute of each kind, so that nobody can fill the journal."""
    site = start_server("echo:app", {"proxy_protocol": "all", "proxy_trusted": "127.0.0.1"})
    for _ in range(3):
        assert_refused(site, request())
        with socket.create_connection(site.address, source_address=("127.0.0.2", 0)) as stranger:
            assert stranger.recv(1) == b""
    assert seen(site, V1) == CLIENT
    assert site.log().count("Closed a connection from 127.0.0.1: something else, where proxy.protocol") == 1
    assert site.log().count("Closed a connection from 127.0.0.2: ") == 1


def test_fields_of_the_client_are_not_believed(proxied):
    """The proxy passes on what it does not read: they are the word of whoever it names."""
    site = proxied()
    fields = ["X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: https"]
    for header in (V1, v2()):
        assert seen(site, header, *fields) == CLIENT
    for header in (UNKNOWN, SIGNATURE + b"\x21\0\0\0", v2_unix()):
        address, _, _, _, scheme = seen(site, header, *fields)
        assert (address, scheme) == ("" if header == v2_unix() else "127.0.0.1", "http")


def test_fields_of_a_trusted_client_are_believed(proxied):
    """It is a proxy itself, and what it saw is nearer to the client than its own connection."""
    site = proxied(proxy_trusted="127.0.0.1 192.0.2.0/24")
    assert seen(site, V1, "X-Forwarded-For: 203.0.113.9", "X-Forwarded-Proto: https")[::4] == (
        "203.0.113.9",
        "https",
    )
    assert seen(site, v2(values=HTTPS), "X-Forwarded-Proto: http")[4] == "http"
    assert seen(site, v2(values=HTTPS), "X-Forwarded-For: 203.0.113.9")[::4] == ("203.0.113.9", "https")
    assert seen(site, LOCAL, "X-Forwarded-For: 203.0.113.9")[0] == "203.0.113.9"


def test_connections_of_one_client(proxied):
    """The client's count, not the proxy's."""
    site = proxied(limits_connections_per_ip="2")
    with site.connect() as first, site.connect() as second, site.connect() as other:
        first.send(V1 + request())
        assert first.read_response().status == 200
        second.send(v2() + request())
        assert second.read_response().status == 200
        assert_refused(site, V1 + request())
        other.send(v2("192.0.2.8") + request())
        assert other.read_response().status == 200
        assert seen(site, LOCAL)[0] == "127.0.0.1"
    site.wait_for_log("192.0.2.7 .*limits.connections_per_ip")


def test_access_log(start_server, tmp_path):
    log = tmp_path / "access.log"
    config = {"proxy_protocol": "all", "log_access": log, "log_access_format": "%(h)s %({REMOTE_PORT}e)s %(s)s"}
    site = start_server("echo:app", {**config, "workers_count": 1})  # each writes its lines when it gets to that
    assert seen(site, V1) == CLIENT
    with site.connect() as connection:
        connection.send(V1 + b"nonsense\r\n\r\n")
        assert connection.read_response().status == 400
    assert_refused(site, request())
    assert seen(site, v2("192.0.2.8")) == ("192.0.2.8",) + CLIENT[1:]
    lines = poll(lambda: log.read_text().splitlines()[2:] and log.read_text().splitlines(), "the last line")
    assert lines == ["192.0.2.7 56324 200", "192.0.2.7 56324 400", "192.0.2.8 56324 200"]


def two_listeners(directory):
    tcp = socket.create_server(("127.0.0.1", 0), backlog=16)
    unix = socket.socket(socket.AF_UNIX)
    unix.bind(str(directory / "socket"))
    unix.listen(16)
    return tcp, unix


@pytest.mark.parametrize("form", ["{port}", "127.0.0.1:{port}", "{path}"])
def test_some_listeners(start_server, tmp_path, form):
    """The others take no header."""
    tcp, unix = two_listeners(tmp_path)
    word = form.format(port=tcp.getsockname()[1], path=tmp_path / "socket")
    start_server("echo:app", {"proxy_protocol": word}, listeners=[tcp, unix])
    for listener in (tcp, unix):
        with Connection(listener.family, listener.getsockname(), timeout=DEADLINE) as connection:
            connection.send(V1 + request())
            if word.startswith("/") == (listener is unix):
                assert ends_of(environ_of(connection.read_response())) == CLIENT
            else:
                assert connection.read_response().status == 400


def test_a_word_for_no_listener(start_server):
    """Its listener would be served without the header, or not at all: that is no matter of a warning."""
    with pytest.raises(AssertionError, match=r"proxy\.protocol: 127\.0\.0\.1:1 is none of the sockets(.|\n)*http://127\.0\.0\.1:"):
        start_server("echo:app", {"proxy_protocol": "all 127.0.0.1:1"})


def test_a_reload_with_a_word_for_no_listener(start_server):
    """The former configuration serves on, and a right one is taken."""
    ini = "[proxy]\nprotocol = {}\n"
    site = start_server("echo:app", ini=ini.format("all"))
    for word, pattern in [("127.0.0.1:1", "127.0.0.1:1 is none of"), ("", "Generation .* serves, with")]:
        assert seen(site, V1) == CLIENT
        start = len(site.log())
        (site.directory / "site.ini").write_text(ini.format(word))
        site.signal(signal.SIGHUP)
        site.wait_for_log(pattern, start)
    assert environ_of(site.get())["REMOTE_ADDR"] == "127.0.0.1"


@pytest.mark.parametrize("word", ["everything", "localhost:8000", "127.0.0.1", "unix:/run/x.sock", "70000"])
def test_a_bad_word(start_server, word):
    with pytest.raises(AssertionError, match=r"exited with 78(.|\n)*proxy\.protocol"):
        start_server("echo:app", {"proxy_protocol": word})
