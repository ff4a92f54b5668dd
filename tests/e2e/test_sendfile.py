# SPDX-License-Identifier: MIT
"""Files that the application names instead of sending them: app.sendfile_roots, X-Sendfile and X-Accel-Redirect. All that
requests can ask of a file is in tests/unit/http/file-response.c."""
import json
import os
import signal
import time
from email.utils import formatdate, parsedate_to_datetime
from urllib.parse import quote, urlencode

import pytest

from client import Truncated, request
from harness import Server, poll
from supervision import workers

DATA = bytes(range(256)) * 400
MODIFIED = 784111777


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """media/ is the root; secret lies beside it."""
    top = tmp_path_factory.mktemp("tree")
    (top / "secret").write_text("secret")
    (top / "media-too").mkdir()
    (top / "media-too" / "secret").write_text("secret")
    media = top / "media"
    (media / "sub").mkdir(parents=True)
    (media / "file").write_bytes(DATA)
    (media / "sub" / "a b?.pdf").write_bytes(b"pdf")
    (media / "\xe9").write_bytes(b"accent")
    (media / "empty").touch()
    os.mkfifo(media / "fifo")
    (media / "inside").symlink_to("sub/../file")
    (media / "outside").symlink_to("../secret")
    (media / "absolute").symlink_to(media / "file")
    (media / "up").symlink_to("..")
    (media / "loop").symlink_to("loop")
    os.utime(media / "file", (MODIFIED, MODIFIED))
    return top


@pytest.fixture
def site(server, tree):
    roots = f"{tree}/media /protected/={tree}/media"
    return server("behaviours:app", app_sendfile_roots=roots)


def hand_off(fields=None, **arguments):
    return f"/hand_off?{urlencode({'fields': json.dumps(fields or {}), **arguments})}"


def named(path, **arguments):
    return hand_off({"X-Sendfile": str(path), "Content-Type": "a/b", "Content-Length": "0"}, **arguments)


def state(site):
    return json.loads(site.get("/state").body)


def log_size(site):
    return len(site.log())


# --- what is sent ------


def test_x_sendfile(site, tree):
    with site.connect() as connection:
        for _ in range(2):
            response = connection.request(target=named(tree / "media/file"))
            assert response.status == 200 and response.body == DATA
            assert response.header("Content-Type") == "a/b"
            assert response.header("Content-Length") == str(len(DATA))
            assert response.header("Last-Modified") == "Sun, 06 Nov 1994 08:49:37 GMT"
            assert response.header("ETag") == f'"{MODIFIED:x}-{len(DATA):x}"'
            assert response.header("Accept-Ranges") == "bytes"
            assert response.header("X-Sendfile") is None


@pytest.mark.parametrize(
    "uri, body",
    [
        ("/protected/file", DATA),
        ("/protected/file?download=1", DATA),
        ("/protected//sub/../file", DATA),
        ("/pro%74ected/sub/a%20b%3F.pdf", b"pdf"),
        ("/protected/" + quote("\xe9"), b"accent"),
    ],
)
def test_x_accel_redirect(site, uri, body):
    response = site.get(hand_off({"X-Accel-Redirect": uri}))
    assert response.status == 200 and response.body == body
    assert response.header("X-Accel-Redirect") is None


@pytest.mark.parametrize("path", ["inside", "sub//.././file", "sub/../inside"])
def test_ways_within_the_root(site, tree, path):
    assert site.get(named(f"{tree}/media/{path}")).body == DATA


def test_native_strings(site, tree):
    """Octets of a path are Latin-1 in a header (PEP 3333, "Unicode Issues")."""
    path = f"{tree}/media/\xe9".encode().decode("latin-1")
    assert site.get(named(path)).body == b"accent"


def test_empty_file(site, tree):
    with site.connect() as connection:
        for method in "GET", "HEAD", "GET":
            response = connection.request(method, named(tree / "media/empty"))
            assert response.status == 200 and response.body == b""
            assert response.header("Content-Length") == "0"


def test_file_over_4_gib(site, tree):
    path = tree / "media/sparse"
    with path.open("wb") as file:
        file.seek(5 << 30)
        file.write(b"the end")
    size = (5 << 30) + 7
    assert site.get(named(path), method="HEAD").header("Content-Length") == str(size)
    response = site.get(named(path), "Range: bytes=-9")
    assert response.status == 206 and response.body == b"\0\0the end"
    assert response.header("Content-Range") == f"bytes {size - 9}-{size - 1}/{size}"
    with site.connect() as connection:
        connection.send(request(target=named(path)))
        assert connection.read_head().header("Content-Length") == str(size)
        assert connection.read(5 << 20) == bytes(5 << 20)
    path.unlink()


