# SPDX-License-Identifier: MIT
"""A Django project and a Flask application, used as a browser and other HTTP clients use them; and one application
written with six frameworks, whose answers must not differ. These are Debian's, or those of the virtual environment
CGUNICORN_TEST_VIRTUALENV (tests/frameworks/run-newest)."""
import hashlib
import http.client
import http.cookiejar
import importlib.util
import json
import os
import re
import subprocess
import sys
import threading
import urllib.error
import urllib.parse
import urllib.request
import uuid
from pathlib import Path

import pytest

from client import request
from framework_table import FRAMEWORKS, TABLE
from harness import APPS, DEADLINE, PACKAGES, Server, running

VIRTUALENV = os.environ.get("CGUNICORN_TEST_VIRTUALENV")


class Browser:
    """Keeps cookies and follows redirections."""

    def __init__(self, url):
        self.url = url
        self.jar = http.cookiejar.CookieJar()
        self.opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(self.jar)
        )

    def open(self, path, data=None, headers=None):
        """(status, headers, body)"""
        wanted = urllib.request.Request(self.url + path, data=data, headers=headers or {})
        try:
            with self.opener.open(wanted, timeout=DEADLINE) as response:
                return response.status, response.headers, response.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers, error.read()

    def submit(self, path, fields, files=()):
        """Fetches a form and posts it with its CSRF token."""
        page = self.open(path)[2].decode()
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)[1]
        body, content_type = multipart({"csrfmiddlewaretoken": token, **fields}, files)
        return self.open(path, body, {"Content-Type": content_type, "Referer": self.url + path})


def multipart(fields, files=()):
    boundary = uuid.uuid4().hex
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    parts += [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="{filename}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n".encode() + data + b"\r\n"
        for name, filename, data in files
    ]
    return b"".join(parts) + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


def start_django():
    server = Server(
        "djangosite.wsgi:application", {"workers_count": 2, "workers_threads": 2, "limits_body_memory": "64K"}
    )
    try:
        subprocess.run(
            [sys.executable, "-B", "-m", "django", "migrate", "--settings=djangosite.settings", "-v0"],
            env={**server.environment, "PYTHONPATH": os.pathsep.join(filter(None, [str(APPS), PACKAGES]))},
            check=True,
        )
        return server.start()
    except BaseException:
        server.destroy()
        raise


def start_flask():
    return Server("flasksite:app", {"workers_count": 2, "workers_threads": 2, "limits_body_memory": "64K"}).start()


@pytest.fixture(scope="module", params=["django", "flask"])
def site(request):
    server = {"django": start_django, "flask": start_flask}[request.param]()
    server.name = request.param
    yield server
    server.stop()


@pytest.fixture
def browser(site):
    yield Browser(site.url)
    site.check_alive()


def test_page(browser):
    status, headers, body = browser.open("/?" + urllib.parse.urlencode({"name": "J\xe9r\xf4me & <co>"}))
    assert status == 200 and headers.get_content_type() == "text/html"
    assert "It works, J\xe9r\xf4me &amp; &lt;co&gt;." in body.decode()


def test_not_found(browser):
    assert browser.open("/nothing")[0] == 404


def test_session(site, browser):
    assert [json.loads(browser.open("/counter")[2])["visits"] for _ in range(5)] == [1, 2, 3, 4, 5]
    assert json.loads(Browser(site.url).open("/counter")[2])["visits"] == 1


def test_form(browser):
    status, _, body = browser.submit("/guests", {"name": "Zo\xeb"})
    assert (status, body.decode()) == (200, "Thank you, Zo\xeb!")


def test_form_without_token(browser):
    body, content_type = multipart({"name": "Mallory"})
    assert browser.open("/guests", body, {"Content-Type": content_type})[0] == 403


