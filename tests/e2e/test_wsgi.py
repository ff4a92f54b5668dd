# SPDX-License-Identifier: MIT
"""PEP 3333 as an application sees it, and what becomes of applications that break it."""
import gzip
import json
import os
import re
from urllib.parse import quote, urlencode

import pytest

import behaviours
from client import Truncated, chunked, request
from harness import poll


@pytest.fixture
def site(server):
    return server("behaviours:app")


def url(name, **arguments):
    return f"/{name}?{urlencode(arguments)}"


def environ_of(server, target="/", *fields, method="GET", body=None):
    response = server.get(target, *fields, method=method, body=body)
    assert response.status == 200, response
    return json.loads(response.body)


def state(site):
    return json.loads(site.get("/state").body)


def wait_for_close(site, key, times=1):
    """close() is called, and not once more by the time that the next requests are through."""
    poll(lambda: state(site)["closes"].get(key, 0) >= times, f"close() of {key}")
    assert site.get("/hello").status == 200
    assert state(site)["closes"][key] == times


# --- environ ------


def test_environ(server):
    site = server("echo:app")
    answer = environ_of(
        site, "/a/b?c=d&e", "X-Custom: yes", "Content-Type: text/x-test", method="POST", body=b"hello"
    )
    environ, types = answer["environ"], answer["types"]
    expected = {
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/a/b",
        "QUERY_STRING": "c=d&e",
        "CONTENT_TYPE": "text/x-test",
        "CONTENT_LENGTH": "5",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": str(site.port),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "example.org",
        "HTTP_X_CUSTOM": "yes",
        "wsgi.url_scheme": "http",
    }
    assert {key: environ.get(key) for key in expected} == expected
    assert environ["REMOTE_PORT"].isdecimal() and environ["SERVER_SOFTWARE"].startswith("cgunicorn")
    assert environ["RAW_URI"] == "/a/b?c=d&e"
    assert answer["wsgi"] == {
        "wsgi.version": [1, 0],
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,
    }
    assert {"wsgi.input", "wsgi.errors", "wsgi.file_wrapper"} <= set(types)
    assert not {"HTTP_CONTENT_TYPE", "HTTP_CONTENT_LENGTH", "REMOTE_USER"} & set(environ)


def test_environ_without_a_body(server):
    environ = environ_of(server("echo:app"))["environ"]
    assert "CONTENT_TYPE" not in environ or environ["CONTENT_TYPE"] == ""
    assert environ.get("CONTENT_LENGTH", "") in ("", "0")
    assert environ["QUERY_STRING"] == ""


def test_multithread_and_multiprocess(server):
    wsgi = environ_of(server("echo:app", workers_count="2", workers_threads="2"))["wsgi"]
    assert wsgi["wsgi.multithread"] is True and wsgi["wsgi.multiprocess"] is True


def test_environ_is_fresh_for_each_request(server):
    site = server("echo:app")
    with site.connect() as connection:
        connection.request(
            "POST", "/first?a", "X-First: 1", "Content-Type: a/b", "Cookie: a=1", body=b"hello"
        )
        environ = json.loads(connection.request("GET", "/second").body)["environ"]
    assert environ["PATH_INFO"] == "/second" and environ["QUERY_STRING"] == ""
    assert not {"HTTP_X_FIRST", "HTTP_COOKIE"} & set(environ)
    assert environ.get("CONTENT_TYPE", "") == "" and environ.get("CONTENT_LENGTH", "") in ("", "0")


@pytest.mark.parametrize(
    "target, path",
    [
        ("/", "/"),
        ("//", "//"),
        ("//a//b/../c/./d", "//a//b/../c/./d"),
        ("/a%20b", "/a b"),
        ("/a+b", "/a+b"),
        ("/%41%62%7a", "/Abz"),
        ("/%2541", "/%41"),
        ("/a%2Fb", "/a/b"),
        ("/%c3%a9", "/\xc3\xa9"),
        ("/%E2%82%AC", "/\xe2\x82\xac"),
        ("/%ff%80", "/\xff\x80"),
        ("/a;b=c", "/a;b=c"),
        ("/a:b@c!$&'()*,", "/a:b@c!$&'()*,"),
        ("/%3f", "/?"),
        ("/%23", "/#"),
    ],
)
def test_path_is_decoded_once(server, target, path):
    environ = environ_of(server("echo:app"), target)["environ"]
    assert environ["PATH_INFO"] == path and environ["QUERY_STRING"] == ""
    assert environ["RAW_URI"] == target


