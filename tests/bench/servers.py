# SPDX-License-Identifier: MIT
"""The servers of the benchmark: how each is started, with the settings that suit it best, and whether it is here."""
import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable

HERE = Path(__file__).resolve().parent
PYTHON = "/usr/bin/python3"
MODULES = Path("/usr/lib/apache2/modules")
CONNECTIONS = 12000  # that a worker may hold; for the servers that have a limit
OWN = ("limit", "limit-batch", "floor")  # not servers: what the machine can do

APACHE = """
ServerRoot {directory}
ServerName localhost
PidFile {directory}/pid
ErrorLog /dev/stderr
Listen 127.0.0.1:{port}
{user}
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule wsgi_module {modules}/mod_wsgi.so
StartServers {workers}
ServerLimit {workers}
ThreadsPerChild 64
ThreadLimit 64
MaxRequestWorkers {threads}
AsyncRequestWorkerFactor 200
MinSpareThreads {threads}
MaxSpareThreads {threads}
MaxKeepAliveRequests 0
KeepAliveTimeout 75
ListenBacklog 4096
WSGISocketPrefix {directory}/wsgi
WSGIPythonPath {apps}
WSGIApplicationGroup %{{GLOBAL}}
WSGIImportScript {script} process-group=%{{GLOBAL}} application-group=%{{GLOBAL}}
WSGIChunkedRequest On
WSGIScriptAlias / {script}
<Directory {directory}>
    Require all granted
</Directory>
"""


@dataclass
class Server:
    """command(app, port, workers, threads): the argument vector. program: what has to exist. one_process: there can't be
    several workers. closes_unannounced: every response ends the connection and does not say so, which wrk counts as a read
    error. is_slow: measured in every third round. is_special: measured where a workload names it, and nowhere else.
    head_timeout: seconds until a client that does not end its head is closed. note: what its figures owe to something
    left out."""

    name: str
    program: Path | None
    command: Callable[[str, int, int, int], list]
    version: list = field(default_factory=list)
    environment: dict = field(default_factory=dict)
    one_process: bool = False
    closes_unannounced: bool = False
    is_slow: bool = False
    is_special: bool = False
    head_timeout: float = 0
    note: str = ""

    def is_here(self):
        return self.program is not None and self.program.exists()

    def is_own(self):
        return self.name in OWN

    def version_text(self):
        if not self.version:
            return ""
        output = subprocess.run(self.version, capture_output=True, text=True, check=False)
        words = (output.stdout or output.stderr).split()
        return next((word.strip("()v") for word in words if word.strip("()v")[:1].isdigit()), "")


def program(name):
    found = shutil.which(name, path="/usr/local/bin:/usr/bin")
    return Path(found) if found else None


def module(python, name):
    """The file of a Python module as that interpreter finds it, and the command that prints its version."""
    script = f"import importlib.util as u; s = u.find_spec({name!r}); print(s.origin if s else '')"
    output = ""
    if Path(python).exists():
        output = subprocess.run([python, "-c", script], capture_output=True, text=True, check=False).stdout.strip()
    version = [python, "-c", f"import importlib.metadata as m; print(m.version({name!r}))"]
    return (Path(output) if output else None), version


def limit(name, directory, *options):
    path = directory and directory / ("floor" if name == "floor" else "limit")

    def command(app, port, workers, _threads):
        application = ["-a", app] if name == "floor" else []
        return [path, *options, "-w", workers, *application, port, directory / "file"]

    return Server(name, path, command)


def cgunicorn(build, name="cgunicorn", *options, **properties):
    path = build / "cgunicorn"

    def command(app, port, workers, threads):
        preload = ["--preload"] if workers > 1 else []
        return [path, "serve", "-b", f"127.0.0.1:{port}", "-w", workers, "--threads", threads,
                "--worker-connections", CONNECTIONS, *preload, *options, app]

    return Server(name, path, command, [path, "--version"], {"CGUNICORN_LIBEXECDIR": str(build)}, head_timeout=15, **properties)


def gunicorn(prefix, path, kind, threads):
    def command(app, port, workers, _threads):
        preload = ["--preload"] if workers > 1 else []
        return [path, "-b", f"127.0.0.1:{port}", "-w", workers, "-k", kind, "--threads", threads, "--keep-alive", 75,
                "--worker-connections", CONNECTIONS, "--log-level", "error", *preload, app]

    return Server(f"{prefix}-{kind}", path, command, [path, "--version"], is_slow=True)


