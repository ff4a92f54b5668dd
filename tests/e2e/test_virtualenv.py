# SPDX-License-Identifier: MIT
"""Where the application comes from and what it runs in: [app] of the configuration."""
import json
import os
import site
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import harness
from harness import BUILD, EXECUTED, MODULE, Server, packages_of, worker_directory
from supervision import workers

MINOR = "{}.{}".format(*sys.version_info[:2])
SYSTEM_PACKAGES = set(site.getsitepackages())
SOURCE = """
import json, os, sys
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({"file": __file__, "prefix": sys.prefix, "base_prefix": sys.base_prefix, "path": sys.path,
                        "argv": sys.argv, "executable": sys.executable, "cwd": os.getcwd(),
                        "environ": dict(os.environ)}).encode()]
def factory(*arguments, **options):
    def made(environ, start_response):
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps([arguments, options]).encode()]
    return made
application = app
class Namespace:
    inner = staticmethod(app)
"""


def answer(server):
    response = server.get()
    assert response.status == 200, response
    return json.loads(response.body)


def failed(server):
    """The log of a server that does not start."""
    with server.launch():
        assert server.wait() != 0
        return server.log()


@pytest.fixture
def module(tmp_path):
    """A directory with site_module.py."""
    directory = tmp_path / "code"
    directory.mkdir()
    (directory / "site_module.py").write_text(SOURCE)
    return directory


@pytest.fixture
def virtualenv(tmp_path):
    """A virtual environment with site_module.py among its packages."""
    directory = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(directory)], check=True)
    (packages_of(directory) / "site_module.py").write_text(SOURCE)
    return directory


def test_virtualenv(start_server, virtualenv):
    server = start_server("site_module:app", {"app_virtualenv": virtualenv, "app_pythonpath": ""})
    got = answer(server)
    packages = str(packages_of(virtualenv))
    assert got["file"] == f"{packages}/site_module.py"
    assert got["prefix"] == str(virtualenv) and got["base_prefix"] == sys.prefix
    assert packages in got["path"] and not SYSTEM_PACKAGES & set(got["path"])


def test_executable_of_a_virtualenv_can_be_run(start_server, virtualenv):
    """Applications start sys.executable for their own helpers."""
    server = start_server("site_module:app", {"app_virtualenv": virtualenv, "app_pythonpath": ""})
    executable = answer(server)["executable"]
    output = subprocess.run(
        [executable, "-c", "import site_module, sys; print(sys.prefix)"], capture_output=True, text=True
    )
    assert output.stdout.strip() == str(virtualenv), output


def test_virtualenv_of_another_python(virtualenv):
    config = virtualenv / "pyvenv.cfg"
    lines = [
        line if not line.startswith("version") else "version = 3.7.3"
        for line in config.read_text().splitlines()
    ]
    config.write_text("\n".join(lines) + "\n")
    log = failed(Server("site_module:app", {"app_virtualenv": virtualenv}))
    assert "3.7" in log and MINOR in log and str(virtualenv) in log


@pytest.mark.parametrize("kind", ["missing", "no pyvenv.cfg"])
def test_no_virtualenv(tmp_path, kind):
    directory = tmp_path / "nothing"
    if kind != "missing":
        directory.mkdir()
    log = failed(Server("echo:app", {"app_virtualenv": directory}))
    assert str(directory) in log and "Traceback" not in log


def test_without_virtualenv_the_packages_of_the_system_are_there(server):
    prefix = json.loads(server("echo:app").get().body)["sys"]
    assert prefix["prefix"] == sys.prefix and SYSTEM_PACKAGES & set(prefix["path"])


def test_executable_can_be_run(server):
    executable = json.loads(server("echo:app").get().body)["sys"]["executable"]
    output = subprocess.run(
        [executable, "-c", "import sys; print(sys.prefix)"], capture_output=True, text=True
    )
    assert output.stdout.strip() == sys.prefix, output


def test_pythonpath(start_server, module, tmp_path):
    second = tmp_path / "second"
    second.mkdir()
    server = start_server("site_module:app", {"app_pythonpath": f"{second} {module}"})
    path = answer(server)["path"]
    assert path.index(str(second)) < path.index(str(module)) < min(path.index(p) for p in SYSTEM_PACKAGES & set(path))


def test_chdir(start_server, module):
    server = start_server("site_module:app", {"app_chdir": module})
    got = answer(server)
    assert got["cwd"] == str(module) and got["path"][0] == str(module)


