# SPDX-License-Identifier: MIT
"""The servers of the benchmark: how each is started, with the settings that suit it best, and whether it is here."""
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable

HERE = Path(__file__).resolve().parent
PYTHON = "/usr/bin/python3"


@dataclass
class Server:
    """command(app, port, workers): the argument vector. program: what has to exist. closes_unannounced: every response
    ends the connection and does not say so, which wrk counts as a read error."""

    name: str
    program: Path | None
    command: Callable[[str, int, int], list]
    version: list = field(default_factory=list)
    environment: dict = field(default_factory=dict)
    is_limit: bool = False
    one_process: bool = False
    closes_unannounced: bool = False

    def is_here(self):
        return self.program is not None and self.program.exists()

    def version_text(self):
        if not self.version:
            return ""
        output = subprocess.run(self.version, capture_output=True, text=True, check=False)
        words = (output.stdout or output.stderr).split()
        return next((word.strip("()v") for word in words if word.strip("()v")[:1].isdigit()), "")


def program(name):
    found = shutil.which(name, path="/usr/local/bin:/usr/bin")
    return Path(found) if found else None


def module(python, name, package=None):
    """The file of a Python module as that interpreter finds it, and the command that prints its version."""
    script = f"import importlib.util as u; s = u.find_spec({name!r}); print(s.origin if s else '')"
    output = subprocess.run([python, "-c", script], capture_output=True, text=True, check=False).stdout.strip()
    version = [python, "-c", f"import importlib.metadata as m; print(m.version({package or name!r}))"]
    return (Path(output) if output else None), version


def gunicorn(prefix, path, kind, threads):
    def command(app, port, workers):
        return [path, "-b", f"127.0.0.1:{port}", "-w", workers, "-k", kind, "--threads", threads,
                "--log-level", "error", app]

    return Server(f"{prefix}-{kind}", path, command, [path, "--version"])


def uwsgi(name, *options):
    def command(app, port, workers):
        return [path, "--plugin", "python3", f"--{name}-socket", f"127.0.0.1:{port}", "--master", "--processes", workers,
                "--disable-logging", "--need-app", "--die-on-term", "--wsgi", app, *options]

    path = program("uwsgi") or program("uwsgi-core")
    return Server(f"uwsgi-{name}", path, command, [path, "--version"], closes_unannounced=name == "http")


def embedded(name, python):
    origin, version = module(python, name)
    return Server(name, origin,
                  lambda app, port, workers: [python, HERE / "serve-embedded", name, app, port], version,
                  one_process=True)


def all_servers(build, peers, limit):
    cgunicorn = build / "cgunicorn"
    python = str(peers / "bin/python3")
    servers = [
        Server("limit", limit, lambda app, port, workers: [limit, port], is_limit=True, one_process=True),
        Server("cgunicorn", cgunicorn,
               lambda app, port, workers: [cgunicorn, "serve", "-b", f"127.0.0.1:{port}", "-w", workers, app],
               [cgunicorn, "--version"], {"CGUNICORN_LIBEXECDIR": str(build)}),
        gunicorn("gunicorn", program("gunicorn"), "sync", 1),
        gunicorn("gunicorn", program("gunicorn"), "gthread", 16),
        uwsgi("http"),
        uwsgi("http11", "--enable-threads", "--threads", 64),
        Server("waitress", module(PYTHON, "waitress")[0],
               lambda app, port, workers: [PYTHON, "-m", "waitress", f"--listen=127.0.0.1:{port}", app],
               module(PYTHON, "waitress")[1], one_process=True),
        embedded("cheroot", PYTHON),
    ]
    if Path(python).exists():
        granian = peers / "bin/granian"
        servers += [
            gunicorn("gunicorn-new", peers / "bin/gunicorn", "sync", 1),
            gunicorn("gunicorn-new", peers / "bin/gunicorn", "gthread", 16),
            embedded("bjoern", python),
            embedded("fastwsgi", python),
            Server("granian", granian,
                   lambda app, port, workers: [granian, "--interface", "wsgi", "--host", "127.0.0.1", "--port", port,
                                               "--workers", workers, "--blocking-threads", 1, "--no-log", app],
                   [granian, "--version"]),
        ]
    return [server for server in servers if server.is_here()]
