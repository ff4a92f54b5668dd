# SPDX-License-Identifier: MIT
"""request.buffering = no: the application reads a body while it comes."""
import hashlib
import json
import os
import signal
import threading
import time

import pytest

from client import Truncated, chunk, chunked, request
from harness import DEADLINE, SANITIZED, poll

BODY = bytes(range(256)) * 40 + b"\n" + b"end of it"
CODINGS = pytest.mark.parametrize("coding", ["length", "chunked"])


@pytest.fixture(params=[1, 2], ids=["1 thread", "2 threads"])
def site(server, request):
    return server("uploads:app", request_buffering="off", workers_threads=request.param)


@pytest.fixture
def wide(server):
    return server("uploads:app", request_buffering="off", workers_threads=2)


@pytest.fixture
def hasty(server):
    return server("uploads:app", request_buffering="off", timeouts_body="1s", limits_body="1000000")


def head(coding, target, length, *fields):
    framing = f"Content-Length: {length}" if coding == "length" else "Transfer-Encoding: chunked"
    return request("POST", target, framing, *fields)


def framed(coding, body, size=1000):
    return body if coding == "length" else chunked(body, size)


def upload(coding, target, body=BODY, *fields):
    return head(coding, target, len(body), *fields) + framed(coding, body)


def digest(body=BODY):
    return {"length": len(body), "sha256": hashlib.sha256(body).hexdigest()}


def answer(response):
    assert response.status == 200, response
    return json.loads(response.body)


def state(site):
    return answer(site.get("/state"))


def assert_refused(connection, status):
    response = connection.read_response()
    assert response.status == status and response.closes and response.header("Server")
    connection.assert_closed()


# --- that it comes ------


@CODINGS
@pytest.mark.parametrize("target", ["/read", "/count", "/count?size=1", "/by_lines", "/by_thread"])
@pytest.mark.parametrize("size", [1, 100, 1000000])
def test_bodies(site, target, size, coding):
    """In pieces of all sizes; the connection goes on, and what is pipelined behind a body is the next request."""
    with site.connect() as connection:
        for _ in range(2):
            connection.send_slowly(upload(coding, target), size)
            response = connection.read_response()
            assert answer(response).items() >= digest().items() and not response.closes
        connection.send(upload(coding, target) + request(target="/state") + upload(coding, target, b"x") + request())
        assert answer(connection.read_response()).items() >= digest().items()
        assert "pid" in answer(connection.read_response())
        assert answer(connection.read_response()).items() >= digest(b"x").items()
        assert connection.read_response().status == 500


@CODINGS
def test_application_is_called_before_the_body_is_here(wide, coding):
    key = f"early-{coding}"
    with wide.connect() as connection:
        connection.send(head(coding, f"/count?size=5&key={key}", len(BODY)))
        poll(lambda: key in state(wide)["progress"], "the call")
        octets = framed(coding, BODY)
        connection.send(octets[:100])
        poll(lambda: state(wide)["progress"][key] >= 80, "the first octets")
        connection.send(octets[100:])
        assert answer(connection.read_response()).items() >= digest().items()


@CODINGS
def test_pieces_are_read_as_they_come(site, coding):
    """An answer to each, while the body goes on; the connection then ends, as its end was not here at the beginning."""
    with site.connect() as connection:
        connection.send(head(coding, "/pieces", 6))
        for piece in (b"a", b"bb", b"ccc"):
            connection.send(piece if coding == "length" else chunk(piece))
            if piece == b"a":
                assert connection.read_head().closes
            assert connection.read_chunk() == b"%d\n" % len(piece)
        connection.send(b"" if coding == "length" else b"0\r\n\r\n")
        assert connection.read_chunk() == b""
        connection.assert_closed()


def test_environ(site):
    with site.connect() as connection:
        said = []
        for coding in ("length", "chunked"):
            connection.send(upload(coding, "/count"))
            said.append(answer(connection.read_response()))
    assert [each["CONTENT_LENGTH"] for each in said] == [str(len(BODY)), None]
    assert all(each["wsgi.input_terminated"] is True and not each["HTTP_TRANSFER_ENCODING"] for each in said)


def test_http_1_0(site):
    with site.connect() as connection:
        connection.send(request("POST", "/count", body=BODY, version="1.0"))
        assert answer(connection.read_response()).items() >= digest().items()
        connection.assert_closed()


def test_options_of_the_server(site):
    with site.connect() as connection:
        connection.send(request("OPTIONS", "*", body=b"12345") + request(target="/state"))
        assert connection.read_response().status == 200
        assert answer(connection.read_response())


@CODINGS
def test_unix_socket(server, coding):
    site = server("uploads:app", request_buffering="off", unix=True)
    with site.connect() as connection:
        connection.send(upload(coding, "/count"))
        assert answer(connection.read_response()).items() >= digest().items()
        connection.send(head(coding, "/count", 10) + framed(coding, b"12345")[:5])
        connection.send_end()
        assert_refused(connection, 400)


