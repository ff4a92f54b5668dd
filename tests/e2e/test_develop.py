# SPDX-License-Identifier: MIT
"""develop.reload: which changes of files lead to new code, and what is answered while the code is broken."""
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys

import pytest

from harness import DEADLINE, PROGRAM, Server, packages_of, poll
from supervision import in_background, notified, text, wait_for_file, workers, write_app

RELOAD = {"develop_reload": "yes"}

# Its parts come at the first request, as Django's views do.
APP = """
VERSION = "one"

def app(environ, start_response):
    body = VERSION
    if environ["PATH_INFO"] == "/lazy":
        from parts import views
        body = views.VERSION
    if environ["PATH_INFO"] == "/template":
        body = open("templates/deep/page.html").read()
    if environ["PATH_INFO"] == "/wait":
        import os, time
        open("waiting", "w").close()
        while os.path.exists("waiting"):
            time.sleep(0.01)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [body.encode()]
"""
TWO = APP.replace('"one"', '"two"')
WRONG = APP + "\ndef wrong(:  # <&>\n"


def write(server, name, source):
    path = server.directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source)


def write_aside(server, name, source):
    """As most editors save: a new file takes the place of the old."""
    new = (server.directory / name).with_name(".new")
    new.write_text(source)
    os.rename(new, server.directory / name)


def serves(server, generation):
    server.wait_for_log(rf"Generation {generation} serves")


def generations(server):
    return [int(number) for number in re.findall(r"Generation (\d+) serves", server.log())]


def started_twice(server):
    """The next change is a mark: what came before it has led to no reload of its own."""
    write_app(server, TWO)
    serves(server, 2)
    assert text(server) == "two"
    assert server.log().count("has changed") == 1


def wait_for_code(server, version):
    """Until that is the answer; code that was read while it was being written fails."""
    poll(lambda: server.get("/lazy").body == version.encode(), f"version {version}")


def page(server, target="/"):
    response = server.get(target)
    assert response.status == 500
    assert response.header("Content-Type") == "text/html; charset=utf-8"
    return response.body.decode()


# --- what counts as a change ---


@pytest.mark.parametrize("preload", ["yes", "no"])
@pytest.mark.parametrize("save", [write, write_aside])
def test_edit_of_the_module(start_server, save, preload):
    server = start_server(APP, {**RELOAD, "workers_count": 2, "workers_preload": preload})
    assert text(server) == "one"
    save(server, "source_app.py", TWO)
    serves(server, 2)
    assert [text(server) for _ in range(4)] == ["two"] * 4
    assert f"{server.directory}/source_app.py has changed" in server.log()


def test_flag(start_server):
    server = start_server(APP, arguments=["--reload", "--reload-extra-file", "list.txt"])
    write_app(server, TWO)
    serves(server, 2)
    write(server, "list.txt", "")
    serves(server, 3)


def test_nothing_is_watched_without_the_key(start_server):
    server = start_server(APP)
    for pid in [server.process.pid, *workers(server)]:
        for entry in os.scandir(f"/proc/{pid}/fd"):
            with contextlib.suppress(FileNotFoundError):
                assert "inotify" not in os.readlink(entry.path)


@pytest.mark.parametrize("threads", [1, 4])
def test_module_that_is_imported_at_a_request(start_server, threads):
    server = start_server(APP, {**RELOAD, "workers_threads": threads}, files={"parts/views.py": 'VERSION = "one"'})
    assert text(server, "/lazy") == "one"
    write(server, "parts/views.py", 'VERSION = "two"')
    serves(server, 2)
    assert text(server, "/lazy") == "two"
    assert "parts/views.py has changed" in server.log()


def test_module_elsewhere(start_server, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "__init__.py").write_text('VERSION = "one"')
    source = "import sys\nsys.path.append(%r)\nfrom elsewhere import VERSION\n" % str(tmp_path)
    server = start_server(source + APP.replace('VERSION = "one"\n', ""), RELOAD)
    assert text(server) == "one"
    (tmp_path / "elsewhere" / "__init__.py").write_text('VERSION = "two"')
    serves(server, 2)
    assert text(server) == "two"


def test_module_in_a_virtualenv(start_server, tmp_path):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path], check=True)
    packages = packages_of(tmp_path)
    (packages / "installed").mkdir()
    (packages / "installed" / "__init__.py").write_text('VERSION = "one"')
    source = "from installed import VERSION\n" + APP.replace('VERSION = "one"\n', "")
    server = start_server(source, {**RELOAD, "app_virtualenv": tmp_path})
    assert text(server) == "one"
    (packages / "installed" / "__init__.py").write_text('VERSION = "two"')
    serves(server, 2)
    assert text(server) == "two"