@pytest.mark.parametrize("target", ["/%zz", "/%", "/%4", "/a%2", "/%%41"])
def test_bad_escapes_are_kept(server, target):
    assert environ_of(server("echo:app"), target)["environ"]["PATH_INFO"] == target.replace("%41", "A")


def test_nul_in_path_does_not_cut(server):
    assert environ_of(server("echo:app"), "/a%00b")["environ"]["PATH_INFO"] == "/a\0b"


@pytest.mark.parametrize("query", ["", "a=b", "a=%20+%zz", "?", "a?b/c", "%00"])
def test_query_is_untouched(server, query):
    environ = environ_of(server("echo:app"), f"/x?{query}")["environ"]
    assert environ["QUERY_STRING"] == query and environ["PATH_INFO"] == "/x"


def test_fields(server):
    environ = environ_of(
        server("echo:app"),
        "/",
        "X-Twice: 1",
        "X-Latin: caf\xe9",
        "x-twice:   2 \t ",
        "X-Inner: a \t b",
        "X-Empty:",
        "X-Blank:  \t ",
        "Cookie: a=1",
        "COOKIE: b=2",
        "X_Under: 1",
        "X-Mixed_Name: 1",
        "Content_Length: 3",
        "X-Colon: a:b:c",
        "X-Twice: 3",
    )["environ"]
    fields = {key: value for key, value in environ.items() if key.startswith("HTTP_") and key != "HTTP_HOST"}
    assert fields == {
        "HTTP_X_TWICE": "1, 2, 3",
        "HTTP_X_LATIN": "caf\xe9",
        "HTTP_X_INNER": "a \t b",
        "HTTP_X_EMPTY": "",
        "HTTP_X_BLANK": "",
        "HTTP_COOKIE": "a=1; b=2",
        "HTTP_X_COLON": "a:b:c",
    }


def test_names_with_underscore_never_join_their_twins(server):
    environ = environ_of(
        server("echo:app"), "/", "X_Forwarded_For: 6.6.6.6", "X-Auth-User: me", "X_Auth_User: root"
    )["environ"]
    assert environ["HTTP_X_AUTH_USER"] == "me" and "HTTP_X_FORWARDED_FOR" not in environ


def test_fields_cannot_be_taken_for_cgi_keys(server):
    environ = environ_of(
        server("echo:app"),
        "/",
        "Remote-Addr: 6.6.6.6",
        "Remote-User: root",
        "Script-Name: /evil",
        "Path-Info: /evil",
        "Server-Name: evil.example",
        "Request-Method: DELETE",
        "Wsgi.url-scheme: https",
        "X-Client-Ip: 6.6.6.6",
        "Proxy: http://evil.example/",
    )["environ"]
    assert (
        environ["REMOTE_ADDR"] == "127.0.0.1" and environ["SCRIPT_NAME"] == "" and environ["PATH_INFO"] == "/"
    )
    assert environ["SERVER_NAME"] == "127.0.0.1" and environ["REQUEST_METHOD"] == "GET"
    assert environ["wsgi.url_scheme"] == "http" and "REMOTE_USER" not in environ
    assert environ["HTTP_REMOTE_ADDR"] == "6.6.6.6" and environ["HTTP_SCRIPT_NAME"] == "/evil"


def test_proxy_field_does_not_reach_the_process_environment(server):
    answer = environ_of(server("echo:app"), "/", "Proxy: http://evil.example/")
    assert "HTTP_PROXY" not in answer["os.environ"]


def test_server_name_is_not_from_host(server):
    site = server("echo:app")
    with site.connect() as connection:
        connection.send(request(host="evil.example:1"))
        environ = json.loads(connection.read_response().body)["environ"]
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == ("127.0.0.1", str(site.port))


# --- wsgiref.validate ------


