# SPDX-License-Identifier: MIT
"""HTTP/1.1 as a client sees it (RFC 9110, RFC 9112): framing, persistence, limits, time-outs, clients that misbehave."""
import hashlib
import json
import os
import re
import socket
import time

import pytest

from client import Connection, Truncated, chunk, chunked, request
from harness import DEADLINE, poll, running
from requests_table import MARK, REFUSED
from supervision import inodes_of

IMF_FIXDATE = re.compile(r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT")


@pytest.fixture
def echo(server):
    return server("echo:app")


def echoed(response):
    assert response.status == 200, response
    return json.loads(response.body)


def calls(server):
    """How often the application was called, this call included."""
    return echoed(server.get())["calls"]


def counts(server):
    return json.loads(server.get("/state").body)


def assert_refusal(response, statuses):
    """One framed response of the server's own, which repeats nothing of the request."""
    assert response.status in statuses, response
    assert response.header("Connection") == "close"
    assert IMF_FIXDATE.fullmatch(response.header("Date"))
    assert response.header("Content-Type").startswith("text/plain")
    assert response.header("Content-Length") == str(len(response.body))
    assert response.body
    assert MARK.lower() not in response.body.lower()


# --- refusals ------


@pytest.mark.parametrize("octets, statuses", [pytest.param(o, s, id=n) for n, o, s in REFUSED])
def test_refused(echo, octets, statuses):
    before = calls(echo)
    with echo.connect() as connection:
        try:
            connection.send(octets)
        except (BrokenPipeError, ConnectionResetError):
            assert len(octets) > 65536, "refused before it was read"
        assert_refusal(connection.read_response(), statuses)
        if len(octets) > 65536:
            connection.wait_gone()  # what is drained is bounded
        else:
            connection.assert_closed()
    assert calls(echo) == before + 1


@pytest.mark.parametrize(
    "octets, statuses", [pytest.param(o, s, id=n) for n, o, s in REFUSED if len(o) < 500]
)
def test_refused_octet_by_octet(echo, octets, statuses):
    before = calls(echo)
    with echo.connect() as connection:
        try:
            connection.send_slowly(octets)
        except (BrokenPipeError, ConnectionResetError):
            pytest.fail("refused, and the connection reset while the client was sending")
        assert_refusal(connection.read_response(), statuses)
        connection.assert_closed()
    assert calls(echo) == before + 1


@pytest.mark.parametrize(
    "octets, status",
    [
        (b"GET /" + MARK + b" HTTP/1.1\r\n\r\n", 400),
        (b"GET /" + MARK + b" HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        (request("POST", "/", "Transfer-Encoding: chunked") + b"zz\r\n", 400),
        (request("POST", "/", "Content-Length: 99999999999999"), 413),
    ],
    ids=["400", "505", "400 in a body", "413"],
)
def test_refusal_survives_a_client_that_goes_on_sending(echo, octets, status):
    with echo.connect() as connection:
        connection.send(octets)
        connection.wait_readable()
        for _ in range(16):
            connection.send(b"x" * 2048)
        assert_refusal(connection.read_response(), {status})
        connection.assert_closed()


def test_nothing_behind_a_refused_request_is_processed(echo):
    before = calls(echo)
    with echo.connect() as connection:
        connection.send(b"GET / HTTP/1.1\r\n\r\n" + request() * 3)
        assert_refusal(connection.read_response(), {400})
        connection.assert_closed()
    assert calls(echo) == before + 1


def test_requests_before_a_refused_one_are_answered(echo):
    with echo.connect() as connection:
        connection.send(request(target="/1") + request(target="/2") + b"GET /3 HTTP/1.1\r\n\r\n")
        assert echoed(connection.read_response())["environ"]["PATH_INFO"] == "/1"
        assert echoed(connection.read_response())["environ"]["PATH_INFO"] == "/2"
        assert_refusal(connection.read_response(), {400})
        connection.assert_closed()


def test_refusals_are_logged_without_raw_octets(echo):
    start = len(echo.log())
    with echo.connect() as connection:
        connection.send(b"GET /\x1b[31m\xff\x07 HTTP/1.1\r\nHost: a\r\n\r\n")
        assert_refusal(connection.read_response(), {400})
    echo.wait_for_log(r"400", start)
    assert not re.search(r"[^\n\x20-\x7e]", echo.log()[start:])


def test_refused_head_request_has_no_body(echo):
    with echo.connect() as connection:
        connection.send(b"HEAD / HTTP/1.1\r\n\r\n")
        response = connection.read_response("HEAD")
        assert response.status == 400 and response.closes
        connection.assert_closed()


# --- what is served ------


def test_simple_request(echo):
    with echo.connect() as connection:
        response = connection.request(target="/a?b=c")
        answer = echoed(response)
        assert response.version == "1.1" and not response.closes
        assert answer["environ"]["SERVER_PROTOCOL"] == "HTTP/1.1"
        assert answer["environ"]["REQUEST_METHOD"] == "GET"
        assert IMF_FIXDATE.fullmatch(response.header("Date"))
        assert echoed(connection.request())


@pytest.mark.parametrize(
    "method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "REPORT"]
)
def test_methods(echo, method):
    assert echoed(echo.get(method=method))["environ"]["REQUEST_METHOD"] == method


def test_higher_minor_version_is_served_as_1_1(echo):
    with echo.connect() as connection:
        connection.send(request(version="1.2"))
        response = connection.read_response()
        assert response.version == "1.1" and not response.closes
        assert echoed(response)["environ"]["SERVER_PROTOCOL"] == "HTTP/1.1"


def test_empty_lines_before_a_request_are_ignored(echo):
    with echo.connect() as connection:
        connection.send(b"\r\n\r\n" + request(target="/1"))
        assert echoed(connection.read_response())["environ"]["PATH_INFO"] == "/1"
        connection.send(b"\r\n" + request(target="/2"))
        assert echoed(connection.read_response())["environ"]["PATH_INFO"] == "/2"


@pytest.mark.parametrize(
    "target, path, query, host",
    [
        ("http://a.example/x?y=z", "/x", "y=z", "a.example"),
        ("http://a.example:8080/x", "/x", "", "a.example:8080"),
        ("HTTP://a.example", "/", "", "a.example"),
        ("http://a.example?y=z", "/", "y=z", "a.example"),
        ("http://[::1]:80/x", "/x", "", "[::1]:80"),
        ("https://a.example/x", "/x", "", "a.example"),
    ],
)
def test_absolute_form(echo, target, path, query, host):
    environ = echoed(echo.get(target, method="GET"))["environ"]
    assert (environ["PATH_INFO"], environ["QUERY_STRING"], environ["HTTP_HOST"]) == (path, query, host)
    assert environ["wsgi.url_scheme"] == "http"


def test_options_asterisk_is_answered_by_the_server(echo):
    before = calls(echo)
    with echo.connect() as connection:
        response = connection.request("OPTIONS", "*")
        assert response.status == 200 and response.body == b"" and response.header("Content-Length") == "0"
        assert echoed(connection.request())["calls"] == before + 1


def test_empty_host(echo):
    with echo.connect() as connection:
        connection.send(request(host=""))
        assert_refusal(connection.read_response(), {400})
        connection.assert_closed()


@pytest.mark.parametrize(
    "host", ["a", "a.example:8000", "127.0.0.1:1", "[::1]", "[::1]:8000", "xn--caf-dma.example", "a_b"]
)
def test_good_hosts(echo, host):
    with echo.connect() as connection:
        connection.send(request(host=host))
        assert echoed(connection.read_response())["environ"]["HTTP_HOST"] == host


def test_upgrade_is_ignored(echo):
    with echo.connect() as connection:
        fields = [
            "Connection: Upgrade, HTTP2-Settings",
            "Upgrade: h2c",
            "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA",
        ]
        assert echoed(connection.request("GET", "/", *fields))
        websocket = [
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Protocol: caf\xe9",
        ]
        assert echoed(connection.request("POST", "/", *websocket, body=b"hello"))["body"] == "hello"
        assert echoed(connection.request())


@pytest.mark.parametrize("fields", [["Content-Length: 5", "Content-Length: 5"], ["Content-Length: 5, 5"]])
def test_equal_content_lengths(echo, fields):
    with echo.connect() as connection:
        connection.send(request("POST", "/", *fields) + b"hello")
        assert_refusal(connection.read_response(), {400})
        connection.assert_closed()


def test_no_framing_is_no_body(echo):
    with echo.connect() as connection:
        connection.send(request("POST", "/1") + request(target="/2"))
        for path in ("/1", "/2"):
            answer = echoed(connection.read_response())
            assert (answer["environ"]["PATH_INFO"], answer["length"]) == (path, 0)


def test_leading_zeros_of_content_length(echo):
    with echo.connect() as connection:
        connection.send(request("POST", "/", "Content-Length: 00010") + b"0123456789")
        assert echoed(connection.read_response())["body"] == "0123456789"


# --- persistence ------


def test_keep_alive(echo):
    with echo.connect() as connection:
        ports = {echoed(connection.request(target=f"/{i}"))["environ"]["REMOTE_PORT"] for i in range(20)}
        assert len(ports) == 1


@pytest.mark.parametrize(
    "value", ["close", "Close", "CLOSE", "keep-alive, close", "close, foo", "foo,close", " close "]
)
def test_connection_close(echo, value):
    before = calls(echo)
    with echo.connect() as connection:
        connection.send(request("GET", "/", f"Connection: {value}") + request())
        response = connection.read_response()
        assert response.status == 200 and response.header("Connection") == "close"
        connection.assert_closed()
    assert calls(echo) == before + 2


def test_connection_close_in_a_second_field(echo):
    with echo.connect() as connection:
        assert connection.request("GET", "/", "Connection: foo", "Connection: close").closes
        connection.assert_closed()


@pytest.mark.parametrize("value", ["closed", "xclose", "close-not", "keep-alive", "foo"])
def test_other_connection_options(echo, value):
    with echo.connect() as connection:
        for _ in range(2):
            assert not connection.request("GET", "/", f"Connection: {value}").closes


def test_http_1_0(echo):
    with echo.connect() as connection:
        connection.send(request(host=None, version="1.0"))
        response = connection.read_response()
        assert echoed(response)["environ"]["SERVER_PROTOCOL"] == "HTTP/1.0"
        assert "HTTP_HOST" not in echoed(response)["environ"]
        assert response.closes and not response.values("Transfer-Encoding")
        connection.assert_closed()


def test_http_1_0_keep_alive(echo):
    with echo.connect() as connection:
        for _ in range(3):
            connection.send(request("GET", "/", "Connection: Keep-Alive", version="1.0"))
            response = connection.read_response()
            assert response.status == 200 and response.header("Connection").lower() == "keep-alive"


def test_http_1_0_is_never_chunked(server):
    site = server("behaviours:app")
    for fields in ([], ["Connection: keep-alive"]):
        with site.connect() as connection:
            connection.send(request("GET", "/stream", *fields, version="1.0"))
            response = connection.read_response()
            assert response.body == b"a" * 10 + b"b" * 10 + b"c" * 10
            assert response.closes and not response.values("Transfer-Encoding")
            connection.assert_closed()


def test_pipelining(echo):
    with echo.connect() as connection:
        connection.send(b"".join(request(target=f"/{i}") for i in range(16)))
        answers = [echoed(connection.read_response()) for _ in range(16)]
        assert [answer["environ"]["PATH_INFO"] for answer in answers] == [f"/{i}" for i in range(16)]


@pytest.mark.parametrize("size", [1, 7, 100, 4096])
def test_pipelining_split_across_packets(echo, size):
    bodies = [b"%d" % i * i for i in range(6)]
    octets = b"".join(request("POST", f"/{i}", body=body) for i, body in enumerate(bodies))
    octets += request("POST", "/6", "Transfer-Encoding: chunked") + chunked(b"six", 1) + request(target="/7")
    with echo.connect() as connection:
        connection.send_slowly(octets, size)
        answers = [echoed(connection.read_response()) for _ in range(8)]
        assert [answer["environ"]["PATH_INFO"] for answer in answers] == [f"/{i}" for i in range(8)]
        assert [answer["body"].encode() for answer in answers] == bodies + [b"six", b""]


def test_pipelining_of_many_large_responses(server):
    """The client sends everything before it reads anything."""
    site = server("behaviours:app")
    with site.connect() as connection:
        connection.send(request(target="/big?size=1000192") * 20 + request(target="/hello"))
        for _ in range(20):
            assert len(connection.read_response().body) == 1000192
        assert connection.read_response().body == b"Hello, world!\n"


def test_pipelining_ends_with_close(echo):
    before = calls(echo)
    with echo.connect() as connection:
        connection.send(
            request(target="/1") + request("GET", "/2", "Connection: close") + request(target="/3")
        )
        assert not connection.read_response().closes
        assert connection.read_response().closes
        connection.assert_closed()
    assert calls(echo) == before + 3


def test_head(server):
    site = server("behaviours:app")
    with site.connect() as connection:
        expected = connection.request("GET", "/hello")
        response = connection.request("HEAD", "/hello")
        assert response.status == 200
        assert response.values("Content-Length") in ([], expected.values("Content-Length"))
        for target in (
            "/stream",
            "/big?size=256000",
            "/stream?length=30",
            "/write",
            "/write_only",
            "/raises?when=close",
        ):
            assert connection.request("HEAD", target).status == 200
        assert connection.request("GET", "/hello").body == b"Hello, world!\n"


@pytest.mark.parametrize("line", ["204 No Content", "304 Not Modified"])
@pytest.mark.parametrize("length", ["", "&length=27"])
def test_statuses_without_a_body(server, line, length):
    site = server("behaviours:app")
    with site.connect() as connection:
        response = connection.request("GET", f"/status?line={line.replace(' ', '+')}{length}")
        assert f"{response.status} {response.reason}" == line
        assert not response.values("Transfer-Encoding")
        assert connection.request("GET", "/hello").body == b"Hello, world!\n"


@pytest.mark.parametrize(
    "line",
    ["200 OK", "201 Created", "301 Moved Permanently", "404 Not Found", "418 I'm a teapot", "599 Ours"],
)
def test_statuses(server, line):
    response = server("behaviours:app").get(f"/status?line={line.replace(' ', '+')}")
    assert f"{response.status} {response.reason}" == line
    assert response.body == b"body that must not be seen"
    assert IMF_FIXDATE.fullmatch(response.header("Date"))


@pytest.mark.parametrize("line", ["200 OK", "204 No Content", "206 Partial", "304 Not Modified", "404 Not Found"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_exactly_one_date(server, line, method):
    response = server("behaviours:app").get(f"/status?line={line.replace(' ', '+')}", method=method)
    assert len(response.values("Date")) == 1 and IMF_FIXDATE.fullmatch(response.header("Date"))


def test_framing(server):
    site = server("behaviours:app")
    with site.connect() as connection:
        assert connection.request(target="/hello").header("Content-Length") == "14"
        assert connection.request(target="/stream").header("Transfer-Encoding") == "chunked"
        assert connection.request(target="/stream?length=30").header("Content-Length") == "30"


def test_application_closes(server):
    with server("behaviours:app").connect() as connection:
        response = connection.request(target="/own_close")
        assert response.header("Connection") == "close" and response.body == b"closing"
        connection.assert_closed()


def test_too_long_a_body_is_cut(server):
    with server("behaviours:app").connect() as connection:
        assert connection.request(target="/stream?length=15").body == b"a" * 10 + b"b" * 5
        assert connection.request(target="/status?line=200+OK&length=4").body == b"body"
        assert connection.request(target="/write?length=6").body == b"one,tw"
        assert connection.request(target="/hello").body == b"Hello, world!\n"


@pytest.mark.parametrize(
    "target", ["/stream?length=31", "/status?line=200+OK&length=1000", "/write?length=100"]
)
def test_too_short_a_body_ends_the_connection(server, target):
    with server("behaviours:app").connect() as connection:
        connection.send(request(target=target) + request(target="/hello"))
        with pytest.raises(Truncated):
            connection.read_response()


# --- Expect ------


@pytest.mark.parametrize("framing", ["Content-Length: 5", "Transfer-Encoding: chunked"])
def test_100_continue(echo, framing):
    with echo.connect() as connection:
        for _ in range(2):
            connection.send(request("POST", "/", "Expect: 100-continue", framing))
            response = connection.read_response()
            assert response.status == 100 and response.headers == []
            connection.send_slowly(b"hello" if "Length" in framing else chunked(b"hello", 2))
            assert echoed(connection.read_response())["body"] == "hello"


def test_100_continue_folded_case(echo):
    with echo.connect() as connection:
        connection.send(request("POST", "/", "expect: 100-Continue", "Content-Length: 5"))
        assert connection.read_response().status == 100
        connection.send(b"hello")
        assert echoed(connection.read_response())["body"] == "hello"


def test_no_100_continue_when_the_body_is_there(echo):
    with echo.connect() as connection:
        connection.send(request("POST", "/", "Expect: 100-continue", body=b"hello"))
        assert echoed(connection.read_response())["body"] == "hello"


def test_no_100_continue_without_a_body(echo):
    with echo.connect() as connection:
        assert echoed(connection.request("GET", "/", "Expect: 100-continue"))
        assert echoed(connection.request("POST", "/", "Expect: 100-continue", body=b""))


def test_no_100_continue_on_http_1_0(echo):
    with echo.connect() as connection:
        connection.send(request("POST", "/", "Expect: 100-continue", "Content-Length: 5", version="1.0"))
        connection.send_slowly(b"hello")
        assert echoed(connection.read_response())["body"] == "hello"


def test_no_100_continue_before_a_413(echo):
    with echo.connect() as connection:
        connection.send(request("POST", "/", "Expect: 100-continue", "Content-Length: 9999999999999"))
        assert_refusal(connection.read_response(), {413})
        connection.assert_closed()


def test_100_continue_comes_behind_pipelined_responses(echo):
    with echo.connect() as connection:
        connection.send(request() + request("POST", "/", "Expect: 100-continue", "Content-Length: 5"))
        assert connection.read_response().status == 200
        assert connection.read_response().status == 100
        connection.send(b"hello")
        assert echoed(connection.read_response())["body"] == "hello"


def test_other_expectations(echo):
    with echo.connect() as connection:
        assert_refusal(connection.request("GET", "/", "Expect: 200-maybe"), {417})
        connection.assert_closed()


# --- request bodies ------


@pytest.mark.parametrize("size", [1, 2, 5, 4096])
def test_chunked_upload(echo, size):
    body = bytes(range(256)) * 40
    with echo.connect() as connection:
        for _ in range(2):
            connection.send(request("POST", "/", "Transfer-Encoding: chunked") + chunked(body, size))
            answer = echoed(connection.read_response())
            assert answer["sha256"] == hashlib.sha256(body).hexdigest()
            assert answer["environ"]["CONTENT_LENGTH"] == str(len(body))
            assert answer["wsgi"]["wsgi.input_terminated"] is True
            assert "HTTP_TRANSFER_ENCODING" not in answer["environ"]


def test_empty_chunked_upload(echo):
    with echo.connect() as connection:
        connection.send(request("POST", "/", "Transfer-Encoding: chunked") + b"0\r\n\r\n" + request())
        answer = echoed(connection.read_response())
        assert answer["length"] == 0 and answer["environ"]["CONTENT_LENGTH"] == "0"
        assert echoed(connection.read_response())


@pytest.mark.parametrize("coding", ["Chunked", "CHUNKED", " chunked ", "\tchunked\t"])
def test_forms_of_chunked(echo, coding):
    with echo.connect() as connection:
        connection.send(request("POST", "/", f"Transfer-Encoding:{coding}") + chunked(b"hello") + request())
        assert echoed(connection.read_response())["body"] == "hello"
        assert echoed(connection.read_response())


@pytest.mark.parametrize(
    "octets",
    [
        b"5\r\nhello\r\n0\r\n\r\n",
        b"0000000000000005\r\nhello\r\n0000\r\n\r\n",
        b"5;a\r\nhello\r\n0;b\r\n\r\n",
        b"5;a=b;c=d\r\nhello\r\n0\r\n\r\n",
        b'5;a="b c;d"\r\nhello\r\n0\r\n\r\n',
        b'5;a="b\\"c"\r\nhello\r\n0\r\n\r\n',
        b"1\r\nh\r\n4\r\nello\r\n0\r\nX-Trailer: 1\r\nX-Other: 2\r\n\r\n",
        b"5\r\nhello\r\n0\r\nHost: evil.example\r\nConnection: close\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n",
    ],
)
def test_good_chunks(echo, octets):
    """Sizes with zeros, extensions, trailers: none goes to the application, none changes the framing."""
    for size in (len(octets), 1):
        with echo.connect() as connection:
            connection.send(request("POST", "/", "Transfer-Encoding: chunked"))
            connection.send_slowly(octets, size)
            response = connection.read_response()
            answer = echoed(response)
            assert answer["body"] == "hello" and not response.closes
            assert answer["environ"]["HTTP_HOST"] == "example.org"
            assert not {"HTTP_X_TRAILER", "HTTP_CONNECTION", "HTTP_X_FORWARDED_FOR"} & set(answer["environ"])
            assert echoed(connection.request())


def test_hex_digits_of_chunk_sizes(echo):
    body = b"x" * 0xABC
    with echo.connect() as connection:
        for size in (b"abc", b"ABC", b"aBc", b"0aBC"):
            connection.send(
                request("POST", "/", "Transfer-Encoding: chunked") + size + b"\r\n" + body + b"\r\n0\r\n\r\n"
            )
            assert echoed(connection.read_response())["length"] == len(body)


@pytest.mark.parametrize("length", [0, 1, 16383, 16384, 16385, 100000, 5000000])
@pytest.mark.parametrize("coding", ["length", "chunked"])
def test_bodies_in_memory_and_in_files(server, length, coding):
    site = server("echo:app", limits_body_memory="16K")
    body = bytes(range(251)) * (length // 251 + 1)
    body = body[:length]
    with site.connect() as connection:
        for _ in range(2):
            if coding == "length":
                connection.send(request("POST", "/", body=body))
            else:
                connection.send(request("POST", "/", "Transfer-Encoding: chunked") + chunked(body, 30000))
            answer = echoed(connection.read_response())
            assert (answer["length"], answer["sha256"]) == (length, hashlib.sha256(body).hexdigest())
    assert sorted(os.listdir(site.directory)) == ["log", "notify"], "the body's file is unlinked"


@pytest.mark.parametrize("length", [65536, 65537, 1048575, 1048576, 1048577])
@pytest.mark.parametrize("target", ["/read", "/by_lines", "/by_thread", "/count?size=100000", "/count?size=2000000"])
def test_large_body_read_in_every_way(server, target, length):
    """As far as limits.body_memory goes, it is received into what read() returns."""
    site = server("uploads:app", workers_threads=2)
    body = (bytes(range(251)) * (length // 251 + 1))[:length]
    with site.connect() as connection:
        for _ in range(2):
            connection.send(request("POST", target, body=body) + request("POST", "/unread", body=body))
            answer = json.loads(connection.read_response().body)
            assert (answer["length"], answer["sha256"]) == (length, hashlib.sha256(body).hexdigest())
            assert connection.read_response().status == 403


def test_body_limit(server):
    site = server("echo:app", limits_body="1000")
    with site.connect() as connection:
        assert echoed(connection.request("POST", "/", body=b"x" * 1000))["length"] == 1000
        connection.send(request("POST", "/", "Transfer-Encoding: chunked") + chunked(b"x" * 1000, 100))
        assert echoed(connection.read_response())["length"] == 1000
        connection.send(request("POST", "/", "Content-Length: 1001"))  # refused before the body
        assert_refusal(connection.read_response(), {413})
        connection.assert_closed()
    before = calls(site)
    with site.connect() as connection:
        connection.send(request("POST", "/", "Transfer-Encoding: chunked") + chunk(b"x" * 900))
        connection.send(b"65\r\n")  # 101 octets more
        assert_refusal(connection.read_response(), {413})
        connection.assert_closed()
    assert calls(site) == before + 1


def test_413_survives_a_client_that_sends_its_body_first(server):
    site = server("echo:app", limits_body="1000")
    with site.connect() as connection:
        connection.send(request("POST", "/", body=b"x" * 60000))
        assert_refusal(connection.read_response(), {413})
        connection.assert_closed()


@pytest.mark.parametrize(
    "octets",
    [
        request("POST", "/", "Content-Length: 10") + b"hello",
        request("POST", "/", "Content-Length: 10"),
        request("POST", "/", "Transfer-Encoding: chunked"),
        request("POST", "/", "Transfer-Encoding: chunked") + b"5\r\nhel",
        request("POST", "/", "Transfer-Encoding: chunked") + b"5\r\nhello\r\n",
        request("POST", "/", "Transfer-Encoding: chunked") + b"5\r\nhello\r\n0\r\n",
        request("POST", "/", "Transfer-Encoding: chunked") + b"5\r\nhello\r\n0\r\nX-A: 1\r\n",
    ],
    ids=[
        "length, half",
        "length, nothing",
        "chunked, nothing",
        "in a chunk",
        "before the last chunk",
        "in the end",
        "in trailers",
    ],
)
def test_body_cut_short_never_reaches_the_application(echo, octets):
    before = calls(echo)
    with echo.connect() as connection:
        connection.send(octets)
        connection.send_end()
        assert_refusal(connection.read_response(), {400})
        connection.assert_closed()
    with echo.connect() as connection:
        connection.send(octets)
        connection.reset()
    assert calls(echo) == before + 1


def test_head_cut_short(echo):
    before = calls(echo)
    with echo.connect() as connection:
        connection.send(b"GET / HTTP/1.1\r\nHost: a")
        connection.send_end()
        assert_refusal(connection.read_response(), {400})
        connection.assert_closed()
    assert calls(echo) == before + 1


def test_body_left_unread_by_the_application(server):
    """Octets of a body are never taken for the next request."""
    site = server("behaviours:app", limits_body_memory="16K")
    body = request(target="/garbage?kind=none") * 4000
    with site.connect() as connection:
        for target, expected in [
            ("/unread", b"unread"),
            ("/partly_read", b"GET"),
            ("/hello", b"Hello, world!\n"),
        ]:
            response = connection.request("POST", target, body=body)
            assert response.status == 200 and response.body == expected
        assert connection.request("POST", "/raises?when=before", body=body).status == 500
    with site.connect() as connection:
        connection.send(
            request("POST", "/unread", "Transfer-Encoding: chunked")
            + chunked(body, 1000)
            + request(target="/hello")
        )
        assert connection.read_response().body == b"unread"
        assert connection.read_response().body == b"Hello, world!\n"


# --- limits ------


def test_request_line_limit(echo):
    def line(length):
        return b"GET /" + b"x" * (length - len(b"GET / HTTP/1.1")) + b" HTTP/1.1\r\nHost: a\r\n\r\n"

    with echo.connect() as connection:
        connection.send(line(8190))
        assert echoed(connection.read_response())["environ"]["PATH_INFO"].endswith("x")
        connection.send(line(8191))
        assert_refusal(connection.read_response(), {414})
        connection.assert_closed()


def test_field_size_limit(echo):
    def field(length):
        return "X-A: " + "x" * (length - len("X-A: "))

    with echo.connect() as connection:
        assert echoed(connection.request("GET", "/", field(8190)))["environ"]["HTTP_X_A"] == "x" * 8185
        assert_refusal(connection.request("GET", "/", field(8191)), {431})
        connection.assert_closed()


def test_fields_limit(echo):
    with echo.connect() as connection:
        fields = [f"X-{i}: {i}" for i in range(99)]  # and Host
        assert echoed(connection.request("GET", "/", *fields))["environ"]["HTTP_X_98"] == "98"
        assert_refusal(connection.request("GET", "/", *fields, "X-99: 99"), {431})
        connection.assert_closed()


def test_head_limit(server):
    site = server("echo:app", limits_head="4K")
    empty = len(request("GET", "/", "X-A: "))
    with site.connect() as connection:
        assert echoed(connection.request("GET", "/", "X-A: " + "x" * (4096 - empty)))
        assert_refusal(connection.request("GET", "/", "X-A: " + "x" * (4097 - empty)), {431})
        connection.assert_closed()


@pytest.mark.parametrize(
    "start, more, status",
    [
        (b"GET /", b"x" * 1000, {414}),
        (b"GET / HTTP/1.1\r\nX-A: ", b"x" * 1000, {431}),
        (b"GET / HTTP/1.1\r\n", b"X-A: " + b"x" * 993 + b"\r\n", {431}),
        (b"GET / HTTP/1.1\r\n", b"X: y\r\n" * 100, {431}),
        (request("POST", "/", "Transfer-Encoding: chunked") + b"5;a=", b"x" * 1000, {400, 413, 431}),
        (
            request("POST", "/", "Transfer-Encoding: chunked") + b"0\r\n",
            b"X-A: " + b"x" * 993 + b"\r\n",
            {400, 413, 431},
        ),
        (request("POST", "/", "Transfer-Encoding: chunked") + b"0", b"0" * 1000, {400}),
    ],
    ids=["line", "field", "head", "fields", "chunk extension", "trailers", "chunk size"],
)
def test_endless_input_is_refused_while_reading(echo, start, more, status):
    with echo.connect() as connection:
        connection.send(start)
        for _ in range(10000):
            if connection.is_readable():
                break
            connection.send(more)
        else:
            pytest.fail("10 MB were taken")
        assert_refusal(connection.read_response(), status)
        connection.wait_gone()


def test_cost_of_blanks(echo):
    """A pattern that tries each of them as an end takes minutes for this (CVE-2020-5236)."""
    fields = [f"X-{i}: a{' ' * 8000}{'b' if i < 6 else chr(16)}" for i in range(7)]
    for _ in range(20):
        with echo.connect() as connection:
            assert_refusal(connection.request("GET", "/", *fields), {400})
            connection.assert_closed()


# --- slow clients and time-outs ------


def test_octet_by_octet(echo):
    with echo.connect() as connection:
        for _ in range(3):
            connection.send_slowly(request("POST", "/a?b", "X-A: 1", body=b"hello world"))
            answer = echoed(connection.read_response())
            assert answer["body"] == "hello world" and answer["environ"]["HTTP_X_A"] == "1"


@pytest.mark.parametrize("size", [2, 3, 5, 17, 64])
def test_split_at_many_places(echo, size):
    octets = request("POST", "/a?b", "X-A: 1", "Transfer-Encoding: chunked") + chunked(b"hello world", 3)
    with echo.connect() as connection:
        for _ in range(3):
            connection.send_slowly(octets, size)
            assert echoed(connection.read_response())["body"] == "hello world"


@pytest.fixture
def hasty(server):
    return server(
        "behaviours:app", timeouts_head="1s", timeouts_body="1s", timeouts_keepalive="1s", timeouts_write="1s"
    )


@pytest.mark.parametrize("start", [b"G", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: a\r\n"])
def test_head_timeout(hasty, start):
    with hasty.connect() as connection:
        connection.send(start)
        assert_refusal(connection.read_response(), {408})
        connection.assert_closed()


def test_head_timeout_is_for_the_whole_head(hasty):
    """One octet now and then does not keep a connection open."""
    with hasty.connect() as connection:
        end = time.monotonic() + DEADLINE
        connection.send(b"GET /")
        while not connection.is_readable():
            assert time.monotonic() < end, "a slow client holds its connection for ever"
            time.sleep(0.05)
            connection.send(b"x")
        assert_refusal(connection.read_response(), {408})


def test_head_timeout_of_a_second_request(hasty):
    with hasty.connect() as connection:
        assert connection.request(target="/hello").status == 200
        connection.send(b"GET / HT")
        assert_refusal(connection.read_response(), {408})
        connection.assert_closed()


def test_idle_connections_are_closed_silently(hasty):
    with hasty.connect() as fresh, hasty.connect() as used:
        assert used.request(target="/hello").status == 200
        used.assert_closed()
        fresh.assert_closed()


@pytest.mark.parametrize(
    "octets",
    [
        request("POST", "/hello", "Content-Length: 10") + b"hello",
        request("POST", "/hello", "Transfer-Encoding: chunked") + b"5\r\nhe",
        request("POST", "/hello", "Content-Length: 10", "Expect: 100-continue"),
    ],
    ids=["length", "chunked", "expect"],
)
def test_body_timeout(hasty, octets):
    before = counts(hasty)["calls"].get("hello", 0)
    with hasty.connect() as connection:
        connection.send(octets)
        response = connection.read_response()
        if response.status == 100:
            response = connection.read_response()
        assert_refusal(response, {408})
        connection.assert_closed()
    assert counts(hasty)["calls"].get("hello", 0) == before


@pytest.mark.parametrize("framing", ["Content-Length: 100000", "Transfer-Encoding: chunked"])
def test_body_rate(hasty, framing):
    """One octet now and then does not keep a connection open."""
    octet = b"1\r\nx\r\n" if "chunked" in framing else b"x"
    with hasty.connect() as connection:
        end = time.monotonic() + DEADLINE
        connection.send(request("POST", "/hello", framing))
        while not connection.is_readable():
            assert time.monotonic() < end, "a slow client holds its connection for ever"
            time.sleep(0.05)
            connection.send(octet)
        assert_refusal(connection.read_response(), {408})
        connection.assert_closed()


def test_no_keep_alive(server):
    site = server("echo:app", timeouts_keepalive="0")
    with site.connect() as connection:
        assert connection.request().header("Connection") == "close"
        connection.assert_closed()


def test_write_timeout(hasty):
    """A client that takes nothing of its response is dropped; the application was through long before."""
    with hasty.connect(receive_buffer=4096) as connection:
        connection.send(request(target="/big?size=20000000&key=write_timeout"))
        connection.wait_readable()
        poll(lambda: counts(hasty)["closes"].get("write_timeout"), "close()")
        poll(lambda: not any(inodes_of(hasty, connection) for _ in range(5)), "the connection is given up")
        assert connection.wait_gone() < 20000000


def test_half_closed_client_is_answered(echo):
    for end in ([], ["Connection: close"]):
        with echo.connect() as connection:
            connection.send(request("POST", "/", *end, body=b"hello"))
            connection.send_end()
            assert echoed(connection.read_response())["body"] == "hello"
            connection.assert_closed()


def test_half_closed_client_of_a_slow_application(server, tmp_path):
    site = server("behaviours:app", workers_threads="2")
    before = counts(site)["calls"].get("waiting", 0)
    with site.connect() as connection:
        connection.send(request(target=f"/waiting?path={tmp_path}/go"))
        connection.send_end()
        poll(lambda: counts(site)["calls"].get("waiting", 0) > before, "the application is called")
        (tmp_path / "go").touch()
        assert connection.read_response().body == b"done"
        connection.assert_closed()


def test_half_closed_client_gets_all_pipelined_answers(server):
    site = server("behaviours:app")
    with site.connect() as connection:
        connection.send(request(target="/big?size=2560000") * 3 + request(target="/hello"))
        connection.send_end()
        for _ in range(3):
            assert len(connection.read_response().body) == 2560000
        assert connection.read_response().body == b"Hello, world!\n"
        connection.assert_closed()


@pytest.mark.parametrize("how", ["reset", "close"])
def test_client_vanishes_within_a_response(server, how):
    site = server("behaviours:app", limits_response_memory="64K", limits_response_file="256K")
    key = f"vanish_{how}"
    connection = site.connect(receive_buffer=4096)
    connection.send(request(target=f"/stream?blocks=1000&size=100000&key={key}"))
    connection.wait_readable()
    connection.socket.recv(100)
    getattr(connection, how)()
    poll(lambda: counts(site)["closes"].get(key) == 1, "close() of the iterable")
    assert site.get("/hello").status == 200
    assert counts(site)["closes"][key] == 1


def test_client_vanishes_before_its_response(server, tmp_path):
    site = server("behaviours:app", workers_threads="2")
    connection = site.connect()
    connection.send(request(target=f"/waiting?path={tmp_path}/go&key=vanished_early"))
    poll(lambda: counts(site)["calls"].get("waiting"), "the application is called")
    connection.reset()
    (tmp_path / "go").touch()
    poll(lambda: counts(site)["closes"].get("vanished_early") == 1, "close() of the iterable")


def test_many_connections_reset_at_any_point(echo):
    octets = request("POST", "/", "Transfer-Encoding: chunked") + chunked(b"hello world", 4)
    start = len(echo.log())
    for length in range(0, len(octets) + 1):
        connection = echo.connect()
        connection.send(octets[:length])
        connection.reset()
    assert echoed(echo.get())
    assert not re.search(r"\[(WARNING|ERROR|CRITICAL)\]", echo.log()[start:])


def test_slow_reader_does_not_hold_up_others(server):
    """One worker, one thread: 20 MB for a client that does not read, and others are served meanwhile."""
    site = server("behaviours:app")
    for target in ("/big?size=20000000", "/stream?blocks=200&size=100000"):
        with site.connect(receive_buffer=4096) as slow:
            slow.send(request(target=target))
            slow.wait_readable()
            for _ in range(3):
                assert site.get("/hello").body == b"Hello, world!\n"
            assert len(slow.read_response().body) == 20000000


def test_response_larger_than_all_buffers(server):
    """Past limits.response_file the application waits for its client, and everything arrives."""
    site = server("behaviours:app", limits_response_memory="64K", limits_response_file="256K")
    with site.connect(receive_buffer=4096) as connection:
        connection.send(request(target="/stream?blocks=200&size=50000"))
        connection.wait_readable()
        body = connection.read_response().body
    assert body == b"".join(bytes([97 + i % 26]) * 50000 for i in range(200))


@pytest.mark.parametrize("version, fields", [("1.1", ["Connection: close"]), ("1.0", [])])
def test_large_response_before_a_close(server, version, fields):
    site = server("behaviours:app")
    with site.connect(receive_buffer=4096) as connection:
        connection.send(request("GET", "/big?size=8000000", *fields, version=version))
        connection.wait_readable()
        assert len(connection.read_response().body) == 8000000
        connection.assert_closed()


def send_until_blocked(connection, octets, limit):
    """Sends the octets again and again, until nothing is taken for a while; returns how many went out."""
    sent = 0
    connection.socket.settimeout(1)
    try:
        while sent < limit:
            sent += connection.socket.send(octets)
    except TimeoutError:
        pass
    connection.socket.settimeout(DEADLINE)
    return sent


def test_input_is_not_taken_without_end_while_the_application_runs(server, tmp_path):
    """What a client pipelines meanwhile stays in the kernel."""
    site = server("behaviours:app", workers_threads="2")
    with site.connect() as connection:
        connection.send(request(target=f"/waiting?path={tmp_path}/go"))
        assert send_until_blocked(connection, b"\r\n" * 32768, 64 << 20) < 64 << 20
        (tmp_path / "go").touch()
        assert connection.read_response().body == b"done"


def test_requests_of_a_client_that_never_reads_are_not_answered_without_end(server):
    site = server("behaviours:app", limits_response_memory="64K", limits_response_file="1M")
    with site.connect(receive_buffer=4096) as connection:
        before = counts(site)["calls"].get("stream", 0)
        octets = request(target="/stream?blocks=10&size=100000")
        assert send_until_blocked(connection, octets * 1000, 32 << 20) < 32 << 20
        assert counts(site)["calls"]["stream"] - before < 100
        for _ in range(20):
            assert len(connection.read_response().body) == 1000000


@pytest.mark.parametrize("asked", ["by the client", "by the application"])
def test_what_comes_behind_a_close_does_not_spoil_the_response(server, asked):
    """A RST would erase what the client has not got yet, so the server closes in stages (RFC 9112 9.6)."""
    site = server("behaviours:app")
    octets = {
        "by the client": request("GET", "/stream?blocks=80&size=100000", "Connection: close"),
        "by the application": request(target="/big_close?size=8000000"),
    }[asked]
    with site.connect(receive_buffer=4096) as connection:
        connection.send(octets)
        assert connection.read_head().closes
        body = 0
        while body < 8000000:
            body += len(connection.read_chunk())
            connection.send(b"GET / HTTP/1.1\r\n")
        assert connection.read_chunk() == b""
        connection.assert_closed()


def test_unix_socket(server):
    site = server("echo:app", unix=True)
    with site.connect() as connection:
        environ = echoed(connection.request(target="/x"))["environ"]
        assert environ["REMOTE_ADDR"] == "" and environ["SERVER_NAME"] and "SERVER_PORT" in environ
        assert echoed(connection.request("POST", "/", body=b"hello"))["body"] == "hello"
    assert isinstance(site.address, str) and socket.AF_UNIX


@pytest.fixture(scope="module")
def several():
    """A server with a listener of each kind."""
    listeners = {
        "IPv6": socket.create_server(("::1", 0), family=socket.AF_INET6),
        "dual": socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True),
        "abstract": socket.socket(socket.AF_UNIX),
    }
    listeners["abstract"].bind("")
    listeners["abstract"].listen()
    with running("echo:app", listeners=list(listeners.values())):
        yield listeners


@pytest.mark.parametrize(
    "name, family, host, address",
    [
        ("IPv6", socket.AF_INET6, "::1", "::1"),
        ("dual", socket.AF_INET6, "::1", "::1"),
        ("dual", socket.AF_INET, "127.0.0.1", "127.0.0.1"),
        ("abstract", socket.AF_UNIX, None, ""),
    ],
)
def test_kinds_of_sockets(several, name, family, host, address):
    """ListenStream=8000 is a socket for IPv6 and IPv4 in one: a client by IPv4 has its own address all the same."""
    listening = several[name].getsockname()
    with Connection(family, (host, listening[1]) if host else listening, timeout=DEADLINE) as connection:
        environ = echoed(connection.request())["environ"]
        assert environ["REMOTE_ADDR"] == address
        if host:
            assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == (host, str(listening[1]))
        fields = ["X-Forwarded-For: 192.0.2.7", "X-Forwarded-Proto: https"]
        environ = echoed(connection.request("GET", "/", *fields))["environ"]
        assert (environ["REMOTE_ADDR"], environ["wsgi.url_scheme"]) == ("192.0.2.7", "https")


def test_many_connections(echo):
    connections = [echo.connect() for _ in range(200)]
    for connection in connections:
        connection.send(request())
    for connection in connections:
        assert echoed(connection.read_response())
    for connection in connections:
        connection.close()