# --- Expect ------


@CODINGS
def test_100_continue_at_the_first_read(site, coding):
    with site.connect() as connection:
        for _ in range(2):
            connection.send(request(target="/state") + head(coding, "/count", len(BODY), "Expect: 100-continue"))
            assert connection.read_response().status == 200
            assert connection.read_response().status == 100
            connection.send(framed(coding, BODY))
            assert answer(connection.read_response()).items() >= digest().items()


@CODINGS
@pytest.mark.parametrize("target, status", [("/unread", 403), ("/raises", 500)])
def test_refusal_never_asks_for_the_body(site, target, status, coding):
    with site.connect() as connection:
        connection.send(head(coding, target, len(BODY), "Expect: 100-continue"))
        response = connection.read_response()
        assert response.status == status and response.closes
        connection.assert_closed()


@CODINGS
def test_no_100_continue_when_the_body_is_there(site, coding):
    with site.connect() as connection:
        connection.send(upload(coding, "/count", BODY, "Expect: 100-continue"))
        assert answer(connection.read_response()).items() >= digest().items()


@CODINGS
def test_no_100_continue_within_a_response(site, coding):
    with site.connect() as connection:
        connection.send(head(coding, "/late", 3, "Expect: 100-continue"))
        response = connection.read_head()
        assert response.status == 200 and response.closes
        assert connection.read_chunk() == b"first,"
        connection.send(framed(coding, b"abc"))
        assert connection.read_chunk() == b"abc" and connection.read_chunk() == b""
        connection.assert_closed()


# --- bodies that are not read ------


@CODINGS
@pytest.mark.parametrize("target, status", [("/unread", 403), ("/partly?size=3", 200), ("/raises", 500)])
def test_body_that_came_with_its_head(site, target, status, coding):
    """Nothing is to come: the next request is behind it."""
    with site.connect() as connection:
        for _ in range(2):
            connection.send(upload(coding, target, b"GET / HTTP/1.1\r\n\r\n") + request(target="/state"))
            response = connection.read_response()
            assert response.status == status and not response.closes
            assert "pid" in answer(connection.read_response())


@CODINGS
@pytest.mark.parametrize("target, status", [("/unread", 403), ("/partly?size=3", 200), ("/raises", 500)])
def test_rest_of_a_body_is_not_the_next_request(site, target, status, coding):
    """The connection is closed, and not by a reset that would overtake the response."""
    body = request(target="/unread?key=smuggled") * 3000
    with site.connect() as connection:
        connection.send(upload(coding, target, body))
        response = connection.read_response()
        assert response.status == status and response.closes
        connection.assert_closed()
    with site.connect() as connection:
        connection.send(head(coding, target, len(body)) + framed(coding, body)[:20])
        response = connection.read_response()
        assert response.status == status and response.closes
        connection.send(framed(coding, body)[20:])
        connection.assert_closed()
    assert "smuggled" not in state(site)["progress"]


def test_large_body_that_is_not_read(site):
    """The client sends all of it before it looks at the answer."""
    with site.connect() as connection:
        connection.send(request("POST", "/unread", body=bytes(20_000_000)))
        response = connection.read_response()
        assert response.status == 403 and response.closes
        connection.assert_closed()


# --- what goes wrong ------


def test_too_large_a_length(hasty):
    with hasty.connect() as connection:
        connection.send(request("POST", "/unread?key=large", "Content-Length: 1000001", "Expect: 100-continue"))
        assert_refused(connection, 413)
    assert "large" not in state(hasty)["progress"]


FAULTS = {
    "length, cut": (head("length", "{}", 10) + b"12345", True, 400, "ConnectionResetError"),
    "length, nothing": (head("length", "{}", 10), True, 400, "ConnectionResetError"),
    "chunked, cut": (head("chunked", "{}", 0) + b"5\r\n123", True, 400, "ConnectionResetError"),
    "chunked, no end": (head("chunked", "{}", 0) + b"5\r\n12345\r\n", True, 400, "ConnectionResetError"),
    "chunked, malformed": (head("chunked", "{}", 0) + b"5\r\n12345\r\nx\r\n", False, 400, "OSError"),
    "chunked, too large": (head("chunked", "{}", 0) + b"5\r\n12345\r\nf4240\r\n", False, 413, "OSError"),
    "chunked, trailers": (head("chunked", "{}", 0) + b"0\r\n" + b"X: %s\r\n" % (b"y" * 17000), False, 431, "OSError"),
    "length, silent": (head("length", "{}", 10) + b"12345", False, 408, "TimeoutError"),
    "chunked, silent": (head("chunked", "{}", 0) + b"5\r\n123", False, 408, "TimeoutError"),
}