@pytest.mark.parametrize("how", ["", "lines", "readline", "readlines", "write", "generator"])
@pytest.mark.parametrize(
    "kind", ["GET", "HEAD", "POST", "chunked", "PUT file", "HTTP/1.0", "absolute", "escaped"]
)
def test_validator(server, how, kind):
    site = server("validated:app", limits_body_memory="4K")
    body = b"first line\nsecond\n\nlast" * (1 if kind != "PUT file" else 1000)
    octets = {
        "GET": request(target=f"/?{how}"),
        "HEAD": request("HEAD", f"/?{how}"),
        "POST": request("POST", f"/?{how}", "Content-Type: text/plain", body=body),
        "chunked": request("POST", f"/x?{how}", "Transfer-Encoding: chunked") + chunked(body, 5),
        "PUT file": request("PUT", f"/x/y?{how}", body=body),
        "HTTP/1.0": request("GET", f"/?{how}", version="1.0", host=None),
        "absolute": request(target=f"http://example.org?{how}"),
        "escaped": request("GET", f"//%ff%20?{how}", "X-A: caf\xe9", "X_B: 1", "Cookie: a", "Cookie: b"),
    }[kind]
    with site.connect() as connection:
        connection.send(octets)
        response = connection.read_response(kind)
        assert response.status == 200, site.log()
        if kind in ("POST", "chunked", "PUT file"):
            assert response.body == (b"written:" if how == "write" else b"") + body


def test_validator_over_unix_socket(server):
    site = server("validated:app", unix=True)
    response = site.get("/", method="POST", body=b"hello")
    assert (response.status, response.body) == (200, b"hello"), site.log()


# --- wsgi.input ------


@pytest.mark.parametrize("coding", ["length", "chunked"])
@pytest.mark.parametrize("length", [0, 1, 100, 4096, 4097, 100000])
def test_input_is_like_bytesio(server, length, coding):
    site = server("behaviours:app", limits_body_memory="4K")
    body = behaviours.pattern(length)
    with site.connect() as connection:
        for seed in range(12):
            target = url("input_operations", seed=seed, length=length)
            if coding == "length":
                connection.send(request("POST", target, body=body))
            else:
                connection.send(request("POST", target, "Transfer-Encoding: chunked") + chunked(body, 777))
            response = connection.read_response()
            assert (response.status, response.body) == (200, b"[]"), f"seed {seed}"


@pytest.mark.parametrize("memory", ["4", "1M"])
def test_input_iteration(server, memory):
    site = server("behaviours:app", limits_body_memory=memory)
    body = b"one\n\ntwo\r\n\nthree"
    lines = json.loads(site.get("/input_iterate", method="POST", body=body).body)
    assert [line.encode() for line in lines] == body.splitlines(keepends=True)
    assert json.loads(site.get("/input_iterate").body) == []


def test_input_with_bad_arguments(site):
    outcomes = json.loads(site.get("/input_bad_arguments", method="POST", body=b"hello").body)
    assert outcomes == ["TypeError"] * 5 + ["hello"]


# --- wsgi.errors ------


@pytest.mark.parametrize("threads", ["1", "2"])
def test_errors(server, threads):
    site = server("behaviours:app", workers_threads=threads)
    response = site.get(url("errors", mark="mark7"))
    assert (response.status, response.body) == (200, b'"TypeError"')
    for text in ("caf\xe9 \u20ac", "one", "two", "printed", "from a thread", "on stdout", "on stderr"):
        site.wait_for_log(rf"(?m)mark7 {text}$")


# --- start_response, write() ------


def test_response_headers_are_kept_in_order(site):
    response = site.get("/headers")
    mine = [
        (name, value) for name, value in response.headers if name.startswith("X-") or name == "Set-Cookie"
    ]
    assert mine == [
        ("X-B", "2"),
        ("Set-Cookie", "a=1; Path=/"),
        ("X-A", "1"),
        ("Set-Cookie", "b=2; Path=/"),
        ("X-Latin", "caf\xe9"),
        ("X-B", "3"),
        ("X-Empty", ""),
        ("X-Number-0", "v" * 100),
        ("X-Number-1", "v" * 100),
        ("X-Number-2", "v" * 100),
    ]


