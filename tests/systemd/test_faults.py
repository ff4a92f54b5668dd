# SPDX-License-Identifier: MIT
"""The faults of the campaign (tests/faults) that take systemd: every request of a load is accounted for."""
import re
import signal
import socket
from pathlib import Path

import pytest

import faulty
from campaign import pattern
from client import Connection
from load import Load
from machine import DEADLINE, wait_until
from rows import ROWS
from test_supervision import kill_in

SOURCE = Path(faulty.__file__).read_text()


@pytest.fixture
def target(make_site):
    """A site that runs, with two workers and a load that begins with the `with` block."""
    site = make_site(SOURCE, "[workers]\ncount = 2\n[log]\naccess = journal\n", module="app")
    site.write_drop_in("[Service]\nRestartSec=100ms\n")
    site.start()
    site.load = Load(lambda: Connection(socket.AF_UNIX, site.socket_path(), timeout=DEADLINE))
    return site


def wait_until_whole(site):
    wait_until(lambda: site.show("StatusText").startswith("2/2 workers"), "two workers")
    site.load.wait_for_more()


def check(site, row, **allowed):
    site.load.check(site.machine.path(f"/var/lib/private/cgunicorn/{site.name}"), **allowed)
    text = site.journal_text()
    for said in ROWS[row].journal:
        assert re.search(pattern(said), text), f"{said!r} is not in\n{text[-5000:]}"


def test_kill_of_supervisor(target):
    with target.load:
        target.load.wait_for_more()
        pid = target.main_pid
        kill_in(target, pid, signal.SIGKILL)
        wait_until(lambda: target.main_pid not in (0, pid), "another supervisor")
        wait_until_whole(target)
    check(target, "supervisor-killed")


def test_stop_of_supervisor(target):
    target.write_drop_in("[Service]\nWatchdogSec=1s\nRestartSec=100ms\n")
    target.systemctl("restart")
    with target.load:
        target.load.wait_for_more()
        pid, workers = target.main_pid, target.children()
        kill_in(target, pid, signal.SIGSTOP)
        wait_until(lambda: target.main_pid not in (0, pid), "another supervisor")
        wait_until_whole(target)
    check(target, "supervisor-stopped", hit=workers)


def test_restart(target):
    with target.load:
        target.load.wait_for_more()
        target.systemctl("restart")
        wait_until_whole(target)
    check(target, "restarted")


def test_restart_of_socket(target):
    with target.load:
        target.load.wait_for_more()
        target.machine.systemctl("restart", target.socket)
        wait_until_whole(target)
    check(target, "socket-restarted", socket_closes=True)


def test_journal_is_away(target):
    """Its sockets too, which are what else would keep the records until it is back."""
    journald = ["systemd-journald.service", "systemd-journald.socket", "systemd-journald-dev-log.socket"]
    with target.load:
        target.load.wait_for_more()
        target.machine.systemctl("stop", *journald, "systemd-journald-audit.socket")
        target.load.wait_for_more(500)
        target.machine.systemctl("start", *journald)
        target.load.wait_for_more()
        wait_until_whole(target)
        wait_until(lambda: target.journal("HTTP_STATUS=200", "--since=-1s"), "records of now")
    check(target, "journal-away")
