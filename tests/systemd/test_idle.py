# SPDX-License-Identifier: MIT
"""Sites that nobody asks: they exit, cost only their sockets, and answer whoever comes next."""

import os

import pytest

from machine import APP, wait_until

N_CYCLES = int(os.environ.get("CGUNICORN_TEST_IDLE_CYCLES", "15"))
N_SITES = 50
INI = "[service]\nidle_exit = 100ms\n[workers]\ncount = 1\n"

INSTANCE = """\
import os


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Connection", "close")])
    return [str(os.getppid()).encode()]
"""

# Asks again and again, at any moment from a little before an exit to a little after it.
CYCLES = """\
import random, socket, sys, time

address, n = sys.argv[1], int(sys.argv[2])
instances = set()
for i in range(n):
    with socket.socket(socket.AF_UNIX if address[0] == "/" else socket.AF_INET) as client:
        client.settimeout(60)
        client.connect(address if address[0] == "/" else ("127.0.0.1", int(address)))
        client.sendall(b"GET / HTTP/1.1\\r\\nHost: a\\r\\nConnection: close\\r\\n\\r\\n")
        answer = b""
        while data := client.recv(4096):
            answer += data
    assert answer.startswith(b"HTTP/1.1 200 "), (i, answer)
    instances.add(answer.rpartition(b"\\r\\n")[2])
    time.sleep(random.uniform(0.08, 0.25))
print(len(instances))
"""


def is_gone(site):
    return site.show("ActiveState") == "inactive"


def test_exit_and_start(make_site):
    site = make_site(ini=INI).start_socket()
    assert site.get() == "hello\n"
    pid = site.main_pid
    wait_until(lambda: is_gone(site), "it has stopped")
    assert (site.show("Result"), site.show("NRestarts"), site.processes()) == ("success", "0", [])
    assert site.machine.show(site.socket, "ActiveState") == "active"
    assert "No request for service.idle_exit=100ms: stopping until there is one" in site.journal_text()
    assert site.get() == "hello\n"
    assert pid not in site.processes()


@pytest.mark.parametrize("listen", ["", "8017"], ids=["unix", "tcp"])
def test_nobody_is_lost(make_site, listen):
    site = make_site(INSTANCE, ini=INI + (f"[socket]\nlisten = {listen}\n" if listen else "")).start_socket()
    client = f"/srv/{site.name}/cycles.py"
    site.machine.write(client, CYCLES)
    address = listen or f"/run/cgunicorn/{site.name}.sock"
    n_instances = int(site.machine.run("/usr/bin/python3", client, address, str(N_CYCLES), timeout=10 * N_CYCLES).stdout)
    print(f"{N_CYCLES} requests, answered by {n_instances} instances")
    assert n_instances > N_CYCLES // 4, "too few requests met an exit"
    wait_until(lambda: is_gone(site), "it has stopped")
    assert (site.show("Result"), site.machine.show(site.socket, "ActiveState")) == ("success", "active")


def test_many_sites_cost_only_their_sockets(machine):
    """Each described by an INI file alone; one is asked, starts, and leaves again."""
    names = [f"many-{number}" for number in range(N_SITES)]
    for number, name in enumerate(names):
        machine.write(f"{machine.sites}/{name}.ini",
                      f"[app]\nmodule = app\nchdir = /srv/many\n[socket]\nlisten = 127.0.0.1:{9000 + number}\n{INI}")
    machine.write("/srv/many/app.py", APP)
    sockets = [f"cgunicorn@{name}.socket" for name in names]
    services = [f"cgunicorn@{name}.service" for name in names]
    machine.systemctl("daemon-reload")
    machine.systemctl("start", *sockets)

    def states(units):
        return machine.systemctl("show", "--value", "-p", "ActiveState", *units, check=False).stdout.split()

    def running():
        return [line for line in machine.run("ps", "-eo", "args").stdout.splitlines() if "[many-" in line]

    try:
        assert states(sockets) == ["active"] * N_SITES
        assert running() == []
        answer = machine.run("curl", "-sS", "--max-time", "30", f"http://127.0.0.1:{9000 + N_SITES // 2}/").stdout
        assert answer == "hello\n"
        wait_until(lambda: running() == [], "its processes have left")
        wait_until(lambda: states(services) == ["inactive"] * N_SITES, "systemd knows that it has stopped")
    finally:
        machine.systemctl("stop", *sockets, *services)
