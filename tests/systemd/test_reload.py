# SPDX-License-Identifier: MIT
"""New code, restart, stop: nothing is lost, and broken code changes nothing."""

import re
import shutil
import subprocess
import threading
import time

import pytest

from crowd import Clients
from machine import APP, DEADLINE, wait_until

SLOW = """\
import os, time
VERSION = {version!r}


def application(environ, start_response):
    if environ["PATH_INFO"] == "/slow":
        open(os.environ["STATE_DIRECTORY"] + "/running", "w").close()
        while not os.path.exists("/srv/{name}/gate"):
            time.sleep(0.01)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [VERSION.encode()]
"""


def versioned(site, version):
    site.write_app(SLOW.format(version=version, name=site.name))


class SlowRequest:
    """A request that is in the application until finish() is called."""

    def __init__(self, site):
        self.site = site
        self.answer = None
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        wait_until(lambda: site.machine.run("test", "-e", f"/var/lib/cgunicorn/{site.name}/running",
                                            check=False).returncode == 0, "the request runs")

    def run(self):
        try:
            self.answer = self.site.get("/slow")
        except OSError as error:
            self.answer = error

    def finish(self):
        self.site.machine.write(f"/srv/{self.site.name}/gate", "")
        self.thread.join(timeout=DEADLINE)
        return self.answer


class Load(Clients):
    """Clients that ask without a pause: a connection a request, or as many requests on one as the server allows by not
    saying "Connection: close"."""

    def __init__(self, site, keep_alive, n_clients=4):
        super().__init__(n_clients)
        self.site, self.keep_alive, self.failures, self.n_answers = site, keep_alive, [], 0

    def run(self, number):
        try:
            while not self.stopping.is_set():
                self.use(self.site.connect())
        except Exception as error:
            self.failures.append(error)

    def use(self, connection):
        closes = False
        while not (closes or self.stopping.is_set()):
            connection.request("GET", "/", headers={} if self.keep_alive else {"Connection": "close"})
            response = connection.getresponse()
            assert response.read() == b"hello\n" and response.status == 200
            closes = response.will_close
            self.n_answers += 1
        connection.close()

    def wait_for_more(self, n=50):
        target = self.n_answers + n
        wait_until(lambda: self.n_answers >= target or self.failures, f"{n} more answers")


def test_reload(make_site):
    site = make_site()
    versioned(site, "one")
    pid = site.start().main_pid
    assert site.get() == "one"
    versioned(site, "two")
    site.systemctl("reload")
    assert site.get() == "two"
    assert site.main_pid == pid
    records = site.journal(f"MESSAGE_ID={site.machine.message_id('RELOADED')}")
    assert len(records) == 1


def test_reload_reads_the_ini_file(make_site):
    site = make_site(ini="[workers]\ncount = 1\n").start()
    assert site.show("StatusText").startswith("1/1 workers")
    site.write_ini("[workers]\ncount = 3\n")
    site.systemctl("reload")
    wait_until(lambda: site.show("StatusText").startswith("3/3 workers"), "3 of 3 workers")


def test_broken_reload_keeps_the_old_code(make_site):
    site = make_site()
    versioned(site, "one")
    pid = site.start().main_pid
    site.write_app("raise RuntimeError('broken by a deployment')\n")
    result = site.systemctl("reload", check=False)
    assert (result.returncode != 0) == can_fail(site)
    assert site.show("ActiveState") == "active"
    assert site.get() == "one"
    wait_until(lambda: "broken by a deployment" in site.journal_text(), "the traceback in the journal")

    # The signal alone, as older deployments send it, does no harm either.
    site.machine.systemctl("kill", "--kill-who=main", "-s", "HUP", site.service)
    failed = f"MESSAGE_ID={site.machine.message_id('RELOAD_FAILED')}"
    wait_until(lambda: site.journal(failed), "the failed reload is logged")
    wait_until(lambda: "last reload failed: RuntimeError: broken by a deployment" in site.show("StatusText"), "the status")
    assert site.get() == "one"

    # And the next one works.
    versioned(site, "two")
    site.systemctl("reload")
    assert site.get() == "two"
    assert site.main_pid == pid


def can_fail(site):
    """Whether `systemctl reload` hears of it: between 253 and 258, systemd has no way to."""
    version = site.machine.systemd_version()
    return version < 253 or version >= 259