def uwsgi(name, *options):
    def command(app, port, workers, _threads):
        return [path, "--plugin", "python3", f"--{name}-socket", f"127.0.0.1:{port}", "--master", "--processes", workers,
                "--listen", 1024, "--disable-logging", "--need-app", "--die-on-term", "--wsgi", app, *options]

    path = program("uwsgi") or program("uwsgi-core")
    return Server(f"uwsgi-{name}", path, command, [path, "--version"], closes_unannounced=name == "http",
                  is_slow=name == "http")


def embedded(name, python, **properties):
    origin, version = module(python, name)
    return Server(name, origin, lambda app, port, _workers, _threads: [python, HERE / "serve-embedded", name, app, port],
                  version, one_process=True, **properties)


def waitress():
    origin, version = module(PYTHON, "waitress")
    return Server("waitress", origin,
                  lambda app, port, _workers, _threads: [
                      PYTHON, "-m", "waitress", f"--listen=127.0.0.1:{port}", "--threads=16",
                      f"--connection-limit={CONNECTIONS}", "--backlog=4096", app],
                  version, one_process=True, is_slow=True)


def granian(path):
    def command(app, port, workers, threads):
        return [path, "--interface", "wsgi", "--http", "1", "--host", "127.0.0.1", "--port", port, "--workers", workers,
                "--blocking-threads", threads, "--backlog", 4096, "--no-log", app]

    return Server("granian", path, command, [path, "--version"])


def mod_wsgi(directory):
    """Embedded in Apache's event MPM, where it is faster than with a daemon process."""

    def command(app, port, workers, _threads):
        subdirectory = directory / f"apache-{port}"
        subdirectory.mkdir(exist_ok=True)
        directory.chmod(0o755)
        script, config = subdirectory / "site.wsgi", subdirectory / "apache.conf"
        script.write_text(f"from {app.partition(':')[0]} import app as application\n")
        user = "User www-data\nGroup www-data" if os.geteuid() == 0 else ""
        config.write_text(APACHE.format(directory=subdirectory, port=port, user=user, modules=MODULES, apps=HERE / "apps",
                                        script=script, workers=workers, threads=64 * workers))
        return ["/usr/sbin/apache2", "-DFOREGROUND", "-f", config]

    version = ["dpkg-query", "-W", "-f", "${Version}", "libapache2-mod-wsgi-py3"]
    return Server("mod_wsgi", MODULES / "mod_wsgi.so" if directory else None, command, version, is_slow=True)


def known_servers(build, peers, directory):
    python = str(peers / "bin/python3")
    return [
        limit("limit", directory),
        limit("limit-batch", directory, "-b"),
        limit("floor", directory, "-b"),
        cgunicorn(build),
        cgunicorn(build, "cgunicorn-gevent", "--worker-class", "gevent", is_special=True),
        embedded("fastwsgi", python, note="FastWSGI never calls close() of what an application returns: with Django, a "
                                          "fourth of the work"),
        embedded("bjoern", python, note="bjoern sends no Date"),
        granian(peers / "bin/granian"),
        uwsgi("http11", "--enable-threads", "--threads", 32),
        uwsgi("http"),
        mod_wsgi(directory),
        gunicorn("gunicorn-new", peers / "bin/gunicorn", "sync", 1),
        gunicorn("gunicorn-new", peers / "bin/gunicorn", "gthread", 16),
        gunicorn("gunicorn-new", peers / "bin/gunicorn", "gevent", 1),
        gunicorn("gunicorn", program("gunicorn"), "sync", 1),
        gunicorn("gunicorn", program("gunicorn"), "gthread", 16),
        waitress(),
        embedded("cheroot", PYTHON, is_slow=True),
    ]


def of_one_thread(build, peers):
    """Those whose workers can have one thread of the application each."""
    return [cgunicorn(build), granian(peers / "bin/granian"), uwsgi("http11"),
            gunicorn("gunicorn-new", peers / "bin/gunicorn", "gthread", 1)]


def all_servers(build, peers, directory):
    """Those that are here. directory: with limit and floor, made from their sources; None: without these."""
    return [server for server in known_servers(build, peers, directory) if server.is_here()]