def test_silence_is_not_slowness(server):
    """However late it is noticed: until then, the client has become slower than any rate as well."""
    site = server("uploads:app", request_buffering="off", timeouts_body="1s", limits_body_rate="1M")
    with site.connect() as connection:
        connection.send(head("length", "/read", 10) + b"12345")
        assert_refused(connection, 408)
    site.wait_for_log("Refused a request of 127.0.0.1: 408, .*timeouts.body: POST /read")


@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_fault_of_the_client(hasty, fault):
    """Refused like any other, if the application lets it pass; else its own answer goes out."""
    octets, ends, status, name = FAULTS[fault]
    start = len(hasty.log())
    with hasty.connect() as connection:
        connection.send(octets.replace(b"{}", b"/read"))
        if ends:
            connection.send_end()
        assert_refused(connection, status)
    reason = ".*timeouts.body" if "silent" in fault else ".*"
    hasty.wait_for_log(f"Refused a request of 127.0.0.1: {status}, {reason}: POST /read", start)
    assert "Traceback" not in hasty.log()[start:]
    with hasty.connect() as connection:
        connection.send(octets.replace(b"{}", b"/caught"))
        if ends:
            connection.send_end()
        response = connection.read_response()
        seen = answer(response)
        assert seen[0][0] == name and seen[0][1] and seen == [seen[0]] * 3
        assert response.closes
        connection.assert_closed()


def trickle(connection, coding):
    connection.send(b"x" if coding == "length" else chunk(b"x"))


@CODINGS
def test_rate(hasty, coding):
    """One octet now and then does not hold a thread for ever."""
    start = len(hasty.log())
    with hasty.connect() as connection:
        end = time.monotonic() + DEADLINE
        connection.send(head(coding, "/read", 100000))
        while not connection.is_readable():
            assert time.monotonic() < end, "a slow client holds its thread"
            time.sleep(0.05)
            trickle(connection, coding)
        assert_refused(connection, 408)
    hasty.wait_for_log("408, .*limits.body_rate: POST /read", start)


@CODINGS
@pytest.mark.parametrize("how", ["reset", "half-closed"])
def test_fault_within_the_response_cuts_it(site, how, coding):
    start = len(site.log())
    with site.connect() as connection:
        connection.send(head(coding, "/echo?size=5", 20) + framed(coding, b"1234567890")[:-3])
        assert connection.read_head().status == 200
        assert connection.read_chunk() == b"12345"
        if how == "reset":
            connection.reset()
        else:
            connection.send_end()
            with pytest.raises(Truncated):
                while connection.read_chunk():
                    pass
    site.wait_for_log("Refused a request of 127.0.0.1: 400, .*: POST /echo", start)
    assert "Traceback" not in site.log()[start:]


@CODINGS
def test_client_that_goes_away(site, coding):
    """At any point: nothing is left of it."""
    octets = upload(coding, "/read")
    pid = state(site)["pid"]
    before = len(os.listdir(f"/proc/{pid}/fd"))
    for size in range(1, len(octets), 997):
        connection = site.connect()
        connection.send(octets[:size])
        connection.reset()
    poll(lambda: len(os.listdir(f"/proc/{pid}/fd")) <= before, "the connections are closed")
    assert state(site)["pid"] == pid


# --- threads and time ------


@CODINGS
def test_slow_client_holds_a_thread_and_not_the_loop(site, server, coding):
    """Others are answered by the other thread; by one alone, they are still accepted, refused and timed out."""
    threads = int(site.config.get("workers.threads", site.config.get("workers.connections")))
    with site.connect() as slow, site.connect() as idle:
        if threads == 2:
            assert state(site)
        slow.send(head(coding, "/count", 1000))
        for _ in range(20):
            trickle(slow, coding)
            if threads == 2:
                assert state(site)
                assert idle.request(target="/state").status == 200
            with site.connect() as bad:
                bad.send(b"GET / HTTP/1.1\r\n\r\n")
                assert bad.read_response().status == 400
                bad.assert_closed()
        idle.send(request(target="/state"))
        slow.send(b"x" * 980 if coding == "length" else b"0\r\n\r\n")
        length = 1000 if coding == "length" else 20
        assert answer(slow.read_response())["length"] == length
        assert answer(idle.read_response())


def test_answers_before_a_body_are_not_held_back(site):
    """A client may wait for them before it sends the body."""
    with site.connect() as connection:
        connection.send(request(target="/state") * 2 + head("length", "/count", 5))
        assert answer(connection.read_response()) and answer(connection.read_response())
        connection.send(b"hello")
        assert answer(connection.read_response())["length"] == 5