def test_new_code_that_does_not_answer(make_site):
    """It is loaded, and the check of the reload fails: systemctl tells, and the journal, with what to do."""
    site = make_site(ini="[reload]\ncheck_path = /health\n").start()
    site.write_app(APP.replace("200 OK", "503 No database"))
    assert (site.systemctl("reload", check=False).returncode != 0) == can_fail(site)
    site.machine.systemctl("kill", "--kill-who=main", "-s", "HUP", site.service)
    wait_until(lambda: site.journal(f"MESSAGE_ID={site.machine.message_id('RELOAD_FAILED')}"), "the failed reload")
    reason = "reload.check_path: GET /health was answered with 503 No database: hello"
    wait_until(lambda: f"last reload failed: {reason}" in site.show("StatusText"), "the status")
    records = site.journal(f"MESSAGE_ID={site.machine.message_id('CHECK_FAILED')}")
    assert len(records) >= 1 and all(reason in record["MESSAGE"] for record in records)
    assert site.get() == "hello\n" and site.show("ActiveState") == "active"
    site.write_app(APP.replace("hello", "new"))
    site.systemctl("reload")
    assert site.get() == "new\n"


def test_new_code_that_keeps_dying(make_site):
    site = make_site(ini="[workers]\npreload = yes\ncount = 1\n").start()
    site.write_app(APP.replace("hello", "new"))
    site.systemctl("reload")
    assert site.get() == "new\n"
    rolled_back = f"MESSAGE_ID={site.machine.message_id('ROLLED_BACK')}"

    def kill_one():
        found = site.machine.run("pgrep", "-f", "cgunicorn: worker [0-9]+ gen 2", check=False).stdout.split()
        for pid in set(site.children()) & set(map(int, found)):
            site.machine.run("kill", "-KILL", str(pid), check=False)
        return site.journal(rolled_back)

    wait_until(kill_one, "the way back")
    wait_until(lambda: site.get() == "hello\n", "the old code")
    wait_until(lambda: "generation 2 died within reload.watch=30s" in site.show("StatusText"), "the status")
    assert site.show("ActiveState") == "active" and site.show("NRestarts") == "0"


def test_development(make_site):
    """By an edit alone, in the sandbox of the unit; broken code is shown to the browser."""
    site = make_site(ini="[develop]\nreload = yes\n")
    versioned(site, "one")
    pid = site.start().main_pid
    assert "develop.reload is for development only" in site.journal_text()
    site.write_app("raise RuntimeError('not yet right')\n")
    wait_until(lambda: b"RuntimeError: not yet right" in site.request()[1], "the page")
    records = site.journal(f"MESSAGE_ID={site.machine.message_id('LOAD_FAILED')}")
    assert records and all("RuntimeError: not yet right" in record["MESSAGE"] for record in records)
    versioned(site, "two")
    wait_until(lambda: site.request() == (200, b"two"), "the new code")
    assert site.main_pid == pid


def test_reload_with_broken_ini(make_site):
    site = make_site().start()
    site.write_ini("[workers]\ncount = many\n")
    site.systemctl("reload", check=False)
    assert site.get() == "hello\n"
    site.write_ini()
    site.systemctl("reload")
    assert site.get() == "hello\n"


def test_reload_does_not_wait_for_running_requests(make_site):
    site = make_site(ini="[workers]\ncount = 1\n")
    versioned(site, "one")
    slow = SlowRequest(site.start())
    versioned(site, "two")
    site.systemctl("reload")
    assert site.get() == "two"
    assert slow.answer is None
    assert slow.finish() == "one"


@pytest.mark.parametrize("keep_alive", [False, True], ids=["close", "keep-alive"])
def test_reload_under_load(make_site, keep_alive):
    site = make_site().start()
    with Load(site, keep_alive) as load:
        for _ in range(3):
            load.wait_for_more()
            site.systemctl("reload")
        load.wait_for_more()
    assert load.failures == []


@pytest.mark.parametrize("keep_alive", [False, True], ids=["close", "keep-alive"])
def test_restart_under_load(make_site, keep_alive):
    site = make_site().start()
    pid = site.main_pid
    with Load(site, keep_alive) as load:
        load.wait_for_more()
        site.systemctl("restart")
        load.wait_for_more()
    assert load.failures == []
    assert site.main_pid != pid


def test_stop_lets_requests_finish(make_site):
    site = make_site()
    versioned(site, "one")
    slow = SlowRequest(site.start())
    stop = site.machine.popen("systemctl", "stop", site.socket, site.service)
    wait_until(lambda: site.show("ActiveState") == "deactivating", "it is stopping")
    assert stop.poll() is None
    assert slow.finish() == "one"
    assert stop.wait(timeout=30) == 0
    assert (site.show("ActiveState"), site.show("Result"), site.show("ExecMainStatus")) == ("inactive", "success", "0")
    assert site.processes() == []