def test_many_modules(start_server):
    source = "import importlib\nfor i in range(300):\n    importlib.import_module(f'many.package_{i}.module')\n" + APP
    server = start_server(source, RELOAD, files={f"many/package_{i}/module.py": "" for i in range(300)})
    write(server, "many/package_0/module.py", "#")
    serves(server, 2)
    write(server, "many/package_299/module.py", "#")
    serves(server, 3)


def test_burst_is_one_reload(start_server):
    """The supervisor sees it at once, however long the test has taken for it."""
    server = start_server(APP, RELOAD)
    server.signal(signal.SIGSTOP)
    for i in range(200):
        write(server, "source_app.py", APP + f"# {i}\n")
        write(server, f"other_{i}.py", "")
    write_app(server, TWO)
    server.signal(signal.SIGCONT)
    serves(server, 2)
    assert text(server) == "two"
    write_app(server, APP)
    serves(server, 3)
    assert server.log().count("has changed") == 2


def test_what_editors_leave_is_no_change(start_server):
    server = start_server(APP, {**RELOAD, "develop_watch": "templates/*.html"})
    for name in (".source_app.py.swp", "source_app.py~", "4913", "__pycache__/source_app.cpython-311.pyc", "notes.txt"):
        write(server, name, "")
    (server.directory / ".#source_app.py").symlink_to("nowhere")
    started_twice(server)


def test_change_while_the_code_is_loaded():
    """Nobody watched yet when the module was read."""
    source = 'import os, time\nopen("importing", "w").close()\nwhile os.path.exists("importing"): time.sleep(0.01)\n'
    with Server(source + APP, RELOAD) as server:
        server.launch()
        wait_for_file(server, "importing")
        write_app(server, TWO)
        os.unlink(server.directory / "importing")
        serves(server, 2)
        assert text(server) == "two"
        server.stop()


def test_module_of_a_package_that_comes_later(start_server):
    source = APP.replace('VERSION = "one"', "from coming.inner import VERSION")
    server = start_server(source, RELOAD)
    assert "ModuleNotFoundError" in page(server)
    write(server, "coming/inner/__init__.py", 'VERSION = "one"')
    serves(server, 2)
    poll(lambda: server.get("/").body == b"one", "the package")


def test_deleted_and_restored_package(start_server):
    server = start_server("import parts.views\n" + APP, RELOAD, files={"parts/views.py": 'VERSION = "one"'})
    shutil.rmtree(server.directory / "parts")
    serves(server, 2)
    assert "ModuleNotFoundError" in page(server)
    write(server, "parts/views.py", 'VERSION = "two"')
    wait_for_code(server, "two")
    write(server, "parts/views.py", 'VERSION = "three"')
    wait_for_code(server, "three")
    os.rename(server.directory / "parts", server.directory / "parts_old")
    poll(lambda: server.get("/").status == 500, "the package to be missed")
    write(server, "parts/views.py", 'VERSION = "four"')
    wait_for_code(server, "four")


# --- develop.watch ---


@pytest.mark.parametrize("patterns", ["templates", "templates/**/*.html", "templates/*/page.*", "templates/deep/page.html"])
def test_patterns(start_server, patterns):
    server = start_server(APP, {**RELOAD, "develop_watch": patterns}, files={"templates/deep/page.html": "one"})
    assert text(server, "/template") == "one"
    write_aside(server, "templates/deep/page.html", "two")
    serves(server, 2)
    assert "templates/deep/page.html has changed" in server.log()


def test_pattern_in_a_new_directory(start_server):
    server = start_server(APP, {**RELOAD, "develop_watch": "templates/**/*.html"}, files={"templates/page.html": ""})
    write(server, "templates/new/deep/page.html", "")
    serves(server, 2)


def test_watched_directory_is_missing(start_server):
    server = start_server(APP, {**RELOAD, "develop_watch": "missing/*.html"})
    assert re.search("develop.watch: cannot watch /.*/missing: No such file or directory", server.log())
    started_twice(server)


# --- broken code ---


@pytest.mark.parametrize("preload", ["yes", "no"])
def test_broken_code_is_shown_and_waits_to_be_mended(start_server, preload):
    server = start_server(APP, {**RELOAD, "workers_preload": preload})
    write_app(server, WRONG)
    serves(server, 2)
    shown = page(server)
    assert "SyntaxError: invalid syntax" in shown
    assert "def wrong(:  # &lt;&amp;&gt;" in shown and "<&>" not in shown
    assert page(server, "/elsewhere?x=1") == shown
    assert "SyntaxError: invalid syntax" in server.log()
    write_app(server, TWO)
    serves(server, 3)
    assert text(server) == "two"