def test_many_response_headers(site):
    response = site.get("/headers?count=2000")
    assert [value for name, value in response.headers if name.startswith("X-Number")] == ["v" * 100] * 2000
    assert response.body == b"headers"


def test_own_date_and_server(site):
    response = site.get("/own_date")
    assert response.header("Date") == "Sun, 06 Nov 1994 08:49:37 GMT"
    assert response.header("Server") == "mine"


def test_write(site):
    with site.connect() as connection:
        assert connection.request(target="/write").body == b"one,two,three"
        assert connection.request(target="/write?length=13").header("Content-Length") == "13"
        assert connection.request(target="/write_only").body == b"written"
        connection.send(request(target="/write", version="1.0"))
        assert connection.read_response().body == b"one,two,three"


def test_exc_info_before_the_head_is_sent_replaces_it(site):
    for target in ("/replaced", "/replaced_in_generator"):
        response = site.get(target)
        assert (response.status, response.reason, response.body) == (503, "Replaced", b"replaced body")
        assert response.header("X-Second") == "2" and response.header("X-First") is None
        assert response.header("Content-Length") in (None, "13")
        assert response.header("Date") != "Sun, 06 Nov 1994 08:49:37 GMT"


def test_exc_info_after_the_head_is_sent_cuts_the_connection(site):
    start = len(site.log())
    with site.connect() as connection:
        connection.send(request(target="/replaced_too_late"))
        with pytest.raises(Truncated) as caught:
            connection.read_response()
    assert caught.value.response.status == 200 and caught.value.body == b"first"
    site.wait_for_log("the original error", start)
    wait_for_close(site, "replaced_too_late")


def test_exc_info_none(site):
    assert site.get("/exc_info_none").body == b"fine"


@pytest.mark.parametrize(
    "target",
    [
        "/not_started",
        "/not_started_generator",
        "/not_started_empty",
        "/started_twice",
        "/start_arguments",
        "/write_str",
    ],
)
def test_start_response_misused(site, target):
    start = len(site.log())
    with site.connect() as connection:
        response = connection.request(target=target)
        assert response.status == 500 and b"Traceback" not in response.body and b"never" not in response.body
    site.wait_for_log("PEP 3333" if target != "/start_arguments" else "TypeError", start)
    assert site.get("/hello").status == 200


def test_not_started_is_closed(site):
    before = state(site)["closes"].get("not_started", 0)
    assert site.get("/not_started").status == 500
    wait_for_close(site, "not_started", before + 1)


@pytest.mark.parametrize("step", ["write", "start_response", "exc_info"])
def test_what_belonged_to_an_earlier_request_is_dead(site, step):
    with site.connect() as connection:
        assert connection.request(target="/stale?step=keep").body == b"kept"
        response = connection.request(target=f"/stale?step={step}")
        assert response.status == 200 and response.body not in (b"no error", b"stale octets")
        assert connection.request(target="/hello").body == b"Hello, world!\n"


def test_input_of_an_earlier_request_is_empty(server):
    site = server("behaviours:app", limits_body_memory="4")
    with site.connect() as connection:
        connection.request("POST", "/stale?step=keep", body=b"a body in a file")
        response = connection.request("POST", "/stale?step=read", body=b"another one")
        assert (response.status, response.body) in ((200, b"b''"), (200, b"ValueError"))


# --- iterables ------


@pytest.mark.parametrize(
    "kind",
    [
        "list",
        "tuple",
        "single",
        "empty blocks",
        "getitem",
        "iterator",
        "map",
        "dict",
        "bytesio",
        "late generator",
    ],
)
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_iterables(site, kind, version):
    with site.connect() as connection:
        connection.send(request(target=url("iterable", kind=kind), version=version))
        response = connection.read_response()
        assert (response.status, response.body) == (200, b"one,two,three")


@pytest.mark.parametrize("kind", ["empty list", "only empty blocks"])
def test_empty_responses(site, kind):
    with site.connect() as connection:
        for _ in range(2):
            response = connection.request(target=url("iterable", kind=kind))
            assert (response.status, response.body) == (200, b"")


