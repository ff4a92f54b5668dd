# SPDX-License-Identifier: MIT
"""From nothing to answers: start by the first request, readiness, and what keeps a site from starting."""

import subprocess
import threading

from machine import APP, DEADLINE, wait_until

GATE = """\
import os, time
open(os.environ["STATE_DIRECTORY"] + "/importing", "w").close()
while not os.path.exists("/srv/{name}/gate"):
    time.sleep(0.01)
""" + APP


def gated_site(make_site):
    site = make_site()
    site.write_app(GATE.format(name=site.name))
    return site


def is_importing(site):
    return site.machine.run("test", "-e", f"/var/lib/cgunicorn/{site.name}/importing", check=False).returncode == 0


def open_gate(site):
    site.machine.write(f"/srv/{site.name}/gate", "")


def test_first_request_starts_the_site(site):
    site.start_socket()
    assert (site.show("ActiveState"), site.main_pid, site.processes()) == ("inactive", 0, [])
    assert site.get() == "hello\n"
    wait_until(lambda: site.show("ActiveState") == "active", "READY=1, which follows the first worker's")
    assert site.main_pid in site.processes() and site.children()


def test_start_returns_when_ready(make_site):
    site = gated_site(make_site)
    start = site.machine.popen("systemctl", "start", site.service)
    wait_until(lambda: is_importing(site), "the import begins")
    assert site.show("ActiveState") == "activating"
    assert start.poll() is None
    open_gate(site)
    assert start.wait(timeout=DEADLINE) == 0
    assert site.show("ActiveState") == "active"
    assert site.get() == "hello\n"


def test_clients_wait_while_the_site_starts(make_site):
    site = gated_site(make_site).start_socket()
    answers = []
    clients = [threading.Thread(target=lambda: answers.append(site.get()), daemon=True) for _ in range(5)]
    for client in clients:
        client.start()
    wait_until(lambda: is_importing(site), "the import begins")
    assert answers == []
    open_gate(site)
    for client in clients:
        client.join(timeout=DEADLINE)
    assert answers == ["hello\n"] * 5


def test_broken_application(make_site):
    site = make_site("import os\nraise RuntimeError('as broken as can be')\n")
    result = site.systemctl("start", check=False)
    assert result.returncode != 0
    assert site.show("ExecMainStatus") == "70"
    text = site.journal_text()
    assert "Traceback (most recent call last)" in text
    assert f'File "/srv/{site.name}/app.py", line 2' in text
    assert "RuntimeError: as broken as can be" in text
    records = site.machine.journal(f"MESSAGE_ID={site.machine.message_id('LOAD_FAILED')}", f"CGUNICORN_SITE={site.name}")
    assert records and "as broken as can be" in records[0]["MESSAGE"]


def test_broken_application_is_served_once_it_is_mended(make_site):
    """The clients wait, the socket stays: neither start limits nor trigger limits end a site."""
    site = make_site("raise RuntimeError('not yet')\n").start_socket()
    answers = []
    client = threading.Thread(target=lambda: answers.append(site.get()), daemon=True)
    client.start()
    wait_until(lambda: int(site.show("NRestarts")) >= 1, "systemd tries again")
    assert site.machine.show(site.socket, "ActiveState") == "active"
    site.write_app(APP)
    client.join(timeout=DEADLINE)
    assert answers == ["hello\n"]


def test_broken_ini(make_site):
    site, neighbour = make_site(), make_site()
    site.write_ini("[workers]\ncuont = 2\n")
    site.machine.systemctl("daemon-reload")
    assert site.systemctl("start", check=False).returncode != 0
    assert site.show("ExecMainStatus") == "78"
    message = f"{site.machine.sites}/{site.name}.ini:5: workers.cuont: unknown key, did you mean count?"
    assert message in site.journal_text()
    identifier = site.machine.message_id("CONFIG_INVALID")
    assert message in site.journal(f"MESSAGE_ID={identifier}")[0]["MESSAGE"]
    assert neighbour.start().get() == "hello\n"


def test_missing_ini(machine):
    """A mistyped site fails loudly instead of listening for nothing."""
    assert machine.systemctl("start", "cgunicorn@mistyped.socket", check=False).returncode != 0
    assert machine.show("cgunicorn@mistyped.socket", "ActiveState") != "active"


def test_check(make_site):
    site = make_site()
    check = [site.machine.program, "check", site.name]
    site.machine.run(*check)
    site.write_app("import nothing_of_this_name\n" + APP)
    result = site.machine.run(*check, check=False)
    assert result.returncode == 70
    assert "ModuleNotFoundError: No module named 'nothing_of_this_name'" in result.stderr
    site.write_ini("[log]\nlevel = shrill\n")
    result = site.machine.run(*check, check=False)
    assert result.returncode == 78
    assert "log.level: \"shrill\" is no level" in result.stderr


def test_enable(site):
    """The one command of the README."""
    site.machine.systemctl("enable", "--now", site.socket)
    try:
        assert site.get() == "hello\n"
        assert site.machine.run("systemctl", "is-enabled", site.socket).stdout.strip() == "enabled"
    finally:
        site.machine.systemctl("disable", site.socket)


def test_unready_sites_hold_nothing_up(make_site):
    """A site that imports for ever is stopped in time by systemctl stop."""
    site = gated_site(make_site)
    start = site.machine.popen("systemctl", "start", site.service, stderr=subprocess.DEVNULL)
    wait_until(lambda: is_importing(site), "the import begins")
    site.machine.systemctl("stop", site.socket, site.service)
    assert start.wait(timeout=DEADLINE) != 0
    assert site.processes() == []
    assert site.show("Result") == "success"
