# SPDX-License-Identifier: MIT
"""Responses that come piece by piece: pieces are gathered, and still none waits for the next one."""
import itertools
import json
from urllib.parse import urlencode

import pytest

from client import request
from harness import poll

TOTAL = 2_000_000


def expected(blocks, size):
    return b"".join(bytes([97 + i % 26]) * size for i in range(blocks))


@pytest.fixture
def site(server):
    return server("behaviours:app")


@pytest.mark.parametrize("size", [1, 100, 1000, 16383, 16384, 65536, 200_000])
def test_all_of_it_in_order(site, size):
    blocks = min(TOTAL // size, 20_000)
    body = expected(blocks, size)
    with site.connect() as connection:
        for length in "", f"&length={blocks * size}":
            connection.send(request(target=f"/stream?blocks={blocks}&size={size}{length}"))
            assert connection.read_response().body == body
        connection.send(request(target=f"/stream?blocks={blocks}&size={size}", version="1.0"))
        assert connection.read_response().body == body


def read_burst(connection, size):
    assert connection.read_chunk() == b"a" * size
    assert connection.read_chunk() == b"b" * size
    assert connection.read_chunk() == b"c" * size


@pytest.mark.parametrize("by", ["generator", "write"])
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("size", [10, 10_000, 100_000])
def test_no_block_waits_for_the_next(server, tmp_path, size, threads, by):
    """The application makes it when the client has all before."""
    site = server("behaviours:app", workers_threads=threads)
    connections = [site.connect() for _ in range(threads)]
    for number, connection in enumerate(connections):
        arguments = {"path": tmp_path / str(number), "rounds": 8, "size": size, "by": by}
        connection.send(request(target=f"/bursts?{urlencode(arguments)}"))
    for connection in connections:
        assert connection.read_head().status == 200
    for turn in range(8):
        for number, connection in enumerate(connections):
            read_burst(connection, size)
            (tmp_path / f"{number}.{turn}").touch()
    for connection in connections:
        assert connection.read_chunk() == b""
        connection.send(request(target="/hello"))
        assert connection.read_response().body == b"Hello, world!\n"
        connection.close()


def test_pipelined_behind_a_stream(site):
    with site.connect() as connection:
        connection.send(request(target="/hello") + request(target="/stream?blocks=50&size=1000") * 3 +
                        request(target="/hello"))
        assert connection.read_response().body == b"Hello, world!\n"
        for _ in range(3):
            assert connection.read_response().body == expected(50, 1000)
        assert connection.read_response().body == b"Hello, world!\n"


def closes(site):
    return json.loads(site.get("/state").body)["closes"]


def test_who_goes_ends_it(site):
    """An application that makes blocks for ever learns that nobody takes them."""
    for number in range(5):
        with site.connect() as connection:
            connection.send(request(target=f"/stream?blocks=1000000000&size=100&key=gone{number}"))
            list(itertools.islice(iter(lambda: connection.receive(), b""), 3))
    poll(lambda: all(closes(site).get(f"gone{number}") == 1 for number in range(5)), "close()")