def test_chdir_to_nowhere(tmp_path):
    log = failed(Server("echo:app", {"app_chdir": tmp_path / "nowhere"}))
    assert "nowhere" in log and "No such file or directory" in log


def test_environment(start_server, module):
    ini = f"""[app]
chdir = {module}
environment =
    FIRST=1
    SECOND=with blanks = and more
    HOME=/elsewhere
"""
    server = start_server("site_module:app", ini=ini, environment={"OUTER": "kept"})
    environ = answer(server)["environ"]
    assert (environ["FIRST"], environ["SECOND"], environ["HOME"]) == (
        "1",
        "with blanks = and more",
        "/elsewhere",
    )
    assert environ["OUTER"] == "kept"


def test_environment_of_the_service_manager_is_not_the_applications(server):
    environ = json.loads(server("echo:app").get().body)["os.environ"]
    assert not [name for name in environ if name.startswith(("NOTIFY_SOCKET", "WATCHDOG_", "LISTEN_"))]


@pytest.mark.parametrize(
    "spec, expected",
    [
        ("site_module:factory()", [[], {}]),
        ("site_module:factory(1, 'two', three=[3, None])", [[1, "two"], {"three": [3, None]}]),
        ("site_module:app", None),
        ("site_module", None),
    ],
)
def test_forms_of_the_module(start_server, module, spec, expected):
    got = answer(start_server(spec, {"app_chdir": module}))
    assert got == expected or expected is None and got["cwd"] == str(module)


@pytest.mark.parametrize(
    "spec, text",
    [
        ("nowhere:app", "nowhere"),
        ("site_module:nothing", "nothing"),
        ("site_module:__name__", "callable"),
        ("site_module:factory(open('/etc/passwd'))", "literal"),
        ("site_module:app()", "missing 2 required positional arguments"),
        ("broken:app", "ZeroDivisionError"),
        ("exits:app", "SystemExit"),
        ("syntax:app", "SyntaxError"),
    ],
)
@pytest.mark.parametrize("preload", ["no", "yes"])
def test_application_that_does_not_load(module, spec, text, preload):
    (module / "broken.py").write_text("1 / 0\n")
    (module / "exits.py").write_text("import sys\nsys.exit('leaving')\n")
    (module / "syntax.py").write_text("def app(:\n")
    with Server(spec, {"app_chdir": module, "workers_preload": preload}) as server:
        server.launch()
        assert server.wait() == 70
        assert text in server.log()
        assert "READY=1" not in server.notify.lines()


@pytest.mark.parametrize("spec", ["site_module:factory(", "site_module:", ":app", "site module:app", "a:b:c"])
def test_what_is_no_module(module, spec):
    with Server(spec, {"app_chdir": module}) as server:
        server.launch()
        assert server.wait() in (70, 78)
        assert "Traceback" not in server.log() and "app.module" in server.log()


def test_arguments_of_the_process(start_server, module):
    argv = answer(start_server("site_module:app", {"app_chdir": module}))["argv"]
    assert len(argv) == 1


# --- which interpreter, and how it is started ---

with_module = pytest.mark.skipif(not MODULE, reason="for the module")


def test_worker_is_the_expected_program(server):
    site = server("echo:app")
    assert {os.readlink(f"/proc/{pid}/exe") for pid in workers(site)} == {os.path.realpath(EXECUTED)}
    assert {Path(f"/proc/{pid}/comm").read_text() for pid in workers(site)} == {"cgunicorn-worke\n"}


@with_module
def test_python_of_the_site(start_server, virtualenv):
    python = virtualenv / "bin/python"
    server = start_server("site_module:app", {"app_python": python, "app_pythonpath": ""})
    got = answer(server)
    assert (got["executable"], got["prefix"], got["base_prefix"]) == (str(python), str(virtualenv), sys.prefix)
    assert {os.readlink(f"/proc/{pid}/exe") for pid in workers(server)} == {os.path.realpath(python)}


def test_python_that_is_not_there(tmp_path):
    log = failed(Server("echo:app", {"app_python": tmp_path / "python"}))
    assert f"app.python: cannot run {tmp_path}/python: No such file or directory" in log


def test_python_and_virtualenv(virtualenv):
    log = failed(Server("echo:app", {"app_python": virtualenv / "bin/python", "app_virtualenv": virtualenv}))
    assert "app.python: app.virtualenv names an interpreter as well" in log


