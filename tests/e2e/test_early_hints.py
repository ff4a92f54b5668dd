# SPDX-License-Identifier: MIT
"""103 Early Hints (RFC 8297) by wsgi.early_hints."""
import json
from urllib.parse import urlencode

import pytest

from client import request
from harness import poll

LINK = [["Link", "</a.css>; rel=preload; as=style"], ["Link", "</b.js>; rel=preload; as=script"]]


@pytest.fixture
def site(server):
    return server("behaviours:app")


def hints(headers=LINK, **arguments):
    return f"/hints?{urlencode({'headers': json.dumps(headers), **arguments})}"


def read_hint(connection):
    hint = connection.read_response()
    assert (hint.version, hint.status, hint.reason) == ("1.1", 103, "Early Hints")
    return [list(pair) for pair in hint.headers]


def test_hints(site):
    with site.connect() as connection:
        for method in "GET", "HEAD", "GET":
            connection.send(request(method, hints(times=2)))
            assert read_hint(connection) == read_hint(connection) == LINK
            response = connection.read_response(method)
            assert response.status == 200 and response.header("Link") is None
            assert response.body == (b"" if method == "HEAD" else b"Hello, world!\n")


@pytest.mark.parametrize("threads", [1, 2])
def test_hints_do_not_wait(server, tmp_path, threads):
    """Neither for the response, nor for answers to earlier requests, which go out before them."""
    site = server("behaviours:app", workers_threads=threads)
    with site.connect() as connection:
        go = tmp_path / "go"
        connection.send(request(target="/hello") * 2 + request(target=hints(path=go)) + request(target="/hello"))
        for _ in range(2):
            assert connection.read_response().body == b"Hello, world!\n"
        assert read_hint(connection) == LINK
        assert not connection.is_readable()
        go.touch()
        for _ in range(2):
            assert connection.read_response().body == b"Hello, world!\n"


def test_http_1_0_has_none(site):
    with site.connect() as connection:
        connection.send(request(target=hints(), version="1.0"))
        assert connection.read_response().status == 200
        connection.assert_closed()
    assert site.get("/hello").status == 200


@pytest.mark.parametrize(
    "headers",
    [
        [["Link", "a\r\nX: b"]],
        [["Li nk", "a"]],
        [["Link", "a"], ["Content-Length", "5"]],
        [["Link", "a"], ["Transfer-Encoding", "chunked"]],
        [["Link", "a"], ["Connection", "close"]],
        [["Link", "a"], ["Set-Cookie", "a=b"]],
        [["Link", "a"], ["X-Accel-Redirect", "/protected/a"]],
        [["Link", "\u20ac"]],
        [["Link", 5]],
        [["Link"]],
    ],
)
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_wrong_hints(site, headers, version):
    with site.connect() as connection:
        connection.send(request(target=hints(headers), version=version))
        response = connection.read_response()
        assert response.status == 500, response
    site.wait_for_log("wsgi.early_hints")


def test_error_after_hints(site):
    with site.connect() as connection:
        connection.send(request(target=hints(then="raises", when="started")))
        assert read_hint(connection) == LINK
        assert connection.read_response().status == 500


def test_large_response_after_hints(site):
    with site.connect(receive_buffer=4096) as connection:
        connection.send(request(target=hints(then="big", size=5 << 20)) + request(target=hints(then="stream")))
        assert read_hint(connection) == LINK
        assert connection.read_response().body == bytes(range(256)) * (5 << 12)
        assert read_hint(connection) == LINK
        assert connection.read_response().body == b"a" * 10 + b"b" * 10 + b"c" * 10


@pytest.mark.parametrize("name, status", [("file", 200), ("missing", 404)])
def test_named_file_after_hints(server, tmp_path_factory, name, status):
    root = tmp_path_factory.getbasetemp() / "hinted"
    root.mkdir(exist_ok=True)
    (root / "file").write_bytes(b"x" * 1000000)
    site = server("behaviours:app", app_sendfile_roots=root)
    fields = json.dumps({"X-Sendfile": str(root / name)})
    with site.connect(receive_buffer=4096) as connection:
        connection.send(request(target=hints(then="hand_off", fields=fields)) + request(target="/hello"))
        assert read_hint(connection) == LINK
        response = connection.read_response()
        assert response.status == status and (status != 200 or response.body == b"x" * 1000000)
        assert connection.read_response().body == b"Hello, world!\n"


@pytest.mark.parametrize("then, body", [("hello", b"Hello, world!\n"), ("raises", None)])
def test_client_that_does_not_read(server, then, body):
    """The application waits for it; what follows is in order."""
    site = server("behaviours:app", limits_response_memory="4K", limits_response_file="64K")
    headers = [["Link", "x" * 4000]]
    with site.connect(receive_buffer=4096) as connection:
        connection.send(request(target=hints(headers, times=2000, then=then, when="started")))
        connection.wait_readable()
        for _ in range(2000):
            assert read_hint(connection) == headers
        response = connection.read_response()
        assert response.status == 500 if body is None else response.body == body


def test_client_that_goes_away(server):
    site = server("behaviours:app", limits_response_memory="4K", limits_response_file="64K")
    with site.connect(receive_buffer=4096) as connection:
        connection.send(request(target=hints([["Link", "x" * 4000]], times=100000)))
        connection.wait_readable()
        connection.reset()
    poll(lambda: site.get("/hello").status == 200)
    assert "hello after 100000 hints" not in json.loads(site.get("/state").body)["calls"]