@pytest.mark.parametrize("use", ["return", "write", "lazily"])
def test_own_body_is_dropped(site, tree, use):
    key = f"dropped {use}"
    with site.connect() as connection:
        connection.send(request(target=named(tree / "media/file", use=use, key=key)) + request(target="/hello"))
        assert connection.read_response().body == DATA
        assert connection.read_response().body == b"Hello, world!\n"
    assert f"body of {key}" not in state(site)["calls"] and "body of lazily" not in state(site)["calls"]
    if use != "lazily":
        assert state(site)["closes"][key] == 1


def test_without_roots_nothing_changes(server, tree):
    fields = {"X-Sendfile": f"{tree}/media/file", "X-Accel-Redirect": "/protected/file"}
    response = server("behaviours:app").get(hand_off(fields))
    assert response.status == 200 and response.body == b"own"
    assert {name: response.header(name) for name in fields} == fields
    assert response.header("ETag") is None


# --- requests ------


def test_range(site, tree):
    response = site.get(named(tree / "media/file"), "Range: bytes=1000-2999")
    assert response.status == 206 and response.body == DATA[1000:3000]
    assert response.header("Content-Range") == f"bytes 1000-2999/{len(DATA)}"
    assert response.header("Content-Length") == "2000" and response.header("Content-Type") == "a/b"


def test_conditions(site, tree):
    target = named(tree / "media/file")
    with site.connect() as connection:
        response = connection.request("GET", target)
        tag, date = response.header("ETag"), response.header("Last-Modified")
        for condition in f"If-None-Match: {tag}", f"If-Modified-Since: {date}":
            for method in "GET", "HEAD":
                response = connection.request(method, target, condition)
                assert response.status == 304 and response.header("ETag") == tag
                assert response.header("Content-Length") is None
        response = connection.request("GET", target, 'If-Match: "other"')
        assert response.status == 412 and response.body == b"" and response.header("Content-Type") is None
        response = connection.request("GET", target, "Range: bytes=500000-")
        assert response.status == 416 and response.body == b""
        assert response.header("Content-Range") == f"bytes */{len(DATA)}"
        response = connection.request("GET", target, "Range: bytes=0-9", f"If-Range: {tag}")
        assert response.status == 206 and response.body == DATA[:10]
        response = connection.request("GET", target, "Range: bytes=0-9", 'If-Range: "other"')
        assert response.status == 200 and response.body == DATA


def test_date_of_the_future(site, tree):
    path = tree / "media/future"
    path.write_bytes(b"x")
    os.utime(path, (time.time() + 1e6, time.time() + 1e6))
    response = site.get(named(path))
    assert response.header("Last-Modified") == response.header("Date")
    os.utime(path, (-1, -1))
    assert site.get(named(path)).header("Last-Modified") is None


MAKES_IT = """
import os, time

def app(environ, start_response):
    open(os.environ["TREE"] + "/begun", "w").close()
    while not os.path.exists(os.environ["TREE"] + "/file"):
        time.sleep(0.01)
    start_response("200 OK", [("X-Sendfile", os.environ["TREE"] + "/file")])
    return []
"""


def test_file_that_is_made_for_the_response(start_server, tmp_path):
    """It is not newer than the response (RFC 9110 §8.8.2.1), though that has its date from before."""
    site = start_server(MAKES_IT, {"app_sendfile_roots": tmp_path}, environment={"TREE": str(tmp_path)})
    with site.connect() as connection:
        connection.send(request())
        poll((tmp_path / "begun").exists, "the request in the application")
        begun = int(time.time())
        poll(lambda: int(time.time()) > begun, "another second")
        (tmp_path / "file").write_text("made")
        response = connection.read_response()
    assert response.body == b"made"
    assert parsedate_to_datetime(response.header("Last-Modified")) <= parsedate_to_datetime(response.header("Date"))


def test_head(site, tree):
    with site.connect() as connection:
        response = connection.request("HEAD", named(tree / "media/file"), "Range: bytes=0-9")
        assert response.status == 200 and response.header("Content-Length") == str(len(DATA))
        assert connection.request(target="/hello").status == 200


def test_other_methods_and_statuses(site, tree):
    target = named(tree / "media/file")
    response = site.get(target, "If-None-Match: *", "Range: bytes=0-9", method="POST", body=b"form")
    assert response.status == 200 and response.body == DATA and response.header("ETag") is None
    response = site.get(named(tree / "media/file", status="404 Gone fishing"), "Range: bytes=0-9")
    assert (response.status, response.reason, response.body) == (404, "Gone fishing", DATA)


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_statuses_without_a_body(site, tree, status):
    with site.connect() as connection:
        response = connection.request(target=hand_off({"X-Sendfile": f"{tree}/media/file"}, status=status))
        assert response.status == int(status[:3]) and response.body == b""
        assert connection.request(target="/hello").status == 200


