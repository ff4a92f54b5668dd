# SPDX-License-Identifier: MIT
"""A booted systemd with cgunicorn installed, and the sites in it."""

import http.client
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import time

HERE = pathlib.Path(__file__).resolve().parent
BOOT = HERE / "boot-systemd"
DEADLINE = 30  # seconds that anything awaited may take; nothing waits for it to pass

APP = """\
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello\\n"]
"""


def wait_until(condition, what):
    """Returns what condition() does as soon as that is true."""
    deadline = time.monotonic() + DEADLINE
    while True:
        result = condition()
        if result:
            return result
        assert time.monotonic() < deadline, f"not within {DEADLINE} s: {what}"
        time.sleep(0.02)


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout=DEADLINE):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Machine:
    """The container. Its files are seen through /proc/PID/root; only paths without absolute symbolic links will do."""

    def __init__(self, name, stage, root="/"):
        self.name = name
        self.leader = None
        self.boot("up", name, root)
        try:
            self.leader = int(self.boot("pid", name))
            self.install(stage)
        except BaseException:
            self.down()
            raise

    def boot(self, *arguments):
        result = subprocess.run([BOOT, *arguments], capture_output=True, text=True, timeout=120)
        assert result.returncode == 0, result.stderr
        return result.stdout

    def down(self):
        self.boot("down", self.name)

    def install(self, stage):
        copy = subprocess.Popen(["tar", "-C", stage, "-c", "--owner=root", "--group=root", "."], stdout=subprocess.PIPE)
        self.run("tar", "-C", "/", "-x", "--keep-directory-symlink", stdin=copy.stdout)
        assert copy.wait() == 0
        self.run("systemctl", "daemon-reload")
        self.run("journalctl", "--update-catalog")
        units = self.systemctl("cat", "cgunicorn@.socket", "cgunicorn@.service").stdout
        self.sites = re.search("^AssertFileNotEmpty=(.*)/%i.ini$", units, re.M)[1]
        self.program = re.search("^ExecStart=(.*) serve %i$", units, re.M)[1]
        self.path(self.sites).mkdir(parents=True, exist_ok=True)

    def path(self, path):
        return pathlib.Path(f"/proc/{self.leader}/root{path}")

    def write(self, path, text, mode=0o644):
        file = self.path(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)

    def copy_tree(self, source, target):
        shutil.copytree(source, self.path(target), ignore=shutil.ignore_patterns("__pycache__"))

    def popen(self, *command, **options):
        return subprocess.Popen([BOOT, "exec", self.name, *command], text=True, **options)

    def run(self, *command, check=True, stdin=subprocess.DEVNULL, timeout=4 * DEADLINE):
        result = subprocess.run([BOOT, "exec", self.name, *command], stdin=stdin, capture_output=True, text=True,
                                timeout=timeout)
        if check:
            assert result.returncode == 0, f"{command}: {result.returncode}\n{result.stdout}{result.stderr}"
        return result

    def systemctl(self, *arguments, check=True):
        return self.run("systemctl", *arguments, check=check)

    def show(self, unit, name):
        return self.systemctl("show", "--value", "-p", name, unit).stdout.strip()

    def journal(self, *arguments):
        """The records as dictionaries."""
        self.run("journalctl", "--sync")
        return [json.loads(line) for line in self.run("journalctl", "-o", "json", *arguments).stdout.splitlines()]

    def message_id(self, name):
        text = (HERE / "../../src/base/message-ids.h").read_text()
        return re.search(rf'MESSAGE_{name} "(\w+)"', text)[1]

    def systemd_version(self):
        return int(self.run("systemctl", "--version").stdout.split()[1])


class Site:
    """One site: its code in /srv/NAME, its INI file, its units, its clients."""

    def __init__(self, machine, name, app=APP, ini="", module="app"):
        self.machine = machine
        self.name = name
        self.module = module
        self.service = f"cgunicorn@{name}.service"
        self.socket = f"cgunicorn@{name}.socket"
        if app is not None:
            self.write_app(app)
        self.write_ini(ini)
        if ini:
            machine.systemctl("daemon-reload")

    def write_app(self, text):
        """Each version is a second newer than the one before: Python tells a stale .pyc file by size and second."""
        path = f"/srv/{self.name}/app.py"
        self.machine.write(path, text)
        self.version = getattr(self, "version", int(time.time())) + 1
        os.utime(self.machine.path(path), (self.version, self.version))

    def write_ini(self, more="", app_section=None):
        if app_section is None:
            app_section = f"module = {self.module}\nchdir = /srv/{self.name}\n"
        self.machine.write(f"{self.machine.sites}/{self.name}.ini", f"[app]\n{app_section}{more}")

    def write_drop_in(self, text, unit="service"):
        self.machine.write(f"/etc/systemd/system/cgunicorn@{self.name}.{unit}.d/test.conf", text)
        self.machine.systemctl("daemon-reload")

    def start_socket(self):
        self.machine.systemctl("start", self.socket)
        return self

    def start(self):
        self.machine.systemctl("start", self.service)
        return self

    def systemctl(self, verb, check=True):
        return self.machine.systemctl(verb, self.service, check=check)

    def stop(self):
        self.machine.systemctl("stop", self.socket, self.service, check=False)

    def show(self, name):
        return self.machine.show(self.service, name)

    @property
    def main_pid(self):
        return int(self.show("MainPID"))

    def processes(self):
        """The PIDs of the service as seen in the container."""
        group = self.show("ControlGroup")
        result = self.machine.run("cat", f"/sys/fs/cgroup{group}/cgroup.procs", check=False) if group else None
        return [int(pid) for pid in result.stdout.split()] if result else []

    def children(self):
        return [pid for pid in self.processes() if pid != self.main_pid]

    def socket_path(self):
        return str(self.machine.path(f"/run/cgunicorn/{self.name}.sock"))

    def connect(self):
        return UnixConnection(self.socket_path())

    def request(self, path="/", method="GET", body=None, headers=None):
        """(status, body) of a request over a connection of its own."""
        connection = self.connect()
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def get(self, path="/"):
        status, body = self.request(path)
        assert status == 200, body
        return body.decode()

    def journal(self, *arguments):
        return self.machine.journal("-u", self.service, *arguments)

    def journal_text(self):
        return "\n".join(str(record.get("MESSAGE")) for record in self.journal())


def root_problem():
    """Why no systemd can be booted here; None when it can."""
    if os.geteuid() != 0:
        return "needs root"
    for program in "systemd-nspawn", "unshare", "nsenter", "pgrep", "tar":
        if not shutil.which(program):
            return f"needs {program} (apt-get install systemd-container procps)"
    return None