def test_stop_of_the_service_alone(site):
    """The socket goes on listening, and the next request starts the site again."""
    pid = site.start().main_pid
    site.systemctl("stop")
    assert site.processes() == []
    assert site.get() == "hello\n"
    assert site.main_pid not in (0, pid)


def test_restart_of_the_socket(site):
    """After listen= changed, say: the service comes along, and both work."""
    site.start()
    site.machine.systemctl("restart", site.socket)
    assert site.machine.show(site.socket, "ActiveState") == "active"
    assert site.get() == "hello\n"


def test_all_sites_at_once(make_site):
    sites = [make_site() for _ in range(2)]
    for number, site in enumerate(sites):
        site.start()
        site.write_app(APP.replace("hello", f"new {number}"))
    sites[0].machine.systemctl("reload", *(site.service for site in sites))
    assert [site.get() for site in sites] == ["new 0\n", "new 1\n"]


def served(site):
    """Requests that the site has answered in all its instances, by its status line."""
    found = re.search(r"(\d+) requests", site.show("StatusText"))
    return int(found[1]) if found else 0


@pytest.mark.skipif(not shutil.which("wrk"), reason="wrk is not installed")
@pytest.mark.parametrize("connection", ["keep-alive", "close"])
def test_wrk_loses_nothing(make_site, connection):
    """A client on a TCP socket, through three reloads and a restart."""
    site = make_site(ini="[socket]\nlisten = 127.0.0.1:8016\n").start()
    client = site.machine.popen("wrk", "-t1", "-c32", "-d300", "--timeout", f"{DEADLINE}s", "-H", f"Connection: {connection}",
                                "http://127.0.0.1:8016/", stdout=subprocess.PIPE)
    try:
        for verb in ["reload", "reload", "reload", "restart"]:
            before = served(site)
            site.systemctl(verb)
            wait_until(lambda: served(site) > before + 100, f"requests after {verb}")
    finally:
        site.machine.run("pkill", "-INT", "-x", "wrk")
    report = client.communicate(timeout=DEADLINE)[0]
    assert int(re.search(r"(\d+) requests in", report)[1]) > 400
    assert "Socket errors" not in report and "Non-2xx" not in report, report


def test_new_supervisor_binary(site):
    """A new version of the program comes into force by a restart, under load."""
    site.start()
    program = site.machine.program
    with Load(site, False) as close, Load(site, True) as keep_alive:
        close.wait_for_more()
        site.machine.run("cp", program, f"{program}.new")
        site.machine.run("mv", f"{program}.new", program)
        before = site.machine.run("readlink", f"/proc/{site.main_pid}/exe").stdout
        site.systemctl("restart")
        for load in close, keep_alive:
            load.wait_for_more()
    assert before.strip().endswith("(deleted)")
    assert not site.machine.run("readlink", f"/proc/{site.main_pid}/exe").stdout.strip().endswith("(deleted)")
    assert close.failures == keep_alive.failures == []


@pytest.mark.parametrize("keep_alive", [False, True], ids=["close", "keep"])
@pytest.mark.parametrize("number", ["TERM", "KILL"])
def test_end_of_the_supervisor_under_load(make_site, number, keep_alive):
    """Told to stop, when systemd starts it again for the next connection; or killed."""
    site = make_site()
    site.write_drop_in("[Service]\nRestartSec=100ms\n")
    site.start()
    pids = {site.main_pid}
    with Load(site, keep_alive) as load:
        for _ in range(3):
            load.wait_for_more()
            site.machine.systemctl("kill", "--kill-who=main", "-s", number, site.service)
            wait_until(lambda: site.main_pid not in {0, *pids}, "the next instance")
            pids.add(site.main_pid)
        load.wait_for_more()
    assert load.failures == []


def test_stop_lasts_as_long_as_the_requests(make_site):
    """timeouts.graceful holds, whatever the unit says: systemd is told that it takes longer."""
    site = make_site()
    site.write_drop_in("[Service]\nTimeoutStopSec=1s\n")
    versioned(site, "one")
    slow = SlowRequest(site.start())
    begun = time.monotonic()
    stop = site.machine.popen("systemctl", "stop", site.service)
    wait_until(lambda: site.show("ActiveState") == "deactivating", "it is stopping")
    wait_until(lambda: time.monotonic() > begun + 4, "TimeoutStopSec= is over")
    assert stop.poll() is None and site.show("ActiveState") == "deactivating"
    assert slow.finish() == "one"
    assert stop.wait(timeout=DEADLINE) == 0
    assert site.show("Result") == "success"