def test_python_without_a_module(tmp_path):
    """What is installed may be for other versions only."""
    (tmp_path / "_cgunicorn.cpython-299-x86_64-linux-gnu.so").touch()
    log = failed(Server("echo:app", {"app_python": sys.executable}, environment={"CGUNICORN_LIBEXECDIR": str(tmp_path)}))
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    assert f"cannot start the worker in {sys.executable}: there is no _cgunicorn{suffix} for it in {tmp_path}" in log
    assert "(there: _cgunicorn.cpython-299-x86_64-linux-gnu.so)" in log


def test_installed_workers(start_server, virtualenv, tmp_path, monkeypatch):
    """make install-workers, into a directory where those of another Python are already, if there is one: the server is that
    build's (tests/pythons/run)."""
    beside = Path(os.environ.get("CGUNICORN_TEST_BESIDE", BUILD))
    for build in (beside, BUILD):
        subprocess.run(["make", "-s", "-C", build, "install-workers", f"DESTDIR={tmp_path}/root"], check=True)
    (directory,) = {path.parent for path in (tmp_path / "root").rglob("cgunicorn-worker-*")}
    assert (directory / f"cgunicorn-worker-{MINOR}{sys.abiflags}").exists() and (not MODULE or (directory / MODULE.name).exists())
    monkeypatch.setattr(harness, "PROGRAM", beside / "cgunicorn")
    config = {"app_virtualenv": virtualenv, "app_pythonpath": ""}
    server = start_server("site_module:app", config, environment={"CGUNICORN_LIBEXECDIR": str(directory)})
    assert answer(server)["prefix"] == str(virtualenv)
    (executable,) = {os.readlink(f"/proc/{pid}/exe") for pid in workers(server)}
    assert os.path.dirname(executable) == str(directory) or executable == os.path.realpath(sys.executable)


def test_module_that_does_not_load(tmp_path):
    (tmp_path / f"_cgunicorn{sysconfig.get_config_var('EXT_SUFFIX')}").write_text("no library")
    log = failed(Server("echo:app", {"app_python": sys.executable}, environment={"CGUNICORN_LIBEXECDIR": str(tmp_path)}))
    assert f"cannot start the worker in {sys.executable}: " in log and "file too short" in log


STATE = """
import json, os, signal, sys, threading, warnings
CODE = compile("assert False", "code", "exec")
def app(environ, start_response):
    start_response("200 OK", [])
    state = {
        "flags": str(sys.flags), "argv": sys.argv, "orig_argv": sys.orig_argv, "path": sys.path,
        "executable": sys.executable, "prefixes": [sys.prefix, sys.exec_prefix, sys.base_prefix],
        "xoptions": sys._xoptions, "warnoptions": sys.warnoptions, "hash": hash("text"), "codes": CODE.co_code.hex(),
        "signals": {number: str(signal.getsignal(number)) for number in signal.valid_signals()},
        "streams": [repr(stream) for stream in (sys.stdin, sys.stdout, sys.stderr)],
        "encodings": [sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()],
        "environ": {name: value for name, value in os.environ.items() if not name.endswith("_DIRECTORY")},
        "main": sorted(vars(sys.modules["__main__"])) and sys.modules["__main__"].__spec__,
        "is_main": threading.current_thread() is threading.main_thread(),
        "modules": "site" in sys.modules, "switch": sys.getswitchinterval(), "recursion": sys.getrecursionlimit(),
    }
    return [json.dumps(state).encode()]
"""


@with_module
@pytest.mark.parametrize("variables", [{}, {"LANG": ""}, {"LC_ALL": "POSIX"}], ids=str)
def test_doors_lead_to_the_same_interpreter(start_server, tmp_path, variables):
    """The program that embeds it, and the module in it."""
    (tmp_path / "state.py").write_text(STATE)
    ini = f"""[app]
chdir = {tmp_path}
environment =
    PYTHONHASHSEED=7
    PYTHONOPTIMIZE=1
    PYTHONWARNINGS=error::BytesWarning
    PYTHONPATH=relative
    PYTHONHOME=/nonexistent
"""
    states = []
    for door in ("program", "module"):
        environment = {"CGUNICORN_LIBEXECDIR": str(worker_directory(door)), "PYTHONHOME": "/nowhere", "HOME": "/", **variables}
        state = answer(start_server("state:app", {"app_pythonpath": "", "log_access": "off"}, ini=ini, environment=environment))
        assert state["environ"].pop("CGUNICORN_LIBEXECDIR")
        states.append(state)
    assert states[0] == states[1]
    assert f"{tmp_path}/relative" in states[0]["path"] and "PYTHONHOME" not in states[0]["environ"]
    assert states[0]["orig_argv"] == ["cgunicorn"] and "optimize=1" in states[0]["flags"]