@pytest.mark.parametrize("name", ["stepwise", "stepwise_write"])
def test_each_block_is_sent_before_the_next_is_computed(site, tmp_path, name):
    with site.connect() as connection:
        connection.send(request(target=url(name, path=tmp_path / "go")))
        assert connection.read_head().header("Transfer-Encoding") == "chunked"
        assert connection.read_chunk() == b"first"
        (tmp_path / "go").touch()
        assert connection.read_chunk() == b"second"
        assert connection.read_chunk() == b""


@pytest.mark.parametrize(
    "name, method, arguments",
    [
        ("normal", "GET", "/stream?key={}"),
        ("one block", "GET", "/big?size=256&key={}"),
        ("no block", "GET", "/stream?blocks=0&key={}"),
        ("HEAD", "HEAD", "/stream?key={}"),
        ("204", "GET", "/status?line=204+No+Content&key={}"),
        ("304", "GET", "/status?line=304+Not+Modified&key={}"),
        ("cut", "GET", "/stream?length=5&key={}"),
        ("POST", "POST", "/stream?key={}"),
        ("exception before a block", "GET", "/raises?when=empty&key={}"),
        ("exception in close()", "GET", "/raises?when=close&key={}"),
    ],
)
def test_close_is_called_once(site, name, method, arguments):
    key = "close of " + name
    response = site.get(arguments.format(quote(key)), method=method)
    assert response.status in (200, 204, 304, 500)
    wait_for_close(site, key)


def test_close_is_called_once_after_an_exception_in_mid_stream(site):
    with site.connect() as connection:
        connection.send(request(target="/raises?when=first&key=middle"))
        with pytest.raises(Truncated):
            connection.read_response()
    wait_for_close(site, "middle")


def test_close_is_called_when_the_server_stops(start_server, tmp_path):
    """A request in the application is finished by SIGTERM's grace, and closed."""
    server = start_server("behaviours:app")
    with server.connect() as connection:
        connection.send(request(target=url("stepwise", path=tmp_path / "go", note=tmp_path / "closes")))
        connection.read_head()
        assert connection.read_chunk() == b"first"
        server.signal(15)
        server.wait_for_notification("STOPPING=1")
        (tmp_path / "go").touch()
        assert connection.read_chunk() == b"second"
        assert connection.read_chunk() == b""
        connection.assert_closed()
    assert server.wait() == 0
    assert (tmp_path / "closes").read_text() == "closed\n"


# --- exceptions ------


@pytest.mark.parametrize("what", sorted(behaviours.EXCEPTIONS))
@pytest.mark.parametrize("when", ["before", "started", "empty"])
def test_exception_before_any_octet_is_a_500(site, when, what):
    if (when, what) == ("empty", "StopIteration"):
        pytest.skip("ends the iterable, as it should")
    start, pid = len(site.log()), state(site)["pid"]
    response = site.get(url("raises", when=when, what=what))
    assert response.status == 500
    assert b"Traceback" not in response.body and b"secret" not in response.body
    assert response.header("X-Lost") is None and response.header("Date")
    site.wait_for_log("Traceback" if what != "RecursionError" else "RecursionError", start)
    if what not in ("UnicodeError",):
        site.wait_for_log(what, start)
    assert state(site)["pid"] == pid, "the worker goes on"


@pytest.mark.parametrize(
    "what", ["ValueError", "SystemExit", "KeyboardInterrupt", "GeneratorExit", "RecursionError"]
)
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_exception_in_mid_stream_cuts_the_connection(site, what, version):
    pid = state(site)["pid"]
    start = len(site.log())
    with site.connect() as connection:
        length = "" if version == "1.1" else "&length=100"
        connection.send(
            request(target=f"/raises?when=first&what={what}{length}", version=version)
            + request(target="/hello")
        )
        with pytest.raises(Truncated) as caught:
            connection.read_response()
        assert caught.value.response.status == 200 and caught.value.body == b"first"
    site.wait_for_log(what, start)
    assert state(site)["pid"] == pid


@pytest.mark.parametrize("what", ["ValueError", "SystemExit"])
def test_exception_in_close_spoils_nothing(site, what):
    start = len(site.log())
    with site.connect() as connection:
        response = connection.request(target=f"/raises?when=close&what={what}&length=11")
        assert (response.status, response.body) == (200, b"firstsecond")
        assert connection.request(target="/hello").status == 200
    site.wait_for_log(what, start)


