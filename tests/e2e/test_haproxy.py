# SPDX-License-Identifier: MIT
"""Debian's HAProxy in front, as a proxy of connections: the PROXY protocol as the one who defined it speaks it."""
import json
import shutil
import socket
import ssl
import subprocess

import pytest

from client import request
from harness import poll
from proxies import Proxy, running_behind

HAPROXY = shutil.which("haproxy", path="/usr/sbin:/usr/bin")
OPENSSL = shutil.which("openssl")
FRONTENDS = ("v1", "v2", "values", "unix", "tls")
CONFIGURATION = """
defaults
    mode tcp
    timeout connect 30s
    timeout check 30s
    timeout client 90s
    timeout server 90s
listen v1
    bind fd@{v1}
    server s 127.0.0.1:{port} send-proxy
listen v2
    bind fd@{v2}
    server s 127.0.0.1:{port} send-proxy-v2
listen values
    bind fd@{values}
    server s 127.0.0.1:{port} send-proxy-v2 proxy-v2-options crc32c,unique-id,authority
    unique-id-format %pid
listen unix
    bind fd@{unix}
    server s unix@{path} send-proxy-v2
listen tls
    bind fd@{tls} ssl crt {directory}/tls.pem
    server s 127.0.0.1:{port} send-proxy-v2-ssl-cn proxy-v2-options crc32c,ssl,cert-cn,ssl-cipher
backend checked
    option httpchk GET /health
    server v1 127.0.0.1:{port} send-proxy check inter 100ms
    server v2 127.0.0.1:{port} send-proxy-v2 check inter 100ms
"""

pytestmark = pytest.mark.skipif(
    HAPROXY is None or OPENSSL is None, reason="haproxy or openssl is not installed"
)


class Haproxy(Proxy):
    def __init__(self, directory, unix, port):
        listeners = {name: socket.create_server(("127.0.0.1", 0), backlog=128) for name in FRONTENDS}
        fds = {name: listener.fileno() for name, listener in listeners.items()}
        path = directory / "haproxy.cfg"
        path.write_text(CONFIGURATION.format(directory=directory, path=unix, port=port, **fds))
        make_certificate(directory)
        command = [HAPROXY, "-db", "-f", str(path)]
        super().__init__(command, directory / "haproxy.log", list(listeners.values()))
        self.by_name = listeners

    def address(self, name):
        return self.by_name[name].getsockname()

    def connect(self, name):
        connection = super().connect(self.by_name[name])
        if name == "tls":
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            connection.socket = context.wrap_socket(connection.socket, server_hostname="shop.example")
        return connection


def make_certificate(directory):
    key, certificate = directory / "key.pem", directory / "certificate.pem"
    subprocess.run(
        [OPENSSL, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        + ["-subj", "/CN=shop.example", "-days", "2", "-keyout", str(key), "-out", str(certificate)],
        check=True,
        capture_output=True,
    )
    (directory / "tls.pem").write_text(certificate.read_text() + key.read_text())


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    directory = tmp_path_factory.mktemp("h")
    config = {
        "proxy_protocol": "all",
        "log_access": directory / "access.log",
        "log_access_format": "%(h)s %(U)s %(s)s",
    }
    with running_behind(Haproxy, "echo:app", config, directory) as (server, haproxy):
        server.haproxy = haproxy
        yield server


@pytest.fixture
def haproxy(site):
    yield site.haproxy
    site.check_alive()


def environ_of(response):
    assert response.status == 200, response
    return json.loads(response.body)["environ"]


@pytest.mark.parametrize("name", FRONTENDS)
def test_addresses(haproxy, name):
    with haproxy.connect(name) as connection:
        own = connection.socket.getsockname()
        for _ in range(3):
            environ = environ_of(connection.request())
            assert (environ["REMOTE_ADDR"], environ["REMOTE_PORT"]) == (own[0], str(own[1]))
            assert environ["SERVER_NAME"] == "127.0.0.1"
            assert environ["SERVER_PORT"] == str(haproxy.address(name)[1])
            assert environ["wsgi.url_scheme"] == ("https" if name == "tls" else "http")


@pytest.mark.parametrize("name", FRONTENDS)
def test_upload(haproxy, name):
    with haproxy.connect(name) as connection:
        connection.send(request("POST", "/", body=bytes(300000)))
        assert json.loads(connection.read_response().body)["length"] == 300000


def test_health_checks(site, haproxy):
    """They are the proxy's own requests, of version 1 with real addresses and of version 2 as LOCAL."""
    poll(lambda: count_checks(site) >= 6, "health checks")
    assert "DOWN" not in haproxy.log_path.read_text()


def count_checks(site):
    with open(site.config["log.access"], encoding="utf-8") as file:
        lines = [line.split() for line in file if "/health" in line]
    assert all(line == ["127.0.0.1", "/health", "200"] for line in lines), lines
    return len(lines)
