# SPDX-License-Identifier: MIT
"""Requests damaged at random, the same ones each time: whatever comes back is HTTP, and the server goes on."""
import random

import pytest

from client import chunk, chunked, request

SEEDS = [
    request("GET", "/a%20b?c=d", "Cookie: a=b", "X-Forwarded-For: 192.0.2.7", "User-Agent: fuzz"),
    request("POST", "/", "Content-Type: text/plain", body=b"hello world"),
    request("POST", "/", "Transfer-Encoding: chunked") + chunked(b"hello world", 4, b"X-Trailer: 1\r\n"),
    request("POST", "/", "Transfer-Encoding: chunked") + chunk(b"hello", b';a="b";c') + b"0\r\n\r\n",
    request("PUT", "http://example.org:80/x", "Expect: 100-continue", body=b"hello"),
    request("OPTIONS", "*", "Connection: keep-alive, foo") + request("TRACE", "/"),
    request("GET", "/", "Connection: keep-alive", version="1.0") + request("GET", "/", version="1.0"),
]
STATUSES = {100, 200, 400, 413, 414, 417, 431, 501, 505}
PIECES = [
    b"\r\n",
    b"\n",
    b"\r",
    b" ",
    b"\t",
    b"\0",
    b":",
    b";",
    b",",
    b"/",
    b"?",
    b"#",
    b"%",
    b"*",
    b"-",
    b"_",
    b"0",
    b"9" * 20,
    b"f",
    b"\x7f",
    b"\xff",
    b"HTTP/1.1",
    b"Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Host: a\r\n",
    b"0\r\n\r\n",
    b"Expect: 100-continue\r\n",
    b"Connection: close\r\n",
    b"x" * 9000,
]


def damage(generator, octets):
    for _ in range(generator.choice([1, 1, 1, 2, 4])):
        place = generator.randrange(len(octets) + 1)
        kind = generator.randrange(5)
        if kind == 0:  # insert
            octets = octets[:place] + generator.choice(PIECES) + octets[place:]
        elif kind == 1:  # remove
            octets = octets[:place] + octets[place + generator.randrange(1, 12) :]
        elif kind == 2:  # change
            octets = octets[:place] + bytes([generator.randrange(256)]) + octets[place + 1 :]
        elif kind == 3:  # repeat
            octets = octets[:place] + octets[max(0, place - generator.randrange(1, 60)) :]
        else:  # splice
            other = generator.choice(SEEDS)
            octets = octets[:place] + other[generator.randrange(len(other)) :]
    return octets


@pytest.mark.parametrize("number", range(20))
def test_damaged_requests(server, number):
    site = server("echo:app", limits_body="1M", limits_body_memory="4")
    generator = random.Random(number)
    for _ in range(60):
        octets = damage(generator, generator.choice(SEEDS))
        with site.connect() as connection:
            size = generator.choice([1, 17, len(octets) + 1])
            try:
                connection.send_slowly(octets, size)
                connection.send_end()
            except OSError:
                pass  # something damaged asked for a close, and the rest came behind that
            try:
                while not connection.at_end():
                    assert connection.read_response().status in STATUSES
            except ConnectionResetError:
                pass
            except AssertionError as error:
                raise AssertionError(f"{error} after {octets!r}") from error
    assert site.get().status == 200
