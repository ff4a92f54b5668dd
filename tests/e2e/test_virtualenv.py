# SPDX-License-Identifier: MIT
"""Where the application comes from and what it runs in: [app] of the configuration."""
import json
import subprocess
import sys

import pytest

from harness import Server

MINOR = "{}.{}".format(*sys.version_info[:2])
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
    (directory / "lib" / f"python{MINOR}" / "site-packages" / "site_module.py").write_text(SOURCE)
    return directory


def test_virtualenv(start_server, virtualenv):
    server = start_server("site_module:app", {"app_virtualenv": virtualenv, "app_pythonpath": ""})
    got = answer(server)
    packages = str(virtualenv / "lib" / f"python{MINOR}" / "site-packages")
    assert got["file"] == f"{packages}/site_module.py"
    assert got["prefix"] == str(virtualenv) and got["base_prefix"] == "/usr"
    assert packages in got["path"] and "/usr/lib/python3/dist-packages" not in got["path"]


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
    assert prefix["prefix"] == "/usr" and "/usr/lib/python3/dist-packages" in prefix["path"]


def test_executable_can_be_run(server):
    executable = json.loads(server("echo:app").get().body)["sys"]["executable"]
    output = subprocess.run(
        [executable, "-c", "import sys; print(sys.prefix)"], capture_output=True, text=True
    )
    assert output.stdout.strip() == "/usr", output


def test_pythonpath(start_server, module, tmp_path):
    second = tmp_path / "second"
    second.mkdir()
    server = start_server("site_module:app", {"app_pythonpath": f"{second} {module}"})
    path = answer(server)["path"]
    assert path.index(str(second)) < path.index(str(module)) < path.index("/usr/lib/python3/dist-packages")


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