@pytest.mark.parametrize("size", [0, 10, 100000, 5000000])
def test_upload_and_download(browser, size):
    data = (bytes(range(256)) * (size // 256 + 1))[:size]
    if size == 0:
        data = b"\n"  # Django's forms refuse empty files
    name = f"file-{size}.bin"
    status, _, body = browser.submit("/guests", {"name": "me"}, [("file", name, data)])
    assert (status, body) == (200, b"Thank you, me!")
    status, headers, body = browser.open(f"/download/{name}")
    assert status == 200 and body == data
    assert headers["Content-Length"] == str(len(data)) and "attachment" in headers["Content-Disposition"]


def test_static_file(site, browser):
    path, url = {
        "django": (APPS / "djangosite" / "views.py", "/static/views.py"),
        "flask": (APPS / "flasksite.py", "/static-file/flasksite.py"),
    }[site.name]
    status, headers, body = browser.open(url)
    assert status == 200 and body == Path(path).read_bytes()
    assert headers["Content-Length"] == str(len(body))


def test_generated_file(browser):
    assert browser.open("/generated")[2] == b"generated\n" * 1000


def test_stream(site, browser):
    status, headers, body = browser.open("/stream?lines=1000")
    assert status == 200 and body.decode() == "".join(f"line {number}\n" for number in range(1000))
    response = site.get("/stream")
    assert response.header("Transfer-Encoding") == "chunked"


def test_head(site):
    with site.connect() as connection:
        for target in ("/", "/stream", "/generated", "/nothing"):
            response = connection.request("HEAD", target)
            assert response.status == (404 if target == "/nothing" else 200)
        assert connection.request("GET", "/").status == 200


def test_chunked_post_and_two_cookie_lines(site):
    """What other servers lose: a chunked body (no CONTENT_LENGTH), the second cookie (joined by a comma)."""
    with site.connect() as connection:
        octets = request("POST", "/raw", "Transfer-Encoding: chunked", "Cookie: a=1", "Cookie: b=2")
        connection.send(octets + b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n")
        answer = json.loads(connection.read_response().body)
    assert answer["length"] == 5 and answer["sha256"] == hashlib.sha256(b"hello").hexdigest()
    assert answer["cookies"] == {"a": "1", "b": "2"}


def test_chunked_post_by_http_client(site):
    connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=DEADLINE)
    blocks = [bytes([i]) * 10000 for i in range(50)]
    for _ in range(2):
        connection.request(
            "POST", "/raw", body=iter(blocks), encode_chunked=True, headers={"Transfer-Encoding": "chunked"}
        )
        answer = json.loads(connection.getresponse().read())
        assert answer["sha256"] == hashlib.sha256(b"".join(blocks)).hexdigest()
    connection.close()


def test_not_modified(site):
    with site.connect() as connection:
        response = connection.request("GET", "/conditional")
        assert response.body == b"unchanged"
        response = connection.request("GET", "/conditional", "If-None-Match: " + response.header("ETag"))
        assert response.status == 304 and response.body == b""
        assert connection.request("GET", "/").status == 200


def test_database(site, browser):
    browser.open("/counter")
    browser.submit("/guests", {"name": "someone"})
    answer = json.loads(browser.open("/database")[2])
    assert answer.get("sessions", answer.get("guests")) >= 1
    assert answer["state"] == str(site.directory)


def test_failing_view(site, browser):
    start = len(site.log())
    assert browser.open("/failure")[0] == 500
    site.wait_for_log("this view fails on purpose", start)
    assert browser.open("/")[0] == 200


def test_proxy_says_https(site):
    with site.connect() as connection:
        fields = ["X-Forwarded-Proto: https", "X-Forwarded-For: 192.0.2.7"]
        answer = json.loads(connection.request("POST", "/raw", *fields, body=b"x").body)
    assert (answer["secure"], answer["address"]) == (True, "192.0.2.7")


def test_many_browsers_at_once(site):
    """Sessions of eight browsers, side by side on four threads."""
    visits = {}

    def browse(number):
        own = Browser(site.url)
        visits[number] = [json.loads(own.open("/counter")[2])["visits"] for _ in range(10)]

    threads = [threading.Thread(target=browse, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert visits == {number: list(range(1, 11)) for number in range(8)}


# --- the same application with each framework ---


@pytest.fixture(scope="module", params=["app", "validated", "linted"])
def kind(request):
    """Plain, and under wsgiref.validate and webtest.lint, whose complaints are exceptions."""
    if request.param == "linted" and not VIRTUALENV and not importlib.util.find_spec("webtest"):
        pytest.skip("webtest is not installed")
    return request.param


@pytest.fixture(scope="module", params=FRAMEWORKS)
def framework(request, kind):
    if not VIRTUALENV and not importlib.util.find_spec(request.param):
        pytest.skip(f"{request.param} is not installed")
    config = {
        "limits_body_memory": "64K",
        "proxy_headers": "x-forwarded-for x-forwarded-proto x-forwarded-prefix",
    }
    if VIRTUALENV:
        config["app_virtualenv"] = VIRTUALENV
    with running(f"frameworks.with_{request.param}:{kind}", config) as server:
        yield server


@pytest.mark.parametrize("exchange", TABLE, ids=lambda exchange: exchange.name)
def test_all_frameworks_alike(framework, exchange):
    start = len(framework.log())
    with framework.connect() as connection:
        connection.send(exchange.octets)
        response = connection.read_response(exchange.method)
        assert not exchange.faults(response), f"{response}\n{framework.log()[start:]}"
        if response.closes:
            assert response.version == "1.0" or b" HTTP/1.0" in exchange.octets
            connection.assert_closed()
        else:
            assert connection.request(target="/hello").body == b"Hello, you!"
    assert "AssertionError" not in framework.log()[start:]
    framework.check_alive()