def test_waiting_for_the_client_is_not_the_applications_time(start_server):
    """A client cannot have the worker replaced; an application that hangs after it still does."""
    site = start_server("uploads:app", {"request_buffering": "off", "timeouts_request": "1s"})
    pid = state(site)["pid"]
    with site.connect() as connection:
        end = time.monotonic() + 3
        connection.send(head("chunked", "/count", 0))
        while time.monotonic() < end:
            trickle(connection, "chunked")
            time.sleep(0.1)
        connection.send(b"0\r\n\r\n")
        assert answer(connection.read_response())["length"] > 0
    assert state(site)["pid"] == pid and "timeouts.request" not in site.log()
    with site.connect() as connection:
        connection.send(head("length", "/hang", 2) + b"x")
        connection.send(b"x")
        site.wait_for_log("has run POST /hang .*timeouts.request")
        poll(lambda: state(site)["pid"] != pid, "another worker")
    site.faults_reported = len(site.log())  # the stacks of the one that was aborted


def test_application_that_hangs_after_it_has_waited(start_server):
    """Is given up in time: before the supervisor, who looks two seconds later, takes the worker for one that can't."""
    site = start_server("uploads:app", {"request_buffering": "off", "timeouts_request": "3s"})
    with site.connect() as connection:
        connection.send(head("length", "/hang", 2) + b"x")
        time.sleep(0.2)
        connection.send(b"x")
        assert connection.read_response().status == 504
    site.wait_for_log("has run POST /hang .*timeouts.request")
    site.faults_reported = len(site.log())


def test_body_goes_on_while_draining(start_server):
    site = start_server("uploads:app", {"request_buffering": "off"})
    with site.connect() as connection:
        connection.send(head("length", "/pieces", 2) + b"x")
        assert connection.read_head().status == 200 and connection.read_chunk() == b"1\n"
        site.signal(signal.SIGTERM)
        site.wait_for_notification("STOPPING=1")
        connection.send(b"x")
        assert connection.read_chunk() == b"1\n" and connection.read_chunk() == b""
        connection.assert_closed()
    assert site.wait() == 0


def test_draining_does_not_wait_for_ever(start_server):
    site = start_server("uploads:app", {"request_buffering": "off", "timeouts_graceful": "1s"})
    with site.connect() as connection:
        connection.send(head("length", "/pieces", 2) + b"x")
        assert connection.read_head().status == 200 and connection.read_chunk() == b"1\n"
        site.signal(signal.SIGTERM)
        connection.wait_gone()
        site.wait()
    site.wait_for_log("timeouts.graceful")
    site.faults_reported = len(site.log())  # supervisor and worker see at the same time that it is over


# --- much of it ------


def send_all(connection, pieces):
    """In a thread of its own, so that the answer can be read meanwhile."""

    def send():
        for piece in pieces:
            connection.send(piece)

    thread = threading.Thread(target=send)
    thread.start()
    return thread


def resident_kib(pid, what="VmHWM"):
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(what))


@CODINGS
@pytest.mark.parametrize("memory, file", [("1M", "1G"), ("64K", "0")], ids=["kept", "waited for"])
def test_echo_in_both_directions(server, coding, memory, file):
    """Reading, computing and writing go on side by side, also where the application waits for both."""
    site = server("uploads:app", request_buffering="off", limits_response_memory=memory, limits_response_file=file)
    size = 10_000_000 if SANITIZED else 100_000_000
    piece = os.urandom(100_000)
    sent, received, length = hashlib.sha256(piece * (size // len(piece))), hashlib.sha256(), 0
    with site.connect() as connection:
        data = piece if coding == "length" else chunk(piece)
        end = [] if coding == "length" else [b"0\r\n\r\n"]
        sender = send_all(connection, [head(coding, "/echo", size)] + [data] * (size // len(piece)) + end)
        assert connection.read_head().status == 200
        while block := connection.read_chunk():
            received.update(block)
            length += len(block)
        sender.join()
        connection.assert_closed()
    assert (length, received.digest()) == (size, sent.digest())


@CODINGS
def test_memory_does_not_grow_with_the_body(start_server, coding):
    site = start_server("uploads:app", {"request_buffering": "off", "limits_body": "0"})
    size, piece = 200_000_000, bytes(1_000_000)
    pid = state(site)["pid"]
    data = piece if coding == "length" else chunk(piece)
    with site.connect() as connection:
        connection.send(upload(coding, "/count", BODY))
        assert answer(connection.read_response())
        before = resident_kib(pid)
        connection.send(head(coding, "/count", size))
        for _ in range(size // len(piece)):
            connection.send(data)
        connection.send(b"" if coding == "length" else b"0\r\n\r\n")
        assert answer(connection.read_response())["length"] == size
    if not SANITIZED:
        assert resident_kib(pid) - before < 4096
    assert sorted(os.listdir(site.directory)) == ["log", "notify"], "nothing went to a file"
