# SPDX-License-Identifier: MIT
"""systemd watches the supervisor, the supervisor its workers."""

import signal
import threading

import pytest

from machine import DEADLINE, wait_until
from test_reload import SlowRequest, versioned

PID = """\
import os, time


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    if environ["PATH_INFO"] == "/hang":
        time.sleep(1e9)
    return [str(os.getpid()).encode()]
"""


def kill_in(site, pid, number):
    site.machine.run("sh", "-c", f"kill -{int(number)} {pid}")


def kill_supervisor(site):
    """Until none of its workers can answer any more."""
    pids = site.processes()
    kill_in(site, site.main_pid, signal.SIGKILL)
    wait_until(lambda: not set(pids) & set(site.processes()), "its workers to leave")


def test_watchdog(make_site):
    """A supervisor that hangs is replaced, with its workers."""
    site = make_site()
    site.write_drop_in("[Service]\nWatchdogSec=1s\nRestartSec=100ms\n")
    pid = site.start().main_pid
    kill_in(site, pid, signal.SIGSTOP)
    wait_until(lambda: site.main_pid not in (0, pid) and site.show("ActiveState") == "active", "a new supervisor")
    assert site.show("NRestarts") == "1"
    assert any("watchdog" in record["MESSAGE"].lower() for record in site.journal("_PID=1"))
    assert site.get() == "hello\n"


def test_watchdog_is_fed(make_site):
    """A busy site outlives its watchdog: the supervisor feeds it, whatever the application does."""
    site = make_site(PID, ini="[workers]\ncount = 1\n[timeouts]\ngraceful = 1s\n")
    site.write_drop_in("[Service]\nWatchdogSec=1s\n")
    pid = site.start().main_pid
    connection = site.connect()
    connection.request("GET", "/hang")
    stamps = {site.show("WatchdogTimestampMonotonic")}

    def three_pings():
        stamps.add(site.show("WatchdogTimestampMonotonic"))
        return len(stamps) > 3

    wait_until(three_pings, "the watchdog is fed three times")
    connection.close()
    assert (site.main_pid, site.show("NRestarts")) == (pid, "0")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGSTOP], ids=["kill", "segv", "stop"])
def test_outlived(make_site, number):
    """Its workers finish what they have begun before systemd kills what is left; then comes the next."""
    site = make_site()
    site.write_drop_in("[Service]\nWatchdogSec=1s\nRestartSec=100ms\n")
    versioned(site, "one")
    pid = site.start().main_pid
    slow = SlowRequest(site)
    kill_in(site, pid, number)
    wait_until(lambda: site.main_pid != pid, "systemd knows of the death")
    versioned(site, "two")
    next_request = threading.Thread(target=lambda: answers.append(site.get()), daemon=True)
    answers = []
    next_request.start()
    assert slow.answer is None
    assert slow.finish() == "one"
    next_request.join(DEADLINE)
    assert answers == ["two"]
    assert site.main_pid not in (0, pid) and site.show("NRestarts") == "1"


def test_killed_supervisor_leaves_nothing_behind(site):
    pid = site.start().main_pid
    assert site.children()
    kill_supervisor(site)
    assert site.get() == "hello\n"
    assert site.main_pid != pid


def test_numbers_survive(site):
    """The total of requests: a restart, and a crash."""

    def total_is(n):
        wait_until(lambda: f" {n} requests" in site.show("StatusText"), f"{n} requests in the status")

    site.start()
    for _ in range(3):
        assert site.get() == "hello\n"
    total_is(3)
    site.systemctl("restart")
    total_is(3)
    assert "Stopped after 3 requests" in site.journal_text()
    assert site.get() == "hello\n"
    kill_supervisor(site)
    assert site.get() == "hello\n"
    total_is(5)
    assert site.show("NFileDescriptorStore") == "1"
    site.systemctl("restart")
    assert "Stopped after 1 requests" in site.journal_text()
    total_is(5)


def test_numbers_survive_a_stop(site):
    """FileDescriptorStorePreserve=."""
    if site.machine.systemd_version() < 254:
        pytest.skip("needs systemd 254")
    site.start()
    assert site.get() == "hello\n"
    site.systemctl("stop")
    assert site.show("NFileDescriptorStore") == "1"
    site.start()
    wait_until(lambda: " 1 requests" in site.show("StatusText"), "the request in the status")


def test_memory_pressure_is_watched(site):
    if site.machine.systemd_version() < 254:
        pytest.skip("needs systemd 254")
    pid = site.start().main_pid
    links = site.machine.run("sh", "-c", f"readlink /proc/{pid}/fd/*").stdout.split()
    assert f"/sys/fs/cgroup{site.show('ControlGroup')}/memory.pressure" in links


def test_killed_worker_is_replaced(make_site):
    site = make_site(PID, ini="[workers]\ncount = 1\n").start()
    pid, worker = site.main_pid, int(site.get())
    kill_in(site, worker, signal.SIGKILL)
    died = f"MESSAGE_ID={site.machine.message_id('WORKER_DIED')}"
    wait_until(lambda: site.journal(died), "the death is logged")
    assert int(site.get()) != worker
    assert site.main_pid == pid


def test_hung_request(make_site):
    """Its stack is in the journal, its worker is replaced, the site lives."""
    site = make_site(PID, ini="[workers]\ncount = 1\n[timeouts]\nrequest = 500ms\ngraceful = 1s\n").start()
    pid, worker = site.main_pid, int(site.get())
    connection = site.connect()
    connection.request("GET", "/hang")
    hung = f"MESSAGE_ID={site.machine.message_id('WORKER_TIMEOUT')}"
    record = wait_until(lambda: site.journal(hung), "the timeout is logged")[0]
    assert "/hang" in record["MESSAGE"]
    assert int(site.get()) != worker
    wait_until(lambda: "in application" in site.journal_text(), "the stack is in the journal")
    assert site.main_pid == pid
    connection.close()


def test_no_privileges(site):
    """No process of a site has a capability, nor can get one."""
    site.start()
    for pid in site.processes():
        status = dict(line.split(":\t", 1) for line in
                      site.machine.run("cat", f"/proc/{pid}/status").stdout.splitlines() if ":\t" in line)
        assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0
        assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"
        assert status["Uid"].split()[0] != "0"
