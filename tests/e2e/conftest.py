# SPDX-License-Identifier: MIT
"""Fixtures of the end-to-end tests."""
import contextlib
import socket

import pytest

from harness import PROGRAM, Pool, running


def pytest_configure(config):
    if not PROGRAM.exists():
        raise pytest.UsageError(f"{PROGRAM} is missing: CGUNICORN_BUILD_DIR must name the build directory")


@pytest.fixture(scope="module")
def pool():
    servers = Pool()
    yield servers
    servers.stop()


@pytest.fixture
def server(pool):
    """server(app, section_key=value…): a running server, shared by the tests of a module that ask for equals."""
    yield pool.get
    pool.check()


@pytest.fixture
def start_server():
    """start_server(app, config, …): a server of the test's own (see harness.Server), stopped at its end."""
    with contextlib.ExitStack() as servers:
        yield lambda *arguments, **options: servers.enter_context(running(*arguments, **options))


@pytest.fixture
def port():
    """For a server that binds by itself; reserved until the end of the test, as SO_REUSEADDR lets both have it."""
    with socket.socket() as reserved:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.bind(("127.0.0.1", 0))
        yield reserved.getsockname()[1]