def test_http_1_0(site, tree):
    with site.connect() as connection:
        connection.send(request(target=named(tree / "media/file"), version="1.0"))
        response = connection.read_response()
        assert response.body == DATA and response.header("Content-Length") == str(len(DATA))
        connection.assert_closed()


def test_pipelining(site, tree):
    target, missing = named(tree / "media/file"), named(tree / "media/missing")
    wanted = [("GET", "/hello"), ("GET", target), ("HEAD", target), ("GET", "/hello"), ("GET", missing), ("GET", target)]
    with site.connect() as connection:
        connection.send(b"".join(request(*one) for one in wanted))
        answers = [connection.read_response(method) for method, _ in wanted]
    assert [answer.status for answer in answers] == [200, 200, 200, 200, 404, 200]
    assert answers[1].body == answers[5].body == DATA and answers[3].body == b"Hello, world!\n"


# --- refusals ------


@pytest.mark.parametrize(
    "name, status, reason",
    [
        ("{}/media/missing", 404, "No such file or directory"),
        ("{}/media/file/more", 404, "Not a directory"),
        ("{}/media/" + "a" * 300, 404, "File name too long"),
        ("{}/secret", 403, "it is not below one of app.sendfile_roots"),
        ("{}/media-too/secret", 403, "it is not below one of app.sendfile_roots"),
        ("/protected/file", 403, "it is not below one of app.sendfile_roots"),
        ("media/file", 403, "it is not below one of app.sendfile_roots"),
        ("file", 403, "it is not below one of app.sendfile_roots"),
        ("", 403, "it is not below one of app.sendfile_roots"),
        ("{}/media/../secret", 403, "it leads out of its root"),
        ("{}/media/sub/../../secret", 403, "it leads out of its root"),
        ("{}/media/outside", 403, "it leads out of its root"),
        ("{}/media/absolute", 403, "it leads out of its root"),
        ("{}/media/up/secret", 403, "it leads out of its root"),
        ("{}/media/up/media/file", 403, "it leads out of its root"),
        ("{}/media/loop", 403, "Too many levels of symbolic links"),
        ("{}/media", 403, "it is not below one of app.sendfile_roots"),
        ("{}/media/", 403, "it is not a regular file"),
        ("{}/media/sub", 403, "it is not a regular file"),
        ("{}/media/fifo", 403, "it is not a regular file"),
    ],
)
def test_refusals_of_paths(site, tree, name, status, reason):
    start, name = log_size(site), name.format(tree)
    with site.connect() as connection:
        for method in "GET", "HEAD":
            response = connection.request(method, named(name, key=f"refused {name}"))
            assert response.status == status and response.header("Content-Type") == "text/plain"
            assert b"secret" not in response.body and response.header("X-Sendfile") is None
        assert connection.request(target="/hello").status == 200
    site.wait_for_log(f'X-Sendfile "{name}": {status}, {reason}', start)
    assert state(site)["closes"][f"refused {name}"] == 2


@pytest.mark.parametrize(
    "uri, status, reason",
    [
        ("/protected/missing", 404, "No such file or directory"),
        ("/protected/../secret", 403, "it leads out of its root"),
        ("/protected/%2e%2e/secret", 403, "it leads out of its root"),
        ("/protected/..%2fsecret", 403, "it leads out of its root"),
        ("/protected/file%00.pdf", 403, "it has a NUL in it"),
        ("/protected", 403, "it is not below one of app.sendfile_roots"),
        ("/protectedfile", 403, "it is not below one of app.sendfile_roots"),
        ("protected/file", 403, "it is not below one of app.sendfile_roots"),
        ("http://example.org/protected/file", 403, "it is not below one of app.sendfile_roots"),
        ("@named", 403, "it is not below one of app.sendfile_roots"),
    ],
)
def test_refusals_of_uris(site, uri, status, reason):
    start = log_size(site)
    assert site.get(hand_off({"X-Accel-Redirect": uri})).status == status
    site.wait_for_log(f'X-Accel-Redirect "{uri}": {status}, {reason}', start)


def test_log_is_escaped(site):
    start = log_size(site)
    assert site.get(named('/\xe9"\t\\')).status == 403
    site.wait_for_log(r'X-Sendfile "/\\xe9\\"\\x09\\\\": 403', start)


def test_two_files(site, tree):
    fields = {"X-Sendfile": f"{tree}/media/file", "X-Accel-Redirect": "/protected/file"}
    start = log_size(site)
    assert site.get(hand_off(fields)).status == 500
    site.wait_for_log("a file was named already", start)


# --- faults ------


def open_files(site):
    """What the worker has open."""
    (pid,) = workers(site)
    result = []
    for descriptor in os.listdir(f"/proc/{pid}/fd"):
        try:
            result.append(os.readlink(f"/proc/{pid}/fd/{descriptor}"))
        except FileNotFoundError:
            pass
    return result


