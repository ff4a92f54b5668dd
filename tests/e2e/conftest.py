# SPDX-License-Identifier: MIT
"""Fixtures of the end-to-end tests."""
import pytest

from harness import PROGRAM, Pool, Server


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
    servers = []

    def start(app, config=None, **options):
        server = Server(app, config, **options)
        try:
            server.start()
        except BaseException:
            server.destroy()
            raise
        servers.append(server)
        return server

    yield start
    errors = []
    for server in servers:
        try:
            server.stop()
        except AssertionError as error:
            errors.append(error)
    assert not errors, "\n".join(map(str, errors))