def test_traceback_goes_to_the_log(site):
    start = len(site.log())
    assert site.get("/raises?when=before").status == 500
    site.wait_for_log(
        r'Traceback \(most recent call last\):\n(.|\n)*behaviours\.py", line \d+, in raises', start
    )
    site.wait_for_log("ValueError: a secret of the application", start)


def test_requests_after_a_500_are_answered(site):
    with site.connect() as connection:
        for _ in range(3):
            response = connection.request(target="/raises?when=before")
            assert response.status == 500
            if response.closes:
                connection.assert_closed()
                return
        assert connection.request(target="/hello").status == 200


# --- garbage ------


@pytest.mark.parametrize("kind", sorted(behaviours.GARBAGE))
def test_garbage_is_a_500(site, kind):
    start, pid = len(site.log()), state(site)["pid"]
    with site.connect() as connection:
        response = connection.request(target=url("garbage", kind=kind))
        assert response.status == 500, response
        assert not [name for name, _ in response.headers if name.startswith("X-")]
        assert (
            b"Traceback" not in response.body
            and b"never" not in response.body
            and b"text" not in response.body
        )
        if response.closes:
            connection.assert_closed()
        else:
            assert connection.request(target="/hello").body == b"Hello, world!\n"
    own = {"iter fails": "ZeroDivisionError", "next missing": "TypeError"}
    site.wait_for_log(own.get(kind, "PEP 3333"), start)
    assert state(site)["pid"] == pid
    assert not re.search(
        r"[\x00\x1b\r]", site.log()[start:]
    ), "raw octets of the application's values in the log"


@pytest.mark.parametrize("kind", sorted(behaviours.LATE_GARBAGE))
def test_late_garbage_cuts_the_connection(site, kind):
    start = len(site.log())
    with site.connect() as connection:
        connection.send(request(target=url("late_garbage", kind=kind)))
        with pytest.raises(Truncated) as caught:
            connection.read_response()
        assert caught.value.body == b"first"
    site.wait_for_log("PEP 3333", start)
    assert site.get("/hello").status == 200


# --- wsgi.file_wrapper ------


@pytest.fixture(scope="module")
def data():
    return b"".join(b"%07d\n" % i for i in range(5000))


@pytest.fixture
def path(tmp_path, data):
    (tmp_path / "file").write_bytes(data)
    return tmp_path / "file"


@pytest.mark.parametrize("use", ["return", "iterate", "generator"])
@pytest.mark.parametrize(
    "kind", ["file", "unbuffered", "updated", "bytesio", "readonly", "upper", "pipe", "temporary", "spooled"]
)
def test_file_wrapper(site, path, data, kind, use):
    key = f"{kind} {use}"
    with site.connect() as connection:
        response = connection.request(target=url("file", path=path, kind=kind, use=use, key=key))
        assert response.status == 200
        assert response.body == (data.upper() if kind == "upper" else data)
        assert connection.request(target="/hello").status == 200
    if kind != "readonly" and use != "generator":
        wait_for_close(site, key)


def test_file_wrapper_of_a_file_whose_descriptor_holds_something_else(site, tmp_path, data):
    with gzip.open(tmp_path / "file.gz", "wb") as file:
        file.write(data)
    response = site.get(url("file", path=tmp_path / "file.gz", kind="gzip"))
    assert response.body == data


@pytest.mark.parametrize("kind", ["file", "unbuffered", "bytesio"])
@pytest.mark.parametrize("use", ["return", "iterate"])
def test_file_wrapper_starts_at_the_file_position(site, path, data, kind, use):
    assert site.get(url("file", path=path, kind=kind, use=use, seek=1000)).body == data[1000:]
    assert site.get(url("file", path=path, kind=kind, use=use, seek=1000, read=10)).body == data[1010:]
    assert site.get(url("file", path=path, kind=kind, use=use, read=10)).body == data[10:]
    assert site.get(url("file", path=path, kind=kind, use=use, seek=len(data))).body == b""
    assert site.get(url("file", path=path, kind=kind, use=use, seek=len(data) + 10)).body == b""