def test_client_goes_away(site, tree):
    path = tree / "media/large"
    with path.open("wb") as file:
        file.truncate(100 << 20)
    for leave in "close", "reset":
        connection = site.connect(receive_buffer=4096)
        connection.send(request(target=named(path)))
        connection.read_head()
        assert str(path) in open_files(site)
        getattr(connection, leave)()
        poll(lambda: str(path) not in open_files(site), "close of the file")
    assert site.get("/hello").status == 200


def test_slow_reader_holds_nobody(site, tree):
    path = tree / "media/slow"
    path.write_bytes(DATA * 50)
    with site.connect(receive_buffer=4096) as slow:
        slow.send(request(target=named(path)))
        slow.wait_readable()
        assert site.get(named(tree / "media/file")).body == DATA
        assert slow.read_response().body == DATA * 50


def test_file_that_shrinks(site, tree):
    path = tree / "media/shrinks"
    with path.open("wb") as file:
        file.truncate(30000000)
    with site.connect(receive_buffer=4096) as connection:
        connection.send(request(target=named(path)) + request(target="/hello"))
        connection.read_head()
        os.truncate(path, 100)
        with pytest.raises(Truncated):
            connection.read(30000000)
    assert site.get("/hello").status == 200


@pytest.mark.parametrize("root", ["{}/missing", "/protected/={}/missing", "{}/file"])
def test_wrong_root_at_start(tmp_path, root):
    (tmp_path / "file").touch()
    with Server("behaviours:app", {"app_sendfile_roots": root.format(tmp_path)}) as server:
        server.launch()
        assert server.wait() != 0
        assert f"app.sendfile_roots: cannot open the directory {tmp_path}/" in server.log()


def test_root_that_is_moved_while_it_serves(start_server, tmp_path):
    """The directory that was there at the start stays the root, for workers that are started later too."""
    (tmp_path / "media").mkdir()
    (tmp_path / "media/file").write_text("right")
    site = start_server("behaviours:app", {"app_sendfile_roots": f"{tmp_path}/media"})
    (tmp_path / "media").rename(tmp_path / "moved")
    (tmp_path / "media").mkdir()
    (tmp_path / "media/file").write_text("wrong")
    assert site.get(named(tmp_path / "media/file")).body == b"right"
    (old,) = workers(site)
    os.kill(old, signal.SIGKILL)
    poll(lambda: workers(site) and old not in workers(site), "a new worker")
    assert site.get(named(tmp_path / "media/file")).body == b"right"
    site.signal(signal.SIGHUP)
    poll(lambda: site.get(named(tmp_path / "media/file")).body == b"wrong", "the root after a reload")


# --- frameworks ------

FLASK = """
import flask
app = flask.Flask(__name__)
app.config["USE_X_SENDFILE"] = True

@app.route("/<path:name>")
def send(name):
    return flask.send_file({!r} + name, max_age=3600)
"""

DJANGO = """
import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path

settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="only for tests",
                   MIDDLEWARE=["django.middleware.common.CommonMiddleware",
                               "django.middleware.http.ConditionalGetMiddleware"])

def send(request, name):
    response = HttpResponse(content_type="a/b")
    response["X-Accel-Redirect"] = "/protected/" + name
    return response

urlpatterns = [path("<path:name>", send)]
app = get_wsgi_application()
"""


def test_flask(start_server, tree):
    """send_file() sets the length, a tag and a date itself, and cuts out ranges."""
    pytest.importorskip("flask")
    site = start_server(FLASK.format(f"{tree}/media/"), {"app_sendfile_roots": f"{tree}/media"})
    response = site.get("/file")
    assert response.status == 200 and response.body == DATA and response.header("X-Sendfile") is None
    assert response.header("Content-Length") == str(len(DATA))
    assert response.header("Cache-Control") == "public, max-age=3600"
    tag = response.header("ETag")
    assert site.get("/file", f"If-None-Match: {tag}").status == 304
    response = site.get("/file", "Range: bytes=10-19")
    assert response.status == 206 and response.body == DATA[10:20]
    assert response.header("Content-Range") == f"bytes 10-19/{len(DATA)}"
    assert site.get("/empty").body == b""


def test_django(start_server, tree):
    pytest.importorskip("django")
    site = start_server(DJANGO, {"app_sendfile_roots": f"/protected/={tree}/media"})
    response = site.get("/file")
    assert response.status == 200 and response.body == DATA and response.header("X-Accel-Redirect") is None
    assert response.header("Content-Length") == str(len(DATA)) and response.header("Content-Type") == "a/b"
    assert site.get("/file", "Range: bytes=10-19").body == DATA[10:20]
    date = formatdate(MODIFIED, usegmt=True)
    assert site.get("/file", f"If-Modified-Since: {date}").status == 304
    assert site.get("/missing").status == 404