def test_start_with_broken_code(start_server):
    server = start_server(WRONG, {**RELOAD, "workers_count": 2})
    assert "SyntaxError" in page(server)
    assert server.get("/", method="HEAD").status == 500
    assert server.get("/", method="POST", body=b"x").status == 500
    write_app(server, APP)
    serves(server, 2)
    assert text(server) == "one"


@pytest.mark.parametrize("failure", ["import coming", "1 / 0", "raise SystemExit(3)", "import parts"])
def test_what_else_does_not_load(start_server, failure):
    server = start_server(f"{failure}\n{APP}", RELOAD, files={"parts/__init__.py": "wrong(:"})
    assert failure in page(server)
    write(server, "coming.py", "")
    write(server, "parts/__init__.py", "")
    write_app(server, APP.replace("VERSION", f"{failure if 'import' in failure else ''}\nVERSION", 1))
    poll(lambda: server.get("/").status == 200, "the application")


def test_package_that_fails_and_is_mended_there(start_server):
    """The package is not among the imported modules: the traceback names its directory."""
    server = start_server("import parts\n" + APP, RELOAD, files={"parts/__init__.py": "wrong(:"})
    assert "parts/__init__.py" in page(server)
    write(server, "parts/__init__.py", "")
    serves(server, 2)
    assert text(server) == "one"


def test_hooks_that_do_not_load(start_server):
    server = start_server(APP, {**RELOAD, "app_hooks": "hooks"}, files={"hooks.py": "wrong(:"})
    assert "SyntaxError" in page(server)
    write(server, "hooks.py", "def worker_start(worker): raise ValueError('not yet right')")
    serves(server, 2)
    assert "ValueError: not yet right" in page(server)
    write(server, "hooks.py", "def worker_start(worker): pass")
    serves(server, 3)
    assert text(server) == "one"


def test_check_refuses_broken_code():
    """Though the site would be served."""
    ini = "[app]\nmodule = source_app:app\nchdir = {}\n[develop]\nreload = yes\n"
    with Server(WRONG) as server:
        (server.directory / "site.ini").write_text(ini.format(server.directory))
        command = [PROGRAM, "check", server.directory / "site.ini"]
        for source, status in ((WRONG, 70), (APP, 0)):
            write_app(server, source)
            run = subprocess.run(command, env=server.environment, capture_output=True, text=True, timeout=DEADLINE)
            assert run.returncode == status
            assert "develop.reload is for development only" in run.stderr


def test_warning_where_the_site_is_a_service(start_server):
    """In the foreground it is what one wants."""
    with Server(APP) as sites:
        (sites.directory / "shop.ini").write_text("[develop]\nreload = yes\n")
        for arguments, n_warnings in (([], 0), (["shop"], 1)):
            server = start_server(
                None if arguments else APP,
                {**RELOAD, "app_module": "source_app:app", "app_chdir": sites.directory},
                arguments=arguments,
                environment={"CGUNICORN_SITES_DIRECTORY": str(sites.directory)},
            )
            assert server.log().count("develop.reload is for development only") == n_warnings


def test_broken_code_ends_the_start_without_the_key():
    with Server(WRONG) as server:
        assert server.launch().wait() == 70


# --- requests meanwhile ---


def test_running_request_is_finished(start_server):
    server = start_server(APP, RELOAD)
    thread, result = in_background(server.get, "/wait")
    wait_for_file(server, "waiting")
    write_app(server, TWO)
    serves(server, 2)
    assert text(server) == "two"
    os.unlink(server.directory / "waiting")
    thread.join()
    assert result["value"].body == b"one"


def test_kept_connection_meets_the_new_code(start_server):
    server = start_server(APP, RELOAD)
    with server.connect() as connection:
        assert connection.request("GET", "/").body == b"one"
        write_app(server, TWO)
        serves(server, 2)
        assert connection.request("GET", "/").body == b"two"
    assert text(server) == "two"


def test_signal_reloads_as_well(start_server):
    server = start_server(APP, RELOAD)
    server.signal(signal.SIGHUP)
    notified(server, "^READY=1", 2)
    started = generations(server)
    write_app(server, TWO)
    serves(server, started[-1] + 1)
    assert text(server) == "two"
