# SPDX-License-Identifier: MIT
"""No descriptor and no memory is lost, by any process of the server, over many requests of all kinds, good and bad:
CGUNICORN_TEST_LEAK_REQUESTS of them (20,000). What the processes held at each tenth is printed (pytest -s, or -rP).
"""
import os
import threading

import pytest

from client import ProtocolError, Truncated, chunked, request
from harness import SANITIZED, poll

REQUESTS = int(os.environ.get("CGUNICORN_TEST_LEAK_REQUESTS", "20000"))
BATCH = 16
LIMIT = 200000  # limits.body


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def resident_kib(pid):
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))


def good_requests(path):
    """To be pipelined; the answer to each is a 200."""
    body = b"x" * 3000
    return [
        request(target="/"),
        request("HEAD", "/"),
        request(target="/stream"),
        request("HEAD", "/stream"),
        request(target="/large"),
        request(target=f"/file?{path}"),
        request("HEAD", f"/file?{path}"),
        request("POST", "/upload", body=body),
        request("POST", "/upload", "Transfer-Encoding: chunked") + chunked(body, 1000),
        request("POST", "/upload", body=body * 10),  # to a file
        request("POST", "/upload", "Transfer-Encoding: chunked") + chunked(body * 10, 5000),
        request("POST", "/", body=body),  # unread
        request("POST", "/", body=body * 10),
        request("POST", "/upload", body=body * 35),  # to a file, or into what read() returns
        request("GET", "/" + "x" * 2000, "Cookie: a=b", "Cookie: c=d", "X-Long: " + "y" * 3000),
    ]


def last_requests():
    """(octets, status): each is the last of its connection, which the server closes."""
    post = "Transfer-Encoding: chunked"
    return [
        (request(target="/", host=None), 400),
        (b"GET / HTTP/1.1\nHost: a\n\n", 400),
        (request("GET", "/", " folded"), 400),
        (request("POST", "/", "Content-Length: 1", post) + b"x", 400),
        (request("POST", "/upload", post) + b"5\r\nhello\r\nnothing\r\n", 400),
        (request("POST", "/upload", f"Content-Length: {LIMIT + 1}"), 413),
        (request("POST", "/upload", post) + b"%x\r\n" % (LIMIT + 1), 413),
        (request(target="/" + "x" * 9000), 414),
        (request("GET", "/", "X: " + "x" * 9000), 431),
        (request("GET", "/", *[f"X-{i}: x" for i in range(101)]), 431),
        (request(version="2.0"), 505),
        (request("BREW", "/"), 501),
        (request("GET", "/", "Expect: something"), 417),
        (request("GET", "/", "Connection: close"), 200),
        (request(version="1.0"), 200),
        (request(target="/error", version="1.0"), 500),
    ]


def client(site, path, number, errors):
    """One batch after the other, on connections that end in every way."""
    good = good_requests(path)
    methods = ["HEAD" if octets.startswith(b"HEAD") else "GET" for octets in good]
    last = last_requests()
    upload = request("POST", "/upload", "Content-Length: 120000") + b"x" * 80000
    chunks = request("POST", "/upload", "Transfer-Encoding: chunked") + chunked(b"x" * 50000, 1000)[:-2]
    done = 0
    try:
        while done < number:
            with site.connect() as connection:
                for turn in range(10):
                    octets = [good[(turn + i) % len(good)] for i in range(BATCH)]
                    connection.send(b"".join(octets))
                    for i in range(BATCH):
                        assert connection.read_response(methods[(turn + i) % len(good)]).status == 200
                for target in ("/error", "/bad-header"):
                    assert connection.request("GET", target).status == 500
                connection.send(request(target="/late-error"))
                with pytest.raises(Truncated):
                    connection.read_response()
            with site.connect() as connection:
                connection.send(request(target="/short"))
                with pytest.raises(Truncated):
                    connection.read_response()
            for octets, status in last:
                with site.connect() as connection:
                    connection.send(octets)
                    response = connection.read_response()
                    assert response.status == status and response.closes, (octets[:80], response)
                    connection.assert_closed()
            for octets in (upload, chunks):  # cut: the client says so, or is gone
                with site.connect() as connection:
                    connection.send(octets)
                    connection.send_end()
                    assert connection.read_response().status == 400
                connection = site.connect()
                connection.send(octets)
                connection.reset()
            for octets in (b"", b"GET / HT", request(target="/stream"), request(target=f"/file?{path}") * 20):
                connection = site.connect()
                connection.send(octets)
                connection.close()
            connection = site.connect()
            connection.send(request(target="/large") * 20)
            connection.reset()
            done += 10 * BATCH + 4 + len(last) + 4  # what is abandoned is not counted
    except (OSError, ProtocolError, AssertionError) as error:
        errors.append(error)


def run(site, path, number):
    errors = []
    threads = [threading.Thread(target=client, args=(site, path, number // 2, errors)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors, errors


@pytest.mark.parametrize("threads", [1, 4])
def test_nothing_leaks(start_server, tmp_path, threads):
    path = tmp_path / "file"
    path.write_bytes(b"f" * 20000)
    site = start_server(
        "blocks:app",
        {
            "workers_count": 2,
            "workers_threads": threads,
            "limits_body": LIMIT,
            "limits_body_memory": "16K" if threads == 1 else "128K",
            "limits_response_memory": "64K",
            "log_access": tmp_path / "access.log",
        },
    )
    run(site, path, max(2000, REQUESTS // 10))  # warm: arenas, caches, buffers that are kept
    pids = site.pids()
    before = poll(lambda: {pid: descriptors(pid) for pid in pids}, "descriptors")
    memory = {pid: resident_kib(pid) for pid in pids}
    print("requests  " + "  ".join(f"KiB, descriptors of {pid}" for pid in pids))
    for step in range(1, 11):
        run(site, path, REQUESTS // 10)
        print(
            f"{step * REQUESTS // 10:8}  ",
            [(resident_kib(pid), descriptors(pid)) for pid in pids],
            flush=True,
        )
    assert site.pids() == pids, "no process was replaced"
    poll(lambda: all(descriptors(pid) <= before[pid] for pid in pids), f"descriptors as before: {before}")
    if not SANITIZED:
        growth = {pid: resident_kib(pid) - memory[pid] for pid in pids}
        # malloc() keeps some MiB of what large bodies needed (src/worker/worker.c); a leak in each request would be
        # more
        assert all(kib < 4096 for kib in growth.values()), f"KiB: {growth}"
