# SPDX-License-Identifier: MIT
"""One booted systemd for all tests, with what `make install DESTDIR=$CGUNICORN_STAGE` has installed; each test has
sites of its own, named after it. CGUNICORN_TEST_ROOT: a root directory with another systemd (run-newest), and not /."""

import os
import pathlib
import re

import pytest

from machine import Machine, Site, root_problem


@pytest.fixture(scope="session")
def machine():
    problem = root_problem()
    if problem:
        pytest.skip(problem)
    stage = pathlib.Path(os.environ.get("CGUNICORN_STAGE", "build/stage"))
    assert stage.is_dir(), f"{stage}: run `make install DESTDIR=…` first and name the directory in CGUNICORN_STAGE"
    booted = Machine(f"cgunicorn-test-{os.getpid()}", stage, os.environ.get("CGUNICORN_TEST_ROOT", "/"))
    yield booted
    booted.down()


@pytest.fixture
def make_site(machine, request):
    """make_site(app=…, ini=…): a Site with its own name, stopped at the end of the test. A failed test shows its journal."""
    sites = []

    def make(*arguments, **options):
        test = re.sub("[^a-z0-9]+", "-", request.node.name.removeprefix("test_"))[:17].strip("-")
        site = Site(machine, f"{test}-{len(sites)}", *arguments, **options)
        sites.append(site)
        return site

    yield make
    for site in sites:
        if getattr(request.node, "failed", False):
            print(f"--- {site.name}\n{site.journal_text()}")
        site.stop()


@pytest.fixture
def site(make_site):
    """A site with the smallest application, not started."""
    return make_site()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    if call.when == "call" and outcome.get_result().failed:
        item.failed = True