@pytest.mark.parametrize("kind", ["file", "bytesio"])
def test_file_wrapper_and_content_length(site, path, data, kind):
    with site.connect() as connection:
        response = connection.request(target=url("file", path=path, kind=kind, length=len(data)))
        assert response.body == data and response.header("Content-Length") == str(len(data))
        assert connection.request(target=url("file", path=path, kind=kind, length=100)).body == data[:100]
        assert (
            connection.request(target=url("file", path=path, kind=kind, length=100, seek=50)).body
            == data[50:150]
        )
        assert connection.request(target=url("file", path=path, kind=kind, length=0)).body == b""
        response = connection.request("HEAD", url("file", path=path, kind=kind, length=len(data)))
        assert response.header("Content-Length") == str(len(data))
        connection.send(request(target=url("file", path=path, kind=kind, length=len(data) + 1)))
        with pytest.raises(Truncated) as caught:
            connection.read_response()
        assert caught.value.body == data
    assert site.get("/hello").status == 200


@pytest.mark.parametrize("block", [1, 100, 1000000])
def test_file_wrapper_block_size(site, path, data, block):
    for use in ("return", "iterate"):
        length = 1000 if block == 1 else len(data)
        target = url("file", path=path, kind="bytesio", block=block, use=use, length=length)
        assert site.get(target).body == data[:length]


def test_file_wrapper_on_http_1_0(site, path, data):
    with site.connect() as connection:
        connection.send(request(target=url("file", path=path), version="1.0"))
        assert connection.read_response().body == data
        connection.assert_closed()


def test_file_wrapper_closes_the_file(site, path, data):
    with site.connect() as connection:
        assert connection.request(target=url("file_is_closed", path=path)).body == data
        assert connection.request(target=url("file_is_closed", path=path)).body == b"true"


def test_file_wrapper_of_a_large_file_to_a_slow_reader(site, tmp_path):
    data = bytes(range(256)) * 40000
    (tmp_path / "large").write_bytes(data)
    with site.connect(receive_buffer=4096) as slow:
        slow.send(request(target=url("file", path=tmp_path / "large")) + request(target="/hello"))
        slow.wait_readable()
        assert site.get("/hello").status == 200
        assert slow.read_response().body == data
        assert slow.read_response().body == b"Hello, world!\n"


def test_file_wrapper_of_a_file_without_a_size(site):
    """Files of /proc say that they are empty, and are not."""
    with open("/proc/cpuinfo", "rb") as file:
        names = [line.partition(b":")[0] for line in file.read().splitlines()]
    body = site.get(url("file", path="/proc/cpuinfo", kind="file")).body
    assert [line.partition(b":")[0] for line in body.splitlines()] == names
    assert len(site.get(url("file", path="/proc/cpuinfo", kind="file", length=100)).body) == 100


def test_file_wrapper_of_a_device(site):
    assert site.get(url("device", path="/dev/zero", length=100000)).body == bytes(100000)


def test_file_that_shrinks_while_it_is_sent(site, tmp_path):
    """The response is cut, and the worker does not spin on it."""
    with (tmp_path / "shrinks").open("wb") as file:
        file.truncate(30000000)
    with site.connect(receive_buffer=4096) as connection:
        target = url("file", path=tmp_path / "shrinks", length=30000000, key="shrinks")
        connection.send(request(target=target) + request(target="/hello"))
        connection.read_head()
        os.truncate(tmp_path / "shrinks", 100)
        with pytest.raises(Truncated):
            connection.read(30000000)
        wait_for_close(site, "shrinks")


@pytest.mark.parametrize("kind", ["none", "int", "text", "text file", "closed"])
def test_file_wrapper_of_what_is_no_file(site, path, kind):
    start = len(site.log())
    assert site.get(url("bad_file", kind=kind, path=path)).status == 500
    site.wait_for_log("Error in the application", start)
    assert site.get("/hello").status == 200


def test_file_wrapper_of_an_empty_file(site, tmp_path):
    (tmp_path / "empty").touch()
    with site.connect() as connection:
        for arguments in ({}, {"length": 0}):
            response = connection.request(target=url("file", path=tmp_path / "empty", **arguments))
            assert (response.status, response.body) == (200, b"")
