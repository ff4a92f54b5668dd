# SPDX-License-Identifier: MIT
"""Debian's nginx in front, over a Unix socket and over TCP."""
import hashlib
import json
import os
import shutil
import socket

import pytest

from client import chunked, request
from proxies import Proxy, running_behind

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin")
CONFIGURATION = """
daemon off;
{user}
worker_processes 1;
pid {directory}/nginx.pid;
error_log stderr;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    client_max_body_size 100m;
    upstream by_unix {{ server unix:{unix}; keepalive 4; }}
    upstream by_tcp {{ server 127.0.0.1:{tcp}; keepalive 4; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://by_unix; include {directory}/headers; proxy_set_header X-Forwarded-Proto https;
        }}
        location /plain/ {{ proxy_pass http://by_unix; include {directory}/headers; }}
        location /direct/ {{ proxy_pass http://by_tcp; proxy_http_version 1.1; proxy_set_header Connection ""; }}
        location /tcp/ {{ proxy_pass http://by_tcp; include {directory}/headers; }}
        location /unbuffered/ {{
            proxy_pass http://by_unix/; include {directory}/headers;
            proxy_request_buffering off; proxy_buffering off;
        }}
        location /http10/ {{ proxy_pass http://by_unix/; proxy_set_header Host $http_host; }}
    }}
}}
"""
# A location that sets one header inherits none of the outer ones, hence a file.
HEADERS = """
proxy_http_version 1.1;
proxy_set_header Connection "";
proxy_set_header Host $http_host;
proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
"""

pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")


class Nginx(Proxy):
    """The socket comes as it would from its own upgrade."""

    def __init__(self, directory, unix, port):
        listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        listener.setblocking(False)
        (directory / "headers").write_text(HEADERS)
        path = directory / "nginx.conf"
        path.write_text(
            CONFIGURATION.format(
                directory=directory,
                unix=unix,
                tcp=port,
                port=listener.getsockname()[1],
                user="user root;" if os.geteuid() == 0 else "",
            )
        )
        command = [NGINX, "-p", str(directory), "-c", str(path), "-e", "stderr"]
        super().__init__(command, directory / "nginx.log", [listener], {"NGINX": f"{listener.fileno()};"})

    def connect(self):
        return super().connect(self.listeners[0])

    def get(self, target="/", *fields, method="GET", body=None):
        with self.connect() as connection:
            return connection.request(method, target, *fields, body=body)


@pytest.fixture(scope="module")
def echo_server(tmp_path_factory):
    with running_behind(Nginx, "echo:app", None, tmp_path_factory.mktemp("n")) as both:
        yield both


@pytest.fixture(scope="module")
def behaviours_server(tmp_path_factory):
    with running_behind(Nginx, "behaviours:app", None, tmp_path_factory.mktemp("n")) as both:
        yield both


@pytest.fixture
def echo(echo_server):
    server, nginx = echo_server
    yield nginx
    server.check_alive()


@pytest.fixture
def behaviours(behaviours_server):
    server, nginx = behaviours_server
    yield nginx
    server.check_alive()


def echoed(response):
    assert response.status == 200, response
    return json.loads(response.body)


def test_get(echo):
    environ = echoed(echo.get("/a%20b?c=d", "Cookie: a=1", "Cookie: b=2"))["environ"]
    assert (environ["PATH_INFO"], environ["QUERY_STRING"], environ["HTTP_HOST"]) == (
        "/a b",
        "c=d",
        "example.org",
    )
    assert environ["HTTP_COOKIE"] == "a=1; b=2"


def test_scheme(echo):
    assert echoed(echo.get("/"))["environ"]["wsgi.url_scheme"] == "https"
    assert echoed(echo.get("/plain/"))["environ"]["wsgi.url_scheme"] == "http"
    assert echoed(echo.get("/tcp/"))["environ"]["wsgi.url_scheme"] == "http"


def test_address_of_the_client(echo):
    """nginx and what came before it on this machine are trusted proxies; before them is the client."""
    assert (
        echoed(echo.get("/plain/", "X-Forwarded-For: 6.6.6.6, 192.0.2.7"))["environ"]["REMOTE_ADDR"]
        == "192.0.2.7"
    )
    assert (
        echoed(echo.get("/tcp/", "X-Forwarded-For: 6.6.6.6, 192.0.2.7"))["environ"]["REMOTE_ADDR"]
        == "192.0.2.7"
    )
    assert echoed(echo.get("/plain/", "X_Forwarded_For: 6.6.6.6"))["environ"]["REMOTE_ADDR"] in (
        "",
        "127.0.0.1",
    )


@pytest.mark.parametrize("location", ["/", "/unbuffered/", "/tcp/", "/http10/"])
@pytest.mark.parametrize("size", [0, 5, 3000000])
def test_upload(echo, location, size):
    body = (bytes(range(256)) * (size // 256 + 1))[:size]
    answer = echoed(echo.get(location, method="POST", body=body))
    assert (answer["length"], answer["sha256"]) == (size, hashlib.sha256(body).hexdigest())
    with echo.connect() as connection:
        connection.send(request("POST", location, "Transfer-Encoding: chunked") + chunked(body, 50000))
        answer = echoed(connection.read_response())
        assert (answer["length"], answer["sha256"]) == (size, hashlib.sha256(body).hexdigest())


def test_keep_alive_to_the_server(echo):
    """One client, one connection to the server for all its requests."""
    with echo.connect() as connection:
        ports = {echoed(connection.request("GET", "/direct/"))["environ"]["REMOTE_PORT"] for _ in range(20)}
        assert len(ports) == 1
        for number in range(50):
            assert echoed(connection.request("GET", f"/{number}"))["environ"]["PATH_INFO"] == f"/{number}"


@pytest.mark.parametrize("location", ["/", "/unbuffered/", "/http10/"])
def test_responses(behaviours, location):
    with behaviours.connect() as connection:
        assert connection.request("GET", f"{location}hello").body == b"Hello, world!\n"
        assert connection.request("GET", f"{location}stream?blocks=100&size=1000").body.startswith(
            b"a" * 1000 + b"b" * 1000
        )
        assert len(connection.request("GET", f"{location}big?size=5000192").body) == 5000192
        assert connection.request("HEAD", f"{location}hello").status == 200
        assert connection.request("GET", f"{location}status?line=204+No+Content").status == 204
        assert connection.request("GET", f"{location}raises?when=before").status == 500
        assert connection.request("GET", f"{location}hello").body == b"Hello, world!\n"


def test_requests_at_once(behaviours):
    connections = [behaviours.connect() for _ in range(50)]
    for connection in connections:
        connection.send(request(target="/hello"))
    for connection in connections:
        assert connection.read_response().body == b"Hello, world!\n"
        connection.close()
